// The rules that keep the parts of the product apart, and that those rules can fail.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkTree, NATIVE_DOORS, TYPESCRIPT_DOORS, trespasses } from '../../script/doors.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('doors', () => {
  it('finds nothing that comes in by another way', () => {
    assert.deepEqual(checkTree(ROOT), []);
  });

  for (const [line, what] of [
    [`import { jwtVerify } from 'jose';`, 'jose'],
    [`import { spawn } from 'node:child_process';`, 'child processes'],
    [`const { get } = await import('node:https');`, 'an HTTP client or server'],
    [`const http = require('node:http');`, 'an HTTP client or server'],
    [`const home = process.env['HOME'];`, "the process's environment"],
    [`process.exit(1);`, 'ending the process'],
    [`process.setuid(0);`, 'ids of the process'],
    [`process.dlopen(module, file);`, 'loading an addon'],
    [`console.log('x');`, 'console'],
    [`import { runStage } from '../jacamar/stages.ts';`, "the user's program"],
    [`import { trial } from '../jacamar-admin/trial.ts';`, "the administrator's program"],
  ] as const) {
    it(`catches: ${line}`, () => {
      const found = trespasses('src/jacamar-auth/policy.ts', line, TYPESCRIPT_DOORS);
      assert.deepEqual(found, [`src/jacamar-auth/policy.ts:1: ${what} has another door`]);
    });
  }

  for (const line of [
    'syscall(SYS_setresuid, uid, uid, uid);',
    'setgroups(0, nullptr);',
    'execve(a, b, c);',
    'fork();',
  ]) {
    it(`catches in native code: ${line}`, () => {
      assert.equal(trespasses('native/lock/addon.cc', line, NATIVE_DOORS).length, 1);
    });
  }

  it('lets a door through', () => {
    assert.deepEqual(
      trespasses('src/jacamar-auth/token.ts', `import { jwtVerify } from 'jose';`, TYPESCRIPT_DOORS),
      [],
    );
  });
});

describe('parts', () => {
  it('are kept apart by the doors too', () => {
    const line = `import { loadCredentials } from '../../jacamar-auth/credentials.ts';`;
    const found = trespasses('src/jacamar/executors/shell.ts', line, TYPESCRIPT_DOORS);
    assert.deepEqual(found, ['src/jacamar/executors/shell.ts:1: the privileged program has another door']);
  });

  for (const [part, forbidden] of [
    ['jacamar', '../jacamar-auth/credentials.ts'],
    ['jacamar-auth', '../jacamar/stages.ts'],
    ['contract', '../jacamar/stages.ts'],
  ] as const) {
    it(`the compiler refuses an import of ${forbidden} in src/${part}`, () => {
      const tree = copyOfConfigurations();
      try {
        writeFileSync(join(tree, 'src', part, 'trespass.ts'), `import '${forbidden}';\n`);
        const { status, stdout } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-b', `src/${part}`], {
          cwd: tree,
          encoding: 'utf8',
        });
        assert.notEqual(status, 0);
        assert.match(stdout, /trespass\.ts.*TS6307|TS6307.*trespass\.ts|is not listed within the file list/s);
      } finally {
        rmSync(tree, { recursive: true });
      }
    });
  }
});

/** The compiler's settings with nearly empty parts: enough for it to refuse an import, and quick. */
function copyOfConfigurations(): string {
  const tree = mkdtempSync(join(tmpdir(), 'jacamar-parts-'));
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  writeFileSync(join(tree, 'package.json'), '{"type":"module"}');
  writeFileSync(join(tree, 'tsconfig.base.json'), readFileSync(join(ROOT, 'tsconfig.base.json')));
  const files = { contract: 'errors.ts', 'jacamar-auth': 'credentials.ts', jacamar: 'stages.ts' };
  for (const [part, file] of Object.entries(files)) {
    mkdirSync(join(tree, 'src', part), { recursive: true });
    writeFileSync(join(tree, 'src', part, 'tsconfig.json'), readFileSync(join(ROOT, 'src', part, 'tsconfig.json')));
    writeFileSync(join(tree, 'src', part, file), 'export const here = 1;\n');
  }
  return tree;
}
