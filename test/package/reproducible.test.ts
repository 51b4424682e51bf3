// Two builds of one source, in different places, make the same packages byte for byte, when the second is given the
// code caches of the first.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { buildPackages } from '../support/packages.ts';

const ROOT = join(import.meta.dirname, '../..');
// On the file system of the tree, so that packages of npm need not be copied.
const place = mkdtempSync(join(ROOT, 'build/again_'));
after(() => rmSync(place, { recursive: true }));

const git = (...args: string[]) => execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).trim();

/** The tree as it is here, committed or not; git answers there as it does here. */
function copyOfSource(): string {
  const copy = join(place, 'elsewhere/source');
  for (const file of git('ls-files', '--cached', '--others', '--exclude-standard').split('\n')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(ROOT, file), join(copy, file));
  }
  execFileSync('cp', ['--archive', '--link', join(ROOT, 'node_modules'), copy]);
  writeFileSync(join(copy, '.git'), `gitdir: ${git('rev-parse', '--absolute-git-dir')}\n`);
  return copy;
}

function build(directory: string): void {
  const env = {
    ...process.env,
    PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`,
    JACAMAR_CODE_CACHES: join(ROOT, 'build/runtime'),
    // No index of this tree is written while another one stands in its place.
    GIT_OPTIONAL_LOCKS: '0',
  };
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'build'], { cwd: directory, env, encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
}

/** What rpm knows of each file, so that a difference is named. */
const files = (rpm: string) =>
  execFileSync('rpm', ['-qp', '--qf', '[%{FILENAMES} %{FILEMTIMES} %{FILEDIGESTS}\n]', rpm], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).split('\n');

test('a build in another place makes the same packages', () => {
  const copy = copyOfSource();
  build(copy);
  const here = { rpm: buildPackages('rpm', join(place, 'here')), deb: buildPackages('deb', join(place, 'here')) };
  const there = {
    rpm: buildPackages('rpm', join(place, 'there'), 1, copy),
    deb: buildPackages('deb', join(place, 'there'), 1, copy),
  };
  const known = files(here.rpm['jacamar-ci']);
  assert.deepEqual(
    files(there.rpm['jacamar-ci']).filter((line) => !known.includes(line)),
    [],
  );
  for (const flavour of ['jacamar-ci', 'jacamar-ci-caps'] as const) {
    for (const kind of ['rpm', 'deb'] as const) {
      const equal = readFileSync(here[kind][flavour]).equals(readFileSync(there[kind][flavour]));
      assert.ok(equal, `${kind} of ${flavour}`);
    }
  }
});
