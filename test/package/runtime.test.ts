// The shared runtime as it was built: its code caches fit, and it runs nothing but our programs.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Script } from 'node:vm';
import { scratchDirectory } from '../support/scratch.ts';

const BUILT = join(import.meta.dirname, '../../build/runtime');
const RUNTIME = join(BUILT, 'jacamar-runtime');

function run(argv0: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  return spawnSync(RUNTIME, [...args], { argv0, env, encoding: 'utf8' });
}

/** What V8 makes of a bundle, given this code cache. */
function compile(program: string, cachedData?: Buffer): Script {
  const source = readFileSync(join(BUILT, `${program}.js`), 'latin1');
  return new Script(source, { filename: `${program}.js`, ...(cachedData === undefined ? {} : { cachedData }) });
}

describe('the runtime', () => {
  for (const program of ['jacamar-auth', 'jacamar', 'jacamar-admin']) {
    it(`has a code cache for ${program} that V8 takes`, () => {
      assert.equal(compile(program, readFileSync(join(BUILT, `${program}.cache`))).cachedDataRejected, false);
      assert.match(run(program, ['--version']).stdout, /^Code Cache: used$/m);
    });

    it(`runs ${program} when started under its name`, () => {
      const { stdout, status } = run(`/anywhere/${program}`, ['--version']);
      assert.match(stdout, /^Version: \S+\nGit Commit: \S+\nNode: 24\./);
      assert.equal(status, 0);
    });
  }

  for (const program of ['jacamar-auth', 'jacamar']) {
    it(`has in the code cache of ${program} what a whole job needs, not only what every start does`, (context) => {
      const scratch = scratchDirectory(context);
      copyFileSync(join(BUILT, `${program}.js`), join(scratch, `${program}.js`));
      const maker = join(import.meta.dirname, '../../script/make-code-cache.cjs');
      execFileSync(process.execPath, [maker, scratch, scratch, program, '--version']);
      const sizeIn = (directory: string) => statSync(join(directory, `${program}.cache`)).size;
      assert.ok(sizeIn(BUILT) > 1.15 * sizeIn(scratch), `${sizeIn(BUILT)} and ${sizeIn(scratch)} bytes`);
    });

    it(`has a smaller code cache for the run stages of ${program}, which V8 takes as well`, () => {
      const [all, run] = [`${program}.cache`, `${program}.run.cache`].map((name) => readFileSync(join(BUILT, name)));
      assert.equal(compile(program, run).cachedDataRejected, false);
      const [most = 0, size = 0] = [all?.length, run?.length];
      assert.ok(size < 0.95 * most && size > 0.5 * most, `${size} of ${most} bytes`);
    });
  }

  it('compiles the source, and says so, when a code cache does not fit', (context) => {
    const other = join(scratchDirectory(context), 'jacamar-runtime');
    const bytes = readFileSync(RUNTIME);
    // The header names the version of V8 that made the cache.
    const header = bytes.indexOf(readFileSync(join(BUILT, 'jacamar.cache')).subarray(0, 64));
    assert.ok(header > 0);
    bytes.writeUInt8(bytes.readUInt8(header + 4) ^ 1, header + 4);
    writeFileSync(other, bytes, { mode: 0o755 });
    const { stdout, status } = spawnSync(other, ['--version'], { argv0: 'jacamar', env: {}, encoding: 'utf8' });
    assert.match(stdout, /^Version: .*^Code Cache: not used$/ms);
    assert.equal(status, 0);
  });

  it('is stripped, and needs no newer system than Enterprise Linux 8', () => {
    const newest = { GLIBC: [2, 28], GLIBCXX: [3, 4, 25], CXXABI: [1, 3, 11] };
    assert.doesNotMatch(execFileSync('readelf', ['-SW', RUNTIME], { encoding: 'utf8' }), / \.symtab /);
    const needs = execFileSync('readelf', ['-VW', RUNTIME], { encoding: 'utf8', maxBuffer: 2 ** 28 });
    for (const [library, limit] of Object.entries(newest)) {
      const versions = [...needs.matchAll(new RegExp(`Name: ${library}_([0-9.]+)`, 'g'))].map(
        ([, version = '']) => version,
      );
      assert.ok(versions.length > 0, library);
      for (const version of versions) assert.ok(isAtMost(version, limit), `${library}_${version}`);
    }
  });

  it('is started by launchers that need no library at all', () => {
    for (const program of ['jacamar-auth', 'jacamar', 'jacamar-admin']) {
      const dynamic = execFileSync('readelf', ['-dW', join(BUILT, '../native/bin', program)], { encoding: 'utf8' });
      assert.doesNotMatch(dynamic, /\(NEEDED\)/, program);
    }
  });

  it('runs nothing else', () => {
    for (const name of ['jacamar-runtime', 'node', '', 'jacamar-auth/x']) {
      const { status, stdout } = run(name, ['-e', 'console.log(1)']);
      assert.equal(status, 2, name);
      assert.equal(stdout, '');
    }
  });

  it('takes no options of Node from arguments or environment', () => {
    const spoil = '--require=/nonexistent.cjs';
    for (const [args, env] of [
      [['--version', spoil], {}],
      [['--version'], { NODE_OPTIONS: spoil }],
    ] as const) {
      const { stdout } = run('jacamar', args, { ...env });
      assert.match(stdout, /^Version: /);
    }
  });
});

function isAtMost(version: string, limit: readonly number[]): boolean {
  const parts = version.split('.').map(Number);
  const at = limit.findIndex((part, index) => (parts[index] ?? 0) !== part);
  return at < 0 || (parts[at] ?? 0) < (limit[at] ?? 0);
}
