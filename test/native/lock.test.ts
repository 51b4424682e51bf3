// The unprivileged addon: locks that end with their holder, orphans that become ours.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { addonFile, finished, loadBuiltLock } from './built.ts';

const lock = loadBuiltLock();

describe('tryLock', () => {
  let directory: string;
  let file: string;
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'jt_lock_'));
    file = path.join(directory, 'lock');
  });
  after(() => rmSync(directory, { recursive: true }));

  test('gives the lock to one open file, and to the next once it is released or closed', () => {
    const [first, second] = [openSync(file, 'w'), openSync(file, 'w')];
    assert.equal(lock.tryLock(first), true);
    assert.equal(lock.tryLock(first), true);
    assert.equal(lock.tryLock(second), false);
    lock.unlock(first);
    assert.equal(lock.tryLock(second), true);
    assert.equal(lock.tryLock(first), false);
    closeSync(second);
    assert.equal(lock.tryLock(first), true);
    closeSync(first);
  });

  test('waits for no other process, and gets the lock when that one is killed', async () => {
    const holder = spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    await once(holder.stdout, 'data');
    const fd = openSync(file, 'w');
    assert.equal(lock.tryLock(fd), false);
    process.kill(-(holder.pid ?? Number.NaN), 'SIGKILL');
    await once(holder, 'close');
    // A process that dies closes one descriptor after the other.
    await eventually('the lock is free', () => lock.tryLock(fd));
    closeSync(fd);
  });

  test('throws for a descriptor that is not open, and for anything that is none', () => {
    assert.throws(() => lock.tryLock(999), { code: 'EBADF', errno: -9, syscall: 'flock', step: 'take the lock' });
    assert.throws(() => lock.unlock(999), { code: 'EBADF', syscall: 'flock', step: 'release the lock' });
    assert.throws(() => lock.tryLock(-1), RangeError);
    assert.throws(() => lock.tryLock('1' as unknown as number), TypeError);
    assert.throws(() => (lock.tryLock as () => unknown)(), TypeError);
  });
});

describe('orphans', () => {
  const parentOf = (pid: number): number => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  };

  test('of descendants become ours, and are reaped once they have ended', async () => {
    lock.becomeSubreaper();
    const parent = spawn('sh', ['-c', 'sleep 600 & echo $!'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const orphan = Number(line.toString());
    await once(parent, 'exit');
    assert.equal(parentOf(orphan), process.pid);
    assert.equal(lock.reap(orphan), false);
    process.kill(orphan, 'SIGKILL');
    while (!lock.reap(orphan)) await wait(5);
    assert.throws(() => lock.reap(orphan), { code: 'ECHILD', syscall: 'waitpid' });
  });

  test('reap takes one pid, never "any child" or a group', () => {
    for (const pid of [-1, 0, 1, -2, 1.5]) assert.throws(() => lock.reap(pid), RangeError);
  });
});

describe('a process by descriptor', () => {
  test('is signalled, closes on exec, and stands for nobody else when it is gone', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const handle = lock.openProcess(child.pid ?? 0);
    assert.match(readFileSync(`/proc/self/fdinfo/${handle}`, 'utf8'), /flags:\s+0?2[0-7]{6}[\s\S]*Pid:\s+\d+/);
    lock.signalProcess(handle, 0);
    lock.signalProcess(handle, 9);
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGKILL');
    assert.throws(() => lock.signalProcess(handle, 9), { code: 'ESRCH', syscall: 'pidfd_send_signal' });
    assert.throws(() => lock.openProcess(child.pid ?? 0), { code: 'ESRCH', syscall: 'pidfd_open' });
    closeSync(handle);
  });

  test('takes a pid, a descriptor and a signal of the right kind only', () => {
    for (const pid of [-1, 0, 1, 1.5]) assert.throws(() => lock.openProcess(pid), RangeError);
    for (const signal of [-1, 65]) assert.throws(() => lock.signalProcess(0, signal), RangeError);
    assert.throws(() => lock.signalProcess(999, 0), { code: 'EBADF' });
    assert.throws(() => (lock.signalProcess as (process: number) => void)(0), TypeError);
  });
});

test('hasChildren counts children that wait to be reaped, and says no when there is none', async () => {
  const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('lock'))}); const lock = m.exports;
    const { spawn } = require('node:child_process');
    const before = lock.hasChildren();
    const child = spawn('true', { stdio: 'ignore' });
    const meanwhile = lock.hasChildren();
    child.on('exit', () => console.log(before, meanwhile, lock.hasChildren()));`;
  assert.equal((await finished(process.execPath, ['-e', code])).stdout, 'false true false\n');
});

describe('limits', () => {
  test('are read and lowered and raised up to the hard one, for what is started from then on', () => {
    for (const resource of ['stack', 'openFiles'] as const) {
      const { soft, hard } = lock.getLimit(resource);
      assert.ok(soft > 0n && soft <= hard);
      lock.setSoftLimit(resource, 8192n);
      assert.deepEqual(lock.getLimit(resource), { soft: 8192n, hard });
      lock.setSoftLimit(resource, hard);
      assert.deepEqual(lock.getLimit(resource), { soft: hard, hard });
      lock.setSoftLimit(resource, soft);
    }
  });

  test('are lowered for good by lowerLimit, the soft one as far as it has to be', async () => {
    const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('lock'))}); const lock = m.exports;
      const show = () => console.log(...Object.values(lock.getLimit('realTime')));
      process.setuid?.(65534);
      lock.lowerLimit('realTime', 2n ** 62n + 5n), show();
      lock.setSoftLimit('realTime', 7n), lock.lowerLimit('realTime', 9n), show();
      try { lock.lowerLimit('realTime', 10n); } catch ({ code, syscall }) { console.log(code, syscall); }
      show();`;
    const both = '4611686018427387909n 4611686018427387909n';
    const { stdout } = await finished(process.execPath, ['-e', code]);
    assert.equal(stdout, `${both}\n7n 9n\nEPERM setrlimit\n7n 9n\n`);
  });

  test('refuse other resources and values', () => {
    assert.throws(() => lock.getLimit('cpu' as 'stack'), RangeError);
    assert.throws(() => lock.lowerLimit('stack', 1 as unknown as bigint), TypeError);
    assert.throws(() => lock.setSoftLimit('stack', 1 as unknown as bigint), TypeError);
    for (const value of [-1n, 2n ** 64n]) assert.throws(() => lock.setSoftLimit('stack', value), RangeError);
    const { hard } = lock.getLimit('openFiles');
    assert.throws(() => lock.setSoftLimit('openFiles', hard + 1n), { code: 'EINVAL', syscall: 'setrlimit' });
  });
});

test('a pipe is close-on-exec', () => {
  for (const fd of lock.pipe()) {
    assert.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /flags:\s+0?2[0-7]{6}/);
    closeSync(fd);
  }
});

describe('getQuota', () => {
  const ask = (directory: number, type = 'user', id = 0, device = '') =>
    lock.getQuota(directory, device, type as 'user', id);

  test('throws where there is no quota, and for a descriptor that is not open', () => {
    const directory = openSync('/proc', 'r');
    assert.throws(() => ask(directory), { syscall: 'quotactl', step: 'read a quota' });
    assert.throws(() => ask(999), { code: 'EBADF' });
    closeSync(directory);
  });

  test('takes arguments of the right kind only', () => {
    for (const type of ['project', '']) assert.throws(() => ask(0, type), RangeError);
    for (const id of [-1, 2 ** 32, 1.5]) assert.throws(() => ask(0, 'user', id), RangeError);
    assert.throws(() => ask(0, 'user', 0, 7 as unknown as string), TypeError);
  });
});
