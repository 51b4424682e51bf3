// The end from outside: a cancel, a timeout, a killed program. Whatever the job did to hide, nothing of it lives on,
// and no stage that was stopped looks like success.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, copyFile, rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { endProcessesOf, processesOf } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { allGone, allProcesses, treeOf } from '../support/processes.ts';
import type { LiveCall, StagedJob } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
// Impatient, so that what ignores SIGTERM is killed soon.
const options = { general: { kill_timeout: '1s' } };

const nothingLives = () =>
  eventually('nothing of the job lives', async () => (await processesOf(account.uid)).length === 0);

afterEach(async () => {
  const left = await processesOf(account.uid);
  await endProcessesOf(account.uid);
  assert.deepEqual(left, []);
});

/** Processes that leave session and group, lose their parents, and ignore what can be ignored. */
const hiding = [
  'deaf="trap : TERM HUP INT QUIT; while :; do sleep 0.1; done"',
  'setsid sleep 301 &',
  '(setsid sleep 302 & ) ',
  '(setsid bash -c "(sleep 303 & ) ; exec sleep 304" > /dev/null 2>&1 < /dev/null & )',
  'nohup sleep 305 > /dev/null 2>&1 &',
  'bash -c "$deaf" & ',
  '(setsid bash -c "$deaf" & )',
  'sleep 306 & kill -STOP $!',
  'until [ "$(pgrep -u "$(id -u)" -c sleep)" -ge 6 ]; do sleep 0.02; done',
].join('\n');

const LAST = 'sleep 300';

async function running(commands: string, auth = {}): Promise<{ job: StagedJob; call: LiveCall }> {
  const job = await (await world.stages({ options: { ...options, auth } })).configured();
  const call = job.start(`${commands}\necho ready\n${LAST}`);
  await call.until('ready\n');
  return { job, call };
}

/** jacamar-auth, jacamar, the login shell. */
async function programs(call: LiveCall): Promise<[number, number, number]> {
  const tree = await treeOf(await call.pid());
  const [auth, jacamar, shell] = tree.map(({ pid }) => pid) as [number, number, number];
  return [auth, jacamar, shell];
}

test('SIGTERM ends everything of the job, however it hides, with a system failure; cleanup works after it', async () => {
  const { job, call } = await running(hiding);
  assert.ok((await processesOf(account.uid)).length > 9);
  call.stop();
  const { outcome, stderr } = await call.ended;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(stderr, /Stopped by the runner\./);
  assert.deepEqual(await processesOf(account.uid), [], 'when the stage ends, not some time later');
  assert.equal((await job.cleanup()).outcome.kind, 'success');
  assert.equal((await job.log()).find(({ level }) => level === 'ERROR')?.details?.['code'], 'ERR_STOPPED');
});

/** As before Linux 5.3: a filter answers the calls with ENOSYS. */
const older = {
  seccomp: {
    block_calls: ['pidfd_open', 'pidfd_send_signal', 'close_range'],
    error_num_block_actions: constants.errno.ENOSYS,
  },
};

test('a job that is stopped in its first moments does not go on with its next command', async () => {
  const job = await (await world.stages({ options: { general: { kill_timeout: '5s' } } })).configured();
  // Moments at which the login shell, the script and its commands are being started.
  for (let moment = 40; moment <= 160; moment += 10) {
    const call = job.start('sleep 300; echo never');
    await Promise.all([call.pid(), delay(moment)]);
    call.stop();
    const { outcome } = await call.ended;
    assert.ok(!call.output().includes('never'), `after ${moment} ms`);
    assert.notEqual(outcome.kind, 'success');
  }
});

test('so it does where the kernel has no process descriptors', async () => {
  const saving = `grep -q '^Seccomp:.*2' /proc/self/status; trap 'echo saved; exit 0' TERM`;
  const { call } = await running(`${saving}\n${hiding}`, older);
  assert.ok((await processesOf(account.uid)).length > 10);
  call.stop();
  const { outcome, stdout } = await call.ended;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(stdout, /^saved$/m);
  assert.deepEqual(await processesOf(account.uid), [], 'when the stage ends, not some time later');
});

test('a script that answers SIGTERM with success is stopped all the same', async () => {
  const { call } = await running("trap 'exit 0' TERM");
  call.stop();
  assert.deepEqual((await call.ended).outcome, { kind: 'system-failure', text: 'exit status 2' });
});

test('a script may use kill_timeout to end well', async () => {
  const job = await (await world.stages({ options: { general: { kill_timeout: '90s' } } })).configured();
  const call = job.start("trap 'echo saving; sleep 0.5; echo saved; exit 0' TERM; sleep 300 & echo ready; wait");
  await call.until('ready\n');
  call.stop();
  const { stdout, durationMs } = await call.ended;
  assert.match(stdout, /saving\nsaved\n$/);
  assert.ok(durationMs < 60_000, `${durationMs} ms`);
});

// Not at once: an answer given up half-way would count as a fault of the server for the jobs that come next.
test('a config stage that waits for the server ends with the time limit of the question, and not as a success', async () => {
  world.gitlab.behaviour.keys = { delayMs: 60_000 };
  const job = await world.stages({ options: { auth: { state_dir: world.at('no-keys') } } });
  const stop = new AbortController();
  const asked = world.gitlab.keysFetched;
  const ended = job.config({ stop: stop.signal });
  await eventually('the server is asked', () => world.gitlab.keysFetched > asked);
  stop.abort();
  const { outcome, stdout, durationMs } = await ended;
  delete world.gitlab.behaviour.keys;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.equal(stdout, '');
  assert.ok(durationMs < 50_000, `${durationMs} ms`);
});

test('a forced cancel ends the job; of the stages only cleanup follows', async () => {
  const job = await world.start({ options, script: ['echo ready', 'sleep 300'], afterScript: ['echo after'] });
  await job.until('ready');
  job.hardCancel();
  const played = await job.ended;
  assert.equal(played.verdict, 'canceled');
  assert.doesNotMatch(played.jobLog, /^after$/m);
  const names = played.stages.map(({ name }) => name);
  assert.deepEqual(names.slice(-2), ['build_script', 'cleanup']);
  assert.equal(played.stages.at(-1)?.outcome.kind, 'success');
  assert.deepEqual(played.stragglers, []);
});

test('a cancel stops the script and lets after_script run', async () => {
  const script = ['echo ready', 'sleep 300'];
  const job = await world.start({ options, script, afterScript: ['echo "after $CI_JOB_STATUS"'] });
  await job.until('ready');
  job.softCancel();
  const played = await job.ended;
  assert.equal(played.verdict, 'canceled');
  assert.match(played.jobLog, /^after canceled$/m);
  const build = played.stages.find(({ name }) => name === 'build_script');
  assert.deepEqual(build?.outcome, { kind: 'system-failure', text: 'exit status 2' });
});

test('a job that takes longer than its timeout is stopped and cleaned up', async () => {
  const played = await world.play({ options, script: [hiding, 'sleep 300'], facts: { timeoutSeconds: 3 } });
  assert.equal(played.verdict, 'timeout');
  assert.equal(played.stages.at(-1)?.name, 'cleanup');
  assert.equal(played.stages.at(-1)?.outcome.kind, 'success');
});

test('when jacamar-auth is killed, jacamar and the job end by themselves', async () => {
  const { job, call } = await running(hiding);
  const [auth] = await programs(call);
  process.kill(auth, 'SIGKILL');
  await nothingLives();
  assert.equal((await call.ended).outcome.kind, 'system-failure');
  assert.equal((await job.cleanup()).outcome.kind, 'success');
});

test('when jacamar is killed, the stage ends as a system failure and nothing of the job lives', async () => {
  const { job, call } = await running(hiding);
  const [, jacamar] = await programs(call);
  process.kill(jacamar, 'SIGKILL');
  const { outcome, stderr } = await call.ended;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(stderr, /unexpectedly ended with signal 9/);
  await nothingLives();
  assert.equal((await job.cleanup()).outcome.kind, 'success');
});

test('when both are killed, cleanup ends what still lives', async () => {
  const { job, call } = await running('sleep 301 &');
  const [auth, jacamar] = await programs(call);
  process.kill(jacamar, 'SIGSTOP');
  process.kill(auth, 'SIGKILL');
  const cleaned = await job.cleanup();
  assert.equal(cleaned.outcome.kind, 'success', cleaned.stderr);
  await nothingLives();
  await call.ended;
});

/** The memory and the environment of who runs it may not be read, as those of an agent for keys: proc(5). */
const opaque = world.at('opaque');
before(async () => {
  await copyFile('/bin/sleep', opaque);
  await chmod(opaque, 0o711);
  await chmod(world.directory, 0o711);
});

/** Loses what can be lost: session, parents, environment. */
const SHEDDING = [
  'setsid env -i /bin/sleep 301 > /dev/null 2>&1 < /dev/null & disown',
  `(setsid env -i /bin/bash -c '(trap "" TERM HUP; /bin/sleep 302; /bin/sleep 303) &' > /dev/null 2>&1 < /dev/null &)`,
  `(env -i ${opaque} 304 > /dev/null 2>&1 < /dev/null &)`,
].join('\n');

/** What stays of each job: until then its processes bear other names, or are about to end. */
const STAYING = ['/bin/sleep 301', '/bin/bash -c (trap', '/bin/sleep 302', `${opaque} 304`, LAST];

/** All that lives of the account, once the jobs have come to their last commands. */
async function settled(jobs: number): Promise<Set<number>> {
  const commands = async () =>
    (await allProcesses()).filter(({ uid }) => uid === account.uid).map((each) => each.command);
  await eventually('the jobs have come to their last commands', async () => {
    const all = await commands();
    return STAYING.every((start) => all.filter((command) => command.startsWith(start)).length === jobs);
  });
  return new Set(await processesOf(account.uid));
}

/** Neither sees the end of the other. */
async function killBoth(call: LiveCall): Promise<void> {
  const [auth, jacamar] = await programs(call);
  process.kill(auth, 'SIGSTOP');
  process.kill(jacamar, 'SIGKILL');
  process.kill(auth, 'SIGKILL');
  await allGone('both programs', [auth, jacamar]);
}

test('when both are killed at once, cleanup ends what shed environment, session and parents', async () => {
  const { job, call } = await running(SHEDDING);
  await settled(1);
  await killBoth(call);
  const left = await processesOf(account.uid);
  assert.ok(left.length >= 5, `${left.length} processes of the job live on`);
  const cleaned = await job.cleanup();
  assert.equal(cleaned.outcome.kind, 'success', cleaned.stderr);
  assert.match(cleaned.stderr, /^Ended \d+ process\(es\) that outlived a killed stage: .*opaque/);
  assert.deepEqual(
    (await allProcesses()).filter(({ uid }) => uid === account.uid),
    [],
  );
  await call.ended;
});

test('when both are killed at once, cleanup ends a chain of processes that fork and end all the time', async () => {
  const { job, call } = await running(
    "setsid perl -e '$0 = q(hopper); while (time < $^T + 60) { my $pid = fork; exit if $pid; select undef, undef, undef, 0.002 }' &",
  );
  await killBoth(call);
  const { outcome, stderr } = await job.cleanup();
  assert.equal(outcome.kind, 'success', stderr);
  // One look sees it only now and then.
  for (let looks = 0; looks < 60; looks++) assert.deepEqual(await processesOf(account.uid), []);
  await call.ended;
});

test('such a cleanup leaves alone what another job of the same account runs at the same time', async () => {
  const other = await running(SHEDDING);
  const theirs = await settled(1);
  const { job, call } = await running(SHEDDING);
  await settled(2);
  await killBoth(call);
  await job.cleanup();
  assert.deepEqual(new Set(await processesOf(account.uid)), theirs);
  other.call.stop();
  await other.call.ended;
  await nothingLives();
});

test('cleanup beside a run that still lives ends the run first', async () => {
  const { job, call } = await running('sleep 301 &');
  const { outcome, stderr } = await job.cleanup();
  assert.equal(outcome.kind, 'success', stderr);
  await nothingLives();
  assert.equal((await call.ended).outcome.kind, 'system-failure');
});

test("a run ends as it should when the runner's directory for the job is gone already", async () => {
  const { job, call } = await running('sleep 301 &');
  await rm(job.attempt.directory, { recursive: true });
  call.stop();
  const { outcome, stderr } = await call.ended;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(stderr, /^Stopped by the runner\. \(reference [0-9a-f]{8}\)$/m);
  await nothingLives();
});

test('processes of the account that are not of the job live on', async () => {
  const own = spawn('sleep', ['300'], { uid: account.uid, gid: account.gid, detached: true, stdio: 'ignore' });
  try {
    const { job, call } = await running('sleep 301 &');
    call.stop();
    await call.ended;
    await job.cleanup();
    assert.deepEqual(await processesOf(account.uid), [own.pid]);
  } finally {
    own.kill('SIGKILL');
    await nothingLives();
  }
});
