// The shared runtime as it was built: its code caches fit, and it runs nothing but our programs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Script } from 'node:vm';

const BUILT = join(import.meta.dirname, '../../build/runtime');
const RUNTIME = join(BUILT, 'jacamar-runtime');

function run(argv0: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  return spawnSync(RUNTIME, [...args], { argv0, env, encoding: 'utf8' });
}

describe('the runtime', () => {
  for (const program of ['jacamar-auth', 'jacamar', 'jacamar-admin']) {
    it(`has a code cache for ${program} that V8 takes`, () => {
      const source = readFileSync(join(BUILT, `${program}.js`), 'utf8');
      const cachedData = readFileSync(join(BUILT, `${program}.cache`));
      assert.equal(new Script(source, { filename: `${program}.js`, cachedData }).cachedDataRejected, false);
    });

    it(`runs ${program} when started under its name`, () => {
      const { stdout, status } = run(`/anywhere/${program}`, ['--version']);
      assert.match(stdout, /^Version: \S+\nGit Commit: \S+\nNode: 24\./);
      assert.equal(status, 0);
    });
  }

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
