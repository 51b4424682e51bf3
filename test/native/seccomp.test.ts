// Filters made by libseccomp and by our own instructions in front of them, judged by the kernel: one call per launch.

import assert from 'node:assert/strict';
import { chmodSync, closeSync, copyFileSync, createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import type { ExitStatus } from '../../src/jacamar-auth/credentials.ts';
import type { FilterRules } from '../../src/jacamar-auth/filter-compiler.ts';
import {
  addonFile,
  ended,
  examplePlan,
  finished,
  loadBuiltCredentials,
  loadBuiltFilterCompiler,
  nativeFile,
} from './built.ts';

const credentials = loadBuiltCredentials();
const compiler = loadBuiltFilterCompiler();

// Where another account can reach it, whoever owns the tree.
const directory = mkdtempSync(join(tmpdir(), 'jt_seccomp_'));
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true }));
const caller = join(directory, 'test-call');
copyFileSync(nativeFile('test-call'), caller);
chmodSync(caller, 0o755);

const { EPERM, ENOSYS, ENOTTY, EINVAL } = constants.errno;
const KILLED: ExitStatus = { signal: constants.signals.SIGSYS };
const [TIOCSTI, TIOCLINUX, TCGETS] = ['0x5412', '0x541c', '0x5401'];
const HIGH_BIT = 2n ** 32n;

/** Refused calls answer EPERM, so that a test can tell them from those that the kernel refuses by itself. */
const rules = (change: Partial<FilterRules>): FilterRules => ({
  onlyAllowed: false,
  allowed: [],
  blocked: [],
  absent: [],
  refusals: [],
  limits: [],
  error: EPERM,
  logAllowed: false,
  ...change,
});

/** The errno of one call under a filter, or how its process died. */
async function answer(change: Partial<FilterRules>, call: string, ...args: (string | bigint)[]) {
  const [reading, writing] = credentials.pipe();
  const pid = credentials.launch({
    ...examplePlan,
    file: caller,
    argv: ['test-call', call, ...args.map(String)],
    stdio: [0, writing, 2],
    noNewPrivileges: true,
    seccompFilter: compiler.compile(rules(change)),
  });
  closeSync(writing);
  const output = await text(createReadStream('', { fd: reading }));
  const status = await ended(credentials, pid);
  return 'exitCode' in status && status.exitCode === 0 ? Number(output) : status;
}

describe('a blocked call', () => {
  test('answers with the error number of the rules', async () => {
    assert.equal(await answer({ blocked: ['getppid'] }, 'getppid'), EPERM);
    assert.equal(await answer({ blocked: ['getppid'], error: 4094 }, 'getppid'), 4094);
  });

  test('kills its process where the rules have no number', async () => {
    assert.deepEqual(await answer({ blocked: ['getppid'], error: 0 }, 'getppid'), KILLED);
  });

  test('is only that call', async () => {
    assert.equal(await answer({ blocked: ['getppid'] }, 'getpriority', '0', '0'), 0);
  });

  test('does not exist where the rules say so', async () => {
    assert.equal(await answer({ absent: ['io_uring_setup'], error: 0 }, 'io_uring_setup'), ENOSYS);
  });
});

describe('calls of a foreign kind', () => {
  const foreign = process.arch === 'x64' ? ['x32:getppid', 'i386:getppid'] : [];
  const filters: Record<string, Partial<FilterRules>> = {
    'a block list': { blocked: ['getpriority'] },
    'a rule on arguments': { refusals: [{ call: 'ioctl', argument: 1, value: Number(TIOCSTI) }] },
    'a limit of ids': { limits: [{ call: 'setuid', arguments: 1, id: 61234 }] },
    'no rule at all': {},
    'permissions that are logged': { logAllowed: true },
    'all native calls allowed': { onlyAllowed: true, allowed: compiler.names() },
  };
  for (const [title, filter] of Object.entries(filters)) {
    for (const call of foreign) {
      test(`${call} is no way past a filter with ${title}`, async () => {
        assert.deepEqual(await answer(filter, call), KILLED);
      });
    }
  }
});

describe('a filter of allowed calls', () => {
  const enough = [
    ...['execve', 'exit_group', 'write', 'brk', 'arch_prctl', 'set_tid_address', 'set_robust_list', 'rseq'],
    ...['mprotect', 'mmap', 'munmap', 'prlimit64', 'readlink', 'readlinkat', 'getrandom', 'newfstatat', 'fstat'],
  ];
  test('refuses what is not among them', async () => {
    assert.equal(await answer({ onlyAllowed: true, allowed: enough }, 'getppid'), EPERM);
    assert.equal(await answer({ onlyAllowed: true, allowed: [...enough, 'getppid'] }, 'getppid'), 0);
  });

  test('kills for them where the rules have no number', async () => {
    const plain = await answer({ onlyAllowed: true, allowed: enough, error: 0 }, 'getppid');
    assert.deepEqual(plain, KILLED);
  });

  test('takes names that only another architecture has', async () => {
    const everywhere = ['socketcall', 'setuid32', 'open', 'mmap2'];
    for (const name of everywhere) assert.ok(compiler.knows(name), name);
    assert.equal(await answer({ onlyAllowed: true, allowed: [...enough, 'getppid', ...everywhere] }, 'getppid'), 0);
    assert.equal(await answer({ blocked: ['socketcall'] }, 'getppid'), 0);
  });
});

describe('a rule on an argument', () => {
  const typing = [TIOCSTI, TIOCLINUX].map((value) => ({ call: 'ioctl', argument: 1, value: Number(value) }));
  for (const command of [TIOCSTI, TIOCLINUX]) {
    test(`refuses ioctl ${command}`, async () => {
      assert.equal(await answer({ refusals: typing }, 'ioctl', '0', command ?? '', '0'), EPERM);
    });
  }

  test('is not misled by bits that the kernel ignores', async () => {
    for (const bits of [HIGH_BIT, 2n ** 63n, (2n ** 32n - 1n) << 32n]) {
      assert.equal(await answer({ refusals: typing }, 'ioctl', '0', BigInt(TIOCSTI ?? 0) | bits, '0'), EPERM);
    }
  });

  test('leaves other commands alone', async () => {
    assert.equal(await answer({ refusals: typing }, 'ioctl', '0', TCGETS ?? '', '0'), ENOTTY);
  });
});

describe('a limit of ids', () => {
  const own = 61234n;
  const other = 61235n;
  const unchanged = 2n ** 64n - 1n;
  const unchanged32 = 2n ** 32n - 1n;
  // ENOTTY cannot come from these calls, so it is our filter's answer and nobody else's.
  const limited = (call: string, count: number) => ({
    error: ENOTTY,
    limits: [{ call, arguments: count, id: Number(own) }],
  });
  const calls = [
    ...(['setuid', 'setgid', 'setfsuid', 'setfsgid'] as const).map((call) => ({ call, count: 1 })),
    ...(['setreuid', 'setregid'] as const).map((call) => ({ call, count: 2 })),
    ...(['setresuid', 'setresgid'] as const).map((call) => ({ call, count: 3 })),
  ];
  for (const { call, count } of calls) {
    const all = (id: bigint) => Array.from({ length: count }, () => id);
    test(`${call}: another id in any place is refused, the account's own and "unchanged" are not`, async () => {
      for (let place = 0; place < count; place += 1) {
        for (const id of [0n, other, own | HIGH_BIT | 1n, 2n ** 31n]) {
          assert.equal(
            await answer(limited(call, count), call, ...all(own).with(place, id)),
            ENOTTY,
            `${id} at ${place}`,
          );
        }
        for (const id of [own, unchanged, unchanged32]) {
          const got = await answer(limited(call, count), call, ...all(own).with(place, id));
          assert.notEqual(got, ENOTTY, `${id} at ${place}`);
        }
      }
    });
  }

  test('kills where the rules have no number', async () => {
    assert.deepEqual(await answer({ ...limited('setuid', 1), error: 0 }, 'setuid', 0n), KILLED);
  });

  test('several limits stand beside each other and beside other rules', async () => {
    const limits = calls.map(({ call, count }) => ({ call, arguments: count, id: Number(own) }));
    const all = { blocked: ['getppid'], limits, error: ENOTTY };
    for (const { call, count } of calls) {
      assert.equal(await answer(all, call, ...Array.from({ length: count }, () => other)), ENOTTY);
    }
    assert.equal(await answer(all, 'getppid'), ENOTTY);
    assert.equal(await answer(all, 'setuid', own), 0);
    assert.equal(await answer(all, 'getpriority', '0', '0'), 0);
  });

  test('of no id at all the kernel decides as before', async () => {
    assert.equal(await answer(limited('setuid', 1), 'setuid', unchanged), EINVAL);
  });
});

describe('the compiler', () => {
  test('knows names, and says which library it uses', () => {
    for (const name of ['ptrace', 'execve', 'setuid32']) assert.ok(compiler.knows(name), name);
    for (const name of ['', 'ptrce', 'PTRACE', 'SYS_ptrace', '101', 'ptrace ']) assert.ok(!compiler.knows(name), name);
    assert.ok(compiler.names().length > 300);
    assert.match(compiler.version(), /^2\.\d+\.\d+$/);
  });

  test('takes every call at once', async () => {
    const blocked = compiler.names().filter((name) => !['execve', 'write', 'exit_group'].includes(name));
    assert.ok(compiler.compile(rules({ blocked })).length < 8 * 4096);
  });

  const bad: readonly [title: string, change: object, error: object][] = [
    ['an unknown name', { blocked: ['ptrce'] }, { code: 'ENOENT', syscall: 'seccomp_syscall_resolve_name' }],
    ['an unknown name with a limit', { limits: [{ call: 'x', arguments: 1, id: 1 }] }, { code: 'ENOENT' }],
    ['a seventh argument', { limits: [{ call: 'setuid', arguments: 7, id: 1 }] }, { name: 'RangeError' }],
    ['an id of 2^32', { limits: [{ call: 'setuid', arguments: 1, id: 2 ** 32 }] }, { name: 'RangeError' }],
    ['an error number of 4095', { error: 4095 }, { name: 'RangeError' }],
    ['names that are text', { blocked: 'ptrace' }, { name: 'TypeError' }],
    ['a flag left out', { logAllowed: undefined }, { name: 'TypeError' }],
    ['a name with NUL', { blocked: ['ptrace\0x'] }, { name: 'RangeError' }],
  ];
  for (const [title, change, error] of bad) {
    test(`refuses ${title}`, () => {
      assert.throws(() => compiler.compile({ ...rules({}), ...change }), error);
    });
  }
});

test('the filter is the last call before the program', async () => {
  const plan = { ...examplePlan, file: '/bin/true', argv: ['true'], noNewPrivileges: true };
  const code = `const load = (f) => { const m = { exports: {} }; process.dlopen(m, f); return m.exports };
    const seccompFilter = load(${JSON.stringify(addonFile('seccomp'))}).compile(${JSON.stringify(rules({ blocked: ['ptrace'] }))});
    load(${JSON.stringify(addonFile('credentials'))}).launch({ ...${JSON.stringify(plan)}, seccompFilter })`;
  const trace = await finished('strace', ['-f', '-qq', '-e', 'signal=none', process.execPath, '-e', code]);
  const child = trace.stderr.match(/^\[pid +(\d+)\] setsid/m)?.[1];
  // Calls as they begin: the end of exec may be missing, since the child dies with its parent here.
  const made = [...trace.stderr.matchAll(/^\[pid +(\d+)\] (\w+)\(/gm)]
    .filter(([, pid]) => pid === child)
    .map(([, , call]) => call ?? '');
  const filter = made.indexOf('seccomp');
  assert.equal(made.lastIndexOf('seccomp'), filter);
  assert.deepEqual(made.slice(filter - 2, filter + 2), ['getppid', 'rt_sigprocmask', 'seccomp', 'execve']);
  const privileged = ['setgroups', 'setresgid', 'setresuid', 'capset'];
  for (const call of privileged) assert.ok(made.indexOf(call) >= 0 && made.indexOf(call) < filter, call);
  assert.ok(made.slice(filter).every((call) => !privileged.includes(call)));
  assert.match(trace.stderr, /prctl\(PR_SET_NO_NEW_PRIVS, 1/);
});
