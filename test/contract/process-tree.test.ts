// The tree below this very test process: what hides is found, and what is gone is known to be gone.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { identityOf } from '../../src/contract/process-identity.ts';
import { type Group, ProcessTree } from '../../src/contract/process-tree.ts';
import { allProcesses, signalEach, terminate } from '../../src/contract/processes.ts';
import { loadBuiltLock } from '../native/built.ts';
import { eventually } from '../support/eventually.ts';
import { signal, treeOf } from '../support/processes.ts';

const lock = loadBuiltLock();

/** An older kernel, before 5.3. */
const withoutHandles = {
  ...lock,
  openProcess: () => {
    throw Object.assign(new Error('ENOSYS'), { code: 'ENOSYS' });
  },
};

afterEach(() => assert.equal(lock.hasChildren(), false));

/** A shell of which Node does not wait for the children; resolves when it has said "up". */
async function started(script: string, tree: ProcessTree): Promise<number> {
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  tree.adopt(child.pid ?? 0);
  await once(child.stdout, 'data');
  child.stdout.destroy();
  return child.pid ?? 0;
}

for (const [kernel, means] of [
  ['with process descriptors', lock],
  ['without process descriptors', withoutHandles],
] as const) {
  test(`ends sessions, orphans, the stopped and the deaf, and names them (${kernel})`, async () => {
    const tree = new ProcessTree(means);
    const deaf = '(setsid bash -c "trap : TERM; echo up; while :; do sleep 0.05; done" &)';
    await started(`setsid sleep 301 & sleep 302 & kill -STOP $!; (sleep 303 &) ; ${deaf}`, tree);
    const { ended, killed, surviving } = await tree.end(300);
    assert.ok(ended.length >= 4, ended.join());
    assert.ok(killed.some((name) => name.startsWith('bash (')));
    assert.ok(!killed.some((name) => ended.filter((each) => each === name).length !== 1));
    assert.deepEqual(surviving, []);
  });
}

test('a process that forks and ends all the time is caught', async () => {
  const tree = new ProcessTree(lock);
  const perl = '$SIG{TERM} = "IGNORE"; $| = 1; print "up"; while (1) { my $pid = fork; exit if $pid; }';
  await started(`perl -e '${perl}' &`, tree);
  assert.deepEqual((await tree.end(50)).surviving, []);
});

test('what is started while the tree is looked at gets the signal to end as well', async () => {
  const children: ChildProcess[] = [];
  const look = () => {
    const seen = allProcesses().filter(({ pid }) => children.some((child) => child.pid === pid));
    if (children.length < 5) children.push(spawn('sleep', ['300'], { stdio: 'ignore' }));
    return seen;
  };
  look();
  const told = terminate(look, lock).map(({ pid }) => pid);
  for (const { pid } of children.filter((child) => !told.includes(child.pid ?? 0))) signal(pid, 'SIGKILL');
  const signals = (await Promise.all(children.map((child) => once(child, 'exit')))).map(([, name]) => name);
  assert.deepEqual(signals, Array(5).fill('SIGTERM'));
});

test('what is left behind by those who were told to end is told as well', { timeout: 120_000 }, async () => {
  const tree = new ProcessTree(lock);
  await started('trap "setsid sleep 300 & exit" TERM; echo up; while :; do sleep 0.05; done', tree);
  assert.deepEqual((await tree.end(3_600_000)).surviving, []);
});

test('what one of them starts to tidy up is left alone while it waits for that', async () => {
  const tree = new ProcessTree(lock);
  const file = `/tmp/jt_tidy_${process.pid}`;
  await started(`trap "sleep 0.5; echo done >${file}; exit" TERM; echo up; while :; do sleep 0.05; done`, tree);
  await tree.end(3_600_000);
  assert.equal(readFileSync(file, 'utf8'), 'done\n');
  rmSync(file);
});

test('a process whose first thread has ended counts as alive', async () => {
  const tree = new ProcessTree(lock);
  const code =
    "import threading,ctypes,time\nthreading.Thread(target=lambda: (print('up', flush=True), time.sleep(300))).start()\ntime.sleep(0.1)\nctypes.CDLL(None).pthread_exit(None)";
  const child = spawn('python3', ['-c', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  tree.adopt(child.pid ?? 0);
  await once(child.stdout, 'data');
  const state = () => treeOf(process.pid).then((all) => all.some(({ pid }) => pid === child.pid));
  await eventually('its first thread is gone', async () => !(await state()));
  assert.deepEqual(tree.names().length, 1);
  const { ended, surviving } = await tree.end(1_000);
  assert.deepEqual([ended.length, surviving], [1, []]);
});

test('a tree without members is gone at once, and says so twice', async () => {
  const tree = new ProcessTree(lock);
  const none = { ended: [], killed: [], surviving: [] };
  assert.deepEqual(await Promise.all([tree.end(60_000), tree.end(60_000)]), [none, none]);
});

test('a group names members that are not below us, and is killed as a whole', async () => {
  let kills = 0;
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  const group: Group = {
    members: () => [child.pid ?? 0, process.pid],
    kill: () => {
      kills += 1;
    },
  };
  const tree = new ProcessTree(lock, group);
  tree.adopt(child.pid ?? 0);
  assert.deepEqual(tree.names(), [`sleep (${child.pid})`]);
  signal(child.pid, 'SIGSTOP');
  assert.deepEqual((await tree.end(1_000)).surviving, []);
  assert.equal(kills, 0, 'what ends by SIGTERM is not killed');
});

test('a kernel that knows of no child is believed, but for members of the group', async () => {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  const gone = once(child, 'exit');
  const childless = { ...lock, hasChildren: () => false };
  try {
    assert.equal(new ProcessTree(childless).isEmpty, true);
    const tree = new ProcessTree(childless, { members: () => [child.pid ?? 0], kill() {} });
    tree.adopt(child.pid ?? 0);
    assert.equal(tree.isEmpty, false);
    assert.deepEqual((await tree.end(1_000)).ended, [`sleep (${child.pid})`]);
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
});

test('endBelow kills one branch of the tree and leaves the others', async () => {
  const tree = new ProcessTree(lock);
  const branch = await started('sleep 301 & echo up; wait', tree);
  const other = await started('echo up; exec sleep 302', tree);
  await tree.endBelow(branch);
  const left = await treeOf(process.pid);
  // By its number: it may not have become the program yet that its shell is about to execute.
  assert.deepEqual(
    left.filter(({ pid, command }) => pid === other || command === 'sleep 301').map(({ pid }) => pid),
    [other],
  );
  await tree.end(1_000);
});

for (const [kernel, means] of [
  ['with process descriptors', lock],
  ['without', withoutHandles],
] as const) {
  test(`a process with a known pid and another start time gets no signal (${kernel})`, async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const { pid, startTime } = identityOf(child.pid ?? 0);
    signalEach([{ pid, startTime: String(Number(startTime) - 1) }], 'SIGKILL', means);
    signalEach([{ pid, startTime: '' }], 'SIGKILL', means);
    assert.equal(identityOf(pid).startTime, startTime);
    signalEach([{ pid, startTime }], 'SIGTERM', means);
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGTERM', 'it was not the SIGKILL');
  });
}

test('a long patience can be cut short', async () => {
  const tree = new ProcessTree(lock);
  await started('trap : TERM; echo up; while :; do sleep 0.05; done', tree);
  const ending = tree.end(600_000);
  tree.hurry(100);
  assert.equal((await ending).killed.length, 1);
});
