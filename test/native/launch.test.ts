// Launching from Node, as root: what the kernel says about the child, and what JavaScript learns of failures.

import assert from 'node:assert/strict';
import { closeSync, createReadStream, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { CredentialsError, LaunchPlan } from '../../src/jacamar-auth/credentials.ts';
import { createAccount, type TestAccount } from '../support/accounts.ts';
import { addonFile, ended, examplePlan, finished, loadBuiltCredentials } from './built.ts';
import { LAUNCH_ORDER, traceLaunch } from './launch-order.ts';

const credentials = loadBuiltCredentials();
const shell = (script: string): Partial<LaunchPlan> => ({ argv: ['sh', '-c', script] });

/** What a launched script prints, once it has ended well. */
async function outputOf(plan: LaunchPlan): Promise<string> {
  const [reading, writing] = credentials.pipe();
  const pid = credentials.launch({ ...plan, stdio: [plan.stdio[0], writing, plan.stdio[2]] });
  closeSync(writing);
  // Not as a stream: that closes its descriptor some time later, under the eyes of a test that counts them.
  const output = readFileSync(reading, 'utf8');
  closeSync(reading);
  assert.deepEqual(await ended(credentials, pid), { exitCode: 0 });
  return output;
}

const statusLine = (status: string, name: string): string => {
  const line = status.split('\n').find((candidate) => candidate.startsWith(`${name}:`));
  return (line ?? '')
    .slice(name.length + 1)
    .trim()
    .replaceAll('\t', ' ');
};

describe('launch as a real account', () => {
  let account: TestAccount;
  before(async () => {
    account = await createAccount({ groups: 3 });
  });
  after(() => account.remove());

  test('the program has the ids and every group of the account, and no capability', async () => {
    const found = await credentials.lookUpAccount(account.name);
    assert.ok(found);
    const { uid, gid, groups } = found;
    const plan = { ...examplePlan, credentials: { uid, gid, groups }, ...shell('cat /proc/self/status') };
    const status = await outputOf({ ...plan, cwd: account.home });
    assert.equal(statusLine(status, 'Uid'), `${uid} ${uid} ${uid} ${uid}`);
    assert.equal(statusLine(status, 'Gid'), `${gid} ${gid} ${gid} ${gid}`);
    assert.equal(groups.length, 4);
    assert.equal(statusLine(status, 'Groups'), groups.toSorted((a, b) => a - b).join(' '));
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.equal(statusLine(status, set), '0'.repeat(16));
  });

  test('no thread of the launching process changes', async () => {
    const threads = () =>
      readdirSync('/proc/self/task').map((thread) => {
        const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
        return ['Uid', 'Gid', 'Groups', 'CapPrm', 'CapEff', 'SigBlk'].map((name) => statusLine(status, name)).join('|');
      });
    const [main] = threads();
    await outputOf(examplePlan);
    assert.equal(threads()[0], main);
    for (const thread of threads()) assert.equal(thread.split('|')[0], '0 0 0 0');
  });

  test('two hundred launches leave neither descriptors nor children behind', async () => {
    const descriptors = readdirSync('/proc/self/fd').length;
    for (let launch = 0; launch < 200; launch += 1) {
      assert.throws(() => credentials.launch({ ...examplePlan, cwd: '/does-not-exist' }));
    }
    assert.equal(readdirSync('/proc/self/fd').length, descriptors);
    assert.equal(readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim(), '');
  });
});

test('the child makes its system calls in the order that the design fixes', async () => {
  const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('credentials'))});
    m.exports.launch(${JSON.stringify({ ...examplePlan, file: '/bin/true', argv: ['true'] })})`;
  assert.deepEqual(await traceLaunch(process.execPath, code), { before: LAUNCH_ORDER, after: [] });
});

// What the parent's session keyring holds (keys of root, or of the job before) must not be the job's to find.
describe('the session keyring', () => {
  const FOUND = 10;
  const MISSING = 11;

  /** Whether a launched program finds a key that root's session has. */
  async function search(credentials: LaunchPlan['credentials']): Promise<number | null> {
    const { credentials: _, ...rest } = examplePlan;
    const look = shell(`keyctl search @s user jt_key; [ $? = 0 ] && exit ${FOUND}; exit ${MISSING}`);
    const plan = JSON.stringify({ ...rest, ...look, ...(credentials ? { credentials } : {}) });
    const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('credentials'))});
      const pid = m.exports.launch(${plan});
      const look = () => { const s = m.exports.wait(pid); s ? process.exit(s.exitCode) : setTimeout(look, 10); }; look();`;
    const withKey = ['sh', '-c', 'keyctl add user jt_key x @s; exec "$@"', 'sh', process.execPath, '-e', code];
    return (await finished('keyctl', ['session', '-', ...withKey])).code;
  }

  test('of the child is its own', async () => {
    assert.equal(await search(undefined), FOUND, 'root itself finds the key');
    assert.equal(await search(examplePlan.credentials), MISSING);
  });

  test('of the child is a new one even when the account has used up its quota of keys', async (t) => {
    const account = await createAccount(); // no other test takes or frees keys of this one
    t.after(() => account.remove());
    const { uid, gid } = account;
    const asAccount = (script: string) =>
      finished('setpriv', [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', 'sh', '-c', script]);
    const { stderr } = await asAccount('n=0; while keyctl add user "jt_$n" x @u; do n=$((n + 1)); done');
    assert.match(stderr, /quota/i);
    assert.equal(await search({ uid, gid, groups: [] }), MISSING);
    await asAccount('keyctl clear @u');
  });
});

describe('failures of a launch', () => {
  const cases: readonly [title: string, change: Partial<LaunchPlan>, expected: Partial<CredentialsError>][] = [
    [
      'a missing directory',
      { cwd: '/none' },
      { code: 'ENOENT', errno: -2, syscall: 'chdir', step: 'enter the directory' },
    ],
    [
      'a missing program',
      { file: '/none' },
      { code: 'ENOENT', errno: -2, syscall: 'execve', step: 'execute the program' },
    ],
    [
      'a directory in place of a program',
      { file: '/etc' },
      { code: 'EACCES', errno: -13, syscall: 'execve', step: 'execute the program' },
    ],
    [
      'a closed stream',
      { stdio: [0, 1, 999] },
      { code: 'EBADF', errno: -9, syscall: 'dup2', step: 'connect standard streams' },
    ],
    [
      'root',
      { credentials: { uid: 0, gid: 5, groups: [] } },
      { code: 'EPERM', errno: -1, syscall: 'launch', step: 'check the plan' },
    ],
    [
      'arguments beyond the limit',
      { argv: ['sh', 'x'.repeat(200_000)] },
      { code: 'E2BIG', errno: -7, syscall: 'execve', step: 'execute the program' },
    ],
  ];
  for (const [title, change, expected] of cases) {
    test(`${title} is an Error with code, errno, syscall and step`, () => {
      assert.throws(
        () => credentials.launch({ ...examplePlan, ...change }),
        (error: CredentialsError) => {
          const { code, errno, syscall, step } = error;
          assert.deepEqual({ code, errno, syscall, step }, expected);
          return error instanceof Error && error.message.startsWith(`${code}: `);
        },
      );
    });
  }
});

describe('a plan of a wrong shape', () => {
  const ids = { uid: 61234, gid: 61234, groups: [61234] };
  const cases: readonly [title: string, change: object, error: typeof TypeError | typeof RangeError][] = [
    ['no file', { file: undefined }, TypeError],
    ['a negative descriptor', { file: -1 }, RangeError],
    ['NUL in the file', { file: '/bin/sh\0' }, RangeError],
    ['argv that is text', { argv: 'sh' }, TypeError],
    ['an argument that is a number', { argv: ['sh', 1] }, TypeError],
    ['NUL in an argument', { argv: ['sh', 'a\0b'] }, RangeError],
    ['NUL in a variable', { env: ['A=\0'] }, RangeError],
    ['two streams', { stdio: [0, 1] }, RangeError],
    ['a fractional stream', { stdio: [0, 1, 1.5] }, RangeError],
    ['a uid that is text', { credentials: { ...ids, uid: '61234' } }, TypeError],
    ['a negative uid', { credentials: { ...ids, uid: -1 } }, RangeError],
    ['a uid of 2^32, which would wrap to root', { credentials: { ...ids, uid: 2 ** 32 } }, RangeError],
    ['a uid that is not a number', { credentials: { ...ids, uid: Number.NaN } }, RangeError],
    ['a fractional gid', { credentials: { ...ids, gid: 0.5 } }, RangeError],
    ['a group of 2^32', { credentials: { ...ids, groups: [2 ** 32] } }, RangeError],
    ['credentials that are null', { credentials: null }, TypeError],
    ['credentials without groups', { credentials: { uid: 61234, gid: 61234 } }, TypeError],
    ['a umask beyond 0777', { umask: 0o1000 }, RangeError],
    ['a signal beyond 64', { deathSignal: 65 }, RangeError],
    ['a flag that is a number', { noNewPrivileges: 1 }, TypeError],
    ['a flag left out', { newSession: undefined }, TypeError],
    ['a filter that is text', { seccompFilter: 'allow' }, TypeError],
    ['a filter that is a view of something else', { seccompFilter: new Uint32Array(2) }, TypeError],
    ['an empty filter, which would be none', { seccompFilter: new Uint8Array(0) }, RangeError],
    ['a filter that is cut off', { seccompFilter: new Uint8Array(12) }, RangeError],
    ['a filter longer than the kernel takes', { seccompFilter: new Uint8Array(8 * 4097) }, RangeError],
  ];
  for (const [title, change, error] of cases) {
    test(`is refused: ${title}`, () => {
      assert.throws(() => credentials.launch({ ...examplePlan, ...change } as LaunchPlan), error);
    });
  }
  test('is refused: no plan at all', () => {
    assert.throws(() => (credentials.launch as () => unknown)(), TypeError);
    assert.throws(() => credentials.launch('sh' as unknown as LaunchPlan), TypeError);
  });
});

describe('wait and signal', () => {
  test('give exit code and signal, and undefined while the child runs', async () => {
    const pid = credentials.launch({ ...examplePlan, ...shell('exec sleep 600') });
    assert.equal(credentials.wait(pid), undefined);
    credentials.signal(pid, constants.signals.SIGTERM);
    assert.deepEqual(await ended(credentials, pid), { signal: constants.signals.SIGTERM });
    const other = credentials.launch({ ...examplePlan, ...shell('exit 42') });
    assert.deepEqual(await ended(credentials, other), { exitCode: 42 });
  });

  test('a negative pid reaches the whole process group', async () => {
    const [reading, writing] = credentials.pipe();
    const script = 'sleep 600 & echo up; wait';
    const pid = credentials.launch({ ...examplePlan, stdio: [0, writing, 2], ...shell(script) });
    closeSync(writing);
    const stream = createReadStream('', { fd: reading, encoding: 'utf8' });
    stream.once('data', () => credentials.signal(-pid, constants.signals.SIGKILL));
    assert.equal(await text(stream), 'up\n'); // the end of file says that sleep is gone as well
    assert.deepEqual(await ended(credentials, pid), { signal: constants.signals.SIGKILL });
  });

  test('everything, our own group and init cannot be signalled', () => {
    for (const pid of [-1, 0, 1, 2 ** 31, -(2 ** 31), 0.5]) assert.throws(() => credentials.signal(pid, 0), RangeError);
    for (const signal of [-1, 65]) assert.throws(() => credentials.signal(process.pid, signal), RangeError);
  });

  test('a process that is not there is ESRCH, one that is not our child ECHILD', () => {
    assert.throws(() => credentials.signal(2 ** 30, 0), { code: 'ESRCH', syscall: 'kill' });
    assert.throws(() => credentials.wait(process.ppid), { code: 'ECHILD', syscall: 'waitpid' });
    for (const pid of [-1, 0, 1]) assert.throws(() => credentials.wait(pid), RangeError);
  });
});

describe('descriptors made for a launch', () => {
  test('are close-on-exec', () => {
    for (const pair of [credentials.pipe(), credentials.socketPair()]) {
      for (const fd of pair) {
        const flags = /flags:\s+0*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
        assert.equal(Number.parseInt(flags ?? '', 8) & 0o2000000, 0o2000000);
        closeSync(fd);
      }
    }
  });

  test('a socket pair carries both ways, and our end does not block', async () => {
    const [ours, theirs] = credentials.socketPair();
    assert.throws(() => readSync(ours, Buffer.alloc(1)), { code: 'EAGAIN' });
    const pid = credentials.launch({
      ...examplePlan,
      stdio: [theirs, theirs, 2],
      ...shell('read line; echo "got $line"'),
    });
    closeSync(theirs);
    writeSync(ours, 'a script\n');
    assert.deepEqual(await ended(credentials, pid), { exitCode: 0 });
    const answer = Buffer.alloc(64);
    assert.equal(answer.toString('latin1', 0, readSync(ours, answer)), 'got a script\n');
    closeSync(ours);
  });

  test('none of the process reaches the program', async () => {
    const leaks = [openSync('/etc/shadow', 'r'), ...credentials.pipe()];
    const output = await outputOf({ ...examplePlan, file: '/bin/ls', argv: ['ls', '/proc/self/fd'] });
    assert.equal(output, '0\n1\n2\n3\n');
    for (const fd of leaks) closeSync(fd);
  });
});
