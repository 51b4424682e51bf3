// Names of directories: how a site's data_dir becomes a job's, and what counts as below another.

import assert from 'node:assert/strict';
import { join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  accountDirectory,
  baseDirectory,
  buildDirectory,
  cacheDirectory,
  claimsDirectory,
  isBeneath,
  scriptsDirectory,
  slotName,
} from '../../src/contract/directories.ts';

const ALICE = { name: 'alice', home: '/home/alice' };

describe('the base directory', () => {
  const table: [dataDir: string, base: string][] = [
    ['$HOME', '/home/alice/.jacamar-ci'],
    ['${HOME}', '/home/alice/.jacamar-ci'],
    ['~', '/home/alice/.jacamar-ci'],
    ['$HOME/', '/home/alice/.jacamar-ci'],
    ['$HOME/ci', '/home/alice/ci/.jacamar-ci'],
    ['~/ci/$USER', '/home/alice/ci/alice/.jacamar-ci'],
    ['/ecp', '/ecp/alice'],
    ['/ecp/', '/ecp/alice'],
    ['/ecp//ci', '/ecp/ci/alice'],
    ['/ecp/$USER', '/ecp/alice'],
    ['/ecp/$USER/', '/ecp/alice'],
    ['/ecp/${USER}/ci', '/ecp/alice/ci'],
    ['/ecp/${USER}/ci//', '/ecp/alice/ci'],
    ['/ecp/u-$USER/$USER', '/ecp/u-alice/alice'],
    ['/ecp/$HOME', '/ecp/$HOME/alice'],
  ];
  for (const [dataDir, base] of table) {
    it(`is ${base} for ${dataDir}`, () => assert.equal(baseDirectory(dataDir, ALICE), base));
  }
});

describe('the level of it that root may make', () => {
  const table: [dataDir: string, level: string | undefined][] = [
    ['$HOME', undefined],
    ['~/ci/$USER', undefined],
    ['/ecp', '/ecp/alice'],
    ['/ecp/$USER', '/ecp/alice'],
    ['/ecp/${USER}/ci/', '/ecp/alice'],
    ['/ecp/u-$USER/$USER', '/ecp/u-alice'],
  ];
  for (const [dataDir, level] of table) {
    it(`is ${level ?? 'none'} for ${dataDir}`, () => assert.equal(accountDirectory(dataDir, ALICE), level));
  }
});

describe('the directories below it', () => {
  it("have upstream's names", () => {
    assert.equal(cacheDirectory('/b'), '/b/cache');
    const job = { runner: 'runner', slot: 2, projectPath: 'group/project', jobId: 302 };
    assert.equal(scriptsDirectory('/b', job), '/b/scripts/runner/002/group/project/302');
  });

  const settings = { limitBuildDir: false, staticBuildsDir: false };
  const layout = { base: '/b', job: { id: 302, runner: 'runner' }, settings };
  const limited = { ...layout, settings: { ...settings, limitBuildDir: true } };
  const perJob = { ...layout, settings: { ...limited.settings, staticBuildsDir: true } };
  const custom = { customBuildsDir: '/c' };

  it('hold builds per runner, or of all runners together where they are limited', () => {
    assert.equal(buildDirectory(layout, 2), '/b/builds/runner/002');
    assert.equal(buildDirectory(limited, 2), '/b/builds/002');
    assert.equal(buildDirectory({ ...layout, ...custom }, 2), '/c/runner/002');
    assert.equal(buildDirectory({ ...limited, ...custom }, 2), '/c/002');
  });

  it('hold static builds per job, limited or not', () => {
    assert.equal(buildDirectory(perJob, 2), '/b/static/302');
    assert.equal(buildDirectory({ ...perJob, ...custom }, 2), '/c/static/302');
  });

  it('hold claims with the builds that they are for', () => {
    assert.equal(claimsDirectory(layout), '/b/claims/runner-runner');
    assert.equal(claimsDirectory(limited), '/b/claims/shared');
    assert.equal(claimsDirectory({ ...limited, ...custom }), '/c/.claims/shared');
  });

  it('are numbered with three digits at least', () => {
    assert.deepEqual([0, 7, 42, 999, 1000, 12345].map(slotName), ['000', '007', '042', '999', '1000', '12345']);
  });
});

describe('a path beneath another', () => {
  const table: [base: string, path: string, is: boolean][] = [
    ['/data/ci', '/data/ci/x', true],
    ['/data/ci', '/data/ci/x/y', true],
    ['/data/ci', '/data/ci/..x', true],
    ['/data/ci', '/data/ci/...', true],
    ['/', '/x', true],
    ['/data/ci', '/data/ci', false],
    ['/data/ci', '/data/ci/', false],
    ['/data/ci', '/data/ci/x/', false],
    ['/data/ci', '/data/ci-evil/x', false],
    ['/data/ci', '/data', false],
    ['/data/ci', '/', false],
    ['/', '/', false],
    ['/data/ci', '/data/ci/../x', false],
    ['/data/ci', '/data/ci/x/../y', false],
    ['/data/ci', '/data/ci/./x', false],
    ['/data/ci', '/data/ci//x', false],
    ['/data/ci', '//data/ci/x', false],
    ['/data/ci', 'data/ci/x', false],
    ['/data/ci', 'x', false],
    ['/data/ci', '', false],
  ];
  for (const [base, path, is] of table) {
    it(`${JSON.stringify(path)} ${is ? 'is' : 'is not'} beneath ${base}`, () =>
      assert.equal(isBeneath(base, path), is));
  }

  const parts = fc.array(fc.constantFrom('a', 'b', '..', '.', '...', 'a b', '', '-', '~', '..a'), { maxLength: 6 });

  it('starts with all parts of the base, and goes on', () => {
    fc.assert(
      fc.property(parts, parts, (left, right) => {
        const base = normalize(`/${left.join('/')}`).replace(/(?<=.)\/$/, '');
        const path = `/${right.join('/')}`;
        if (!isBeneath(base, path)) return;
        const baseParts = base.split('/').filter(Boolean);
        const pathParts = path.split('/').filter(Boolean);
        assert.deepEqual(pathParts.slice(0, baseParts.length), baseParts);
        assert.ok(pathParts.length > baseParts.length);
        assert.ok(!pathParts.includes('..') && !pathParts.includes('.'));
      }),
    );
  });

  it('is every one that was joined from harmless names', () => {
    const names = fc.array(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}$/), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(names, names, (left, right) => isBeneath(`/${left.join('/')}`, join('/', ...left, ...right))),
    );
  });
});
