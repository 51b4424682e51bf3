// Where the account has a control group of its own (version 2), a stage gets a group below it: nothing of the job
// leaves it, and it is killed as a whole.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, test } from 'node:test';
import { processesOf } from '../support/accounts.ts';
import { delegateGroup } from '../support/control-groups.ts';
import { signal, treeOf } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const group = await delegateGroup(account);
after(() => group.remove());
const job = await (await world.stages({ options: { general: { kill_timeout: '4s' } } })).configured();

afterEach(async () => {
  assert.deepEqual(await processesOf(account.uid), []);
  assert.deepEqual(await group.below(), [], 'no group is left behind');
});

const groupOf = async (pid: number) =>
  /^0::.*?([^/\n]*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '';

test('the login shell and all below it are in a group of the stage, jacamar is not', async () => {
  await group.within(async () => {
    const call = job.start('setsid sleep 300 & echo ready; sleep 300');
    await call.until('ready');
    const [auth, jacamar, ...rest] = await treeOf(await call.pid());
    assert.ok(auth && jacamar && rest.length >= 4);
    assert.equal(await groupOf(jacamar.pid), `jt_${account.name}`);
    for (const { pid } of rest) assert.equal(await groupOf(pid), `jacamar-${jacamar.pid}`);
    call.stop();
    await call.ended;
  });
});

/** Forks and ends all the time, deaf to SIGTERM: no look at /proc finds it twice. */
const hopper = `perl -e '$SIG{TERM} = "IGNORE"; $| = 1; print "ready\\n"; while (1) { my $pid = fork; exit if $pid; }' &`;

for (const [title, within] of [
  ['in a group', group.within],
  ['without a group', (act: () => Promise<void>) => act()],
] as const) {
  test(`what forks and ends all the time is ended ${title}`, async () => {
    await within(async () => {
      const call = job.start(`${hopper}\nsleep 300`);
      await call.until('ready');
      call.stop();
      assert.equal((await call.ended).outcome.kind, 'system-failure');
    });
  });

  test(`a crowd that breeds is ended ${title}`, async () => {
    await within(async () => {
      const breed = 'trap : TERM; n=0; while [ $n -lt 40 ]; do sleep 300 & n=$((n+1)); done; echo ready; wait; wait';
      const call = job.start(`bash -c '${breed}' & bash -c '${breed}' & wait`);
      await call.until('ready\n');
      call.stop();
      await call.ended;
    });
  });
}

test('groups that the job makes below its own go with it', async () => {
  await group.within(async () => {
    const root = group.path.slice(0, group.path.indexOf('/jt_'));
    const { outcome, stderr } = await job.run(
      [
        `inner="${root}$(sed -n s/^0:://p /proc/self/cgroup)/inner"`,
        'mkdir "$inner"',
        '(echo 0 > "$inner/cgroup.procs"; exec sleep 300) &',
        'until grep -q . "$inner/cgroup.procs"; do sleep 0.02; done',
      ].join('\n'),
    );
    assert.equal(outcome.kind, 'success', stderr);
    assert.match(stderr, /^Ended 1 process\(es\) that the script left running: \w+ \(\d+\)\n$/);
  });
});

test('a group that a killed jacamar left is removed by the next stage', async () => {
  await group.within(async () => {
    const call = job.start('echo ready; sleep 300');
    await call.until('ready');
    const [, jacamar] = await treeOf(await call.pid());
    signal(jacamar?.pid, 'SIGKILL');
    await call.ended;
    assert.deepEqual(await group.below(), [`jacamar-${jacamar?.pid}`]);
    assert.equal((await job.run('true')).outcome.kind, 'success');
  });
});

test('exit status and output are the same in a group', async () => {
  await group.within(async () => {
    const { outcome, stdout, stderr } = await job.run('echo out; echo err >&2; exit 42');
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 42, text: 'exit status 42' });
    assert.deepEqual([stdout, stderr], ['out\n', 'err\n']);
  });
});

test('with keep_processes no group is made', async () => {
  const kept = await (await world.stages({ options: { general: { keep_processes: true } } })).configured();
  await group.within(async () => {
    const { stdout } = await kept.run('cat /proc/self/cgroup');
    assert.match(stdout, new RegExp(`^0::.*/jt_${account.name}$`, 'm'));
  });
});
