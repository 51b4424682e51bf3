// What the addons export to JavaScript, import from the system, and need of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type AddonName, addonFile, loadBuiltCredentials, loadBuiltFilterCompiler, loadBuiltLock } from './built.ts';

const addons: readonly AddonName[] = ['credentials', 'lock', 'seccomp'];

const source = (name: string): string => readFileSync(path.join(import.meta.dirname, '../../src', name), 'utf8');

/** Names of the functions of an interface, as its source has them. */
function typedNames(text: string, name: string): string[] {
  const body = text.slice(text.indexOf(`export interface ${name} {`)).split('\n}')[0] ?? '';
  return [...body.matchAll(/^ {2}([a-zA-Z]+)\(/gm)].map((match) => match[1] ?? '');
}

const imports = (name: AddonName): string[] =>
  execFileSync('nm', ['-D', '--undefined-only', addonFile(name)], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(' ').at(-1)?.split('@')[0] ?? '')
    .filter((symbol) => symbol !== '');

// `syscall` because any other of these can be made through it, the loader's functions because they find any other.
const idChanging =
  /^(set\w*[ug]id|\w*setgroups|initgroups|\w*fork|clone\d?|posix_spawnp?|f?exec\w*|capset|syscall|system|popen|dl\w+)$/;

describe('exports of the addons', () => {
  test('credentials: exactly what credentials.ts types', () => {
    const typed = typedNames(source('jacamar-auth/credentials.ts'), 'Credentials');
    assert.ok(typed.length > 5);
    assert.deepEqual(Object.keys(loadBuiltCredentials()).toSorted(), typed.toSorted());
  });

  test('lock: exactly what lock.ts types', () => {
    const typed = typedNames(source('contract/lock.ts'), 'Lock');
    assert.ok(typed.length > 3);
    assert.deepEqual(Object.keys(loadBuiltLock()).toSorted(), typed.toSorted());
  });

  test('seccomp: exactly what filter-compiler.ts types', () => {
    const typed = typedNames(source('jacamar-auth/filter-compiler.ts'), 'FilterCompiler');
    assert.ok(typed.length > 3);
    assert.deepEqual(Object.keys(loadBuiltFilterCompiler()).toSorted(), typed.toSorted());
  });

  test('credentials refuses to load outside the main thread', async () => {
    const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('credentials'))});`;
    const worker = new Worker(code, { eval: true });
    await assert.rejects(
      new Promise((resolve, reject) => worker.on('error', reject).on('exit', resolve)),
      /only for the main thread/,
    );
  });
});

describe('imports of the addons', () => {
  test('the unprivileged one has no way to change ids or to start a program', () => {
    assert.deepEqual(
      imports('lock').filter((symbol) => idChanging.test(symbol)),
      ['syscall'],
    );
    const text = readFileSync(path.join(import.meta.dirname, '../../native/lock/addon.cc'), 'utf8');
    const calls = [...text.matchAll(/\bsyscall\((\w+)/g)].map((match) => match[1]);
    assert.deepEqual([...new Set(calls)], ['SYS_pidfd_open', 'SYS_pidfd_send_signal', 'SYS_quotactl_fd']);
  });

  test('the same look finds such ways in the privileged one', () => {
    const found = imports('credentials').filter((symbol) => idChanging.test(symbol));
    assert.deepEqual(found.toSorted(), ['execve', 'fork', 'syscall']);
  });

  test('the filter compiler has no such way, and installs no filter', () => {
    const found = imports('seccomp').filter(
      (symbol) => idChanging.test(symbol) || /^(prctl|seccomp_load)$/.test(symbol),
    );
    assert.deepEqual(found, []);
  });

  test('libseccomp is needed by the filter compiler alone', () => {
    const needs = (name: AddonName) =>
      /NEEDED.*\[libseccomp\.so\.2\]/.test(execFileSync('readelf', ['-d', addonFile(name)], { encoding: 'utf8' }));
    assert.deepEqual(addons.filter(needs), ['seccomp']);
  });

  test('none needs more than Enterprise Linux 8 has', () => {
    const newest = { GLIBC: [2, 28], GLIBCXX: [3, 4, 25], CXXABI: [1, 3, 11] };
    for (const name of addons) {
      const table = execFileSync('objdump', ['-T', addonFile(name)], { encoding: 'utf8' });
      for (const [library, limit] of Object.entries(newest)) {
        for (const [symbol, version] of table.matchAll(new RegExp(`\\b${library}_([0-9.]+)`, 'g'))) {
          assert.ok(compare((version ?? '').split('.').map(Number), limit) <= 0, `${name}: ${symbol}`);
        }
      }
    }
  });

  test('all are linked with relro, immediate binding and a stack that cannot be executed', () => {
    for (const name of addons) {
      const headers = execFileSync('readelf', ['-lWd', addonFile(name)], { encoding: 'utf8' });
      assert.match(headers, /GNU_RELRO/);
      assert.match(headers, /BIND_NOW|FLAGS.*NOW/);
      assert.match(headers, /GNU_STACK.*RW /);
    }
  });
});

function compare(left: readonly number[], right: readonly number[]): number {
  for (let part = 0; part < Math.max(left.length, right.length); part += 1) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
