// What signals do to a stage, whoever sends them: an end is passed on and never looks like success, everything else
// changes nothing, and no signal and no variable makes the programs open a door (security requirement SR-05).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseConfigOutput } from '../../src/jacamar-admin/config-output.ts';
import { endProcessesOf, processesOf } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { driverBelowShell } from '../support/hosts.ts';
import { signal as send, treeOf } from '../support/processes.ts';
import type { LiveCall } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const options = { general: { kill_timeout: '2s' } };
const systemFailure = { kind: 'system-failure', text: 'exit status 2' };
const job = await (await world.stages({ options })).configured();

afterEach(async () => {
  const left = await processesOf(account.uid);
  await endProcessesOf(account.uid);
  assert.deepEqual(left, []);
});

async function programs(call: LiveCall): Promise<[number, number]> {
  const [auth, jacamar] = await treeOf(await call.pid());
  assert.ok(auth && jacamar, 'both programs run');
  return [auth.pid, jacamar.pid];
}

/** A jacamar whose jacamar-auth was killed closes the output a moment before it is gone. */
const nothingLives = () => eventually('nothing lives', async () => (await processesOf(account.uid)).length === 0);

async function running(commands = 'sleep 300'): Promise<LiveCall> {
  const call = job.start(`echo ready; ${commands}`);
  await call.until('ready');
  return call;
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
  for (const [index, program] of ['jacamar-auth', 'jacamar'].entries()) {
    test(`${signal} to ${program} alone ends the job with SIGTERM and the stage with a system failure`, async () => {
      const call = await running("trap 'echo got TERM; exit 0' TERM; sleep 300 & wait");
      send((await programs(call))[index], signal);
      const { outcome, stdout } = await call.ended;
      assert.deepEqual(outcome, systemFailure);
      assert.match(stdout, /got TERM\n$/);
    });
  }
}

test('a second SIGTERM, and a third, take no time away from the job', async () => {
  const call = await running("trap 'echo saving; sleep 1; echo saved; exit 0' TERM; sleep 300 & wait");
  const [auth] = await programs(call);
  send(auth, 'SIGTERM');
  await call.until('saving');
  send(-auth, 'SIGTERM');
  send(-auth, 'SIGINT');
  const { outcome, stdout } = await call.ended;
  assert.deepEqual(outcome, systemFailure);
  assert.match(stdout, /saved\n$/);
});

const meaningless = [
  ...(['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGXFSZ'] as const),
  ...(['SIGPIPE', 'SIGWINCH', 'SIGURG', 'SIGCHLD', 'SIGCONT'] as const),
];

test('signals that mean nothing to the programs change nothing', async () => {
  const call = await running('until [ -e ~/go ]; do sleep 0.05; done; rm ~/go; echo end');
  for (const pid of await programs(call)) for (const signal of meaningless) send(pid, signal);
  await world.writeHome('go', '');
  const { outcome, stdout, stderr } = await call.ended;
  assert.equal(outcome.kind, 'success', stderr);
  assert.equal(stdout, 'ready\nend\n');
  assert.equal(stderr, '');
});

for (const signal of ['SIGABRT', 'SIGSEGV', 'SIGTRAP', 'SIGSYS', 'SIGIO', 'SIGKILL'] as const) {
  for (const [index, program] of ['jacamar-auth', 'jacamar'].entries()) {
    test(`${signal} to ${program} ends the job and is a system failure`, async () => {
      const call = await running('setsid sleep 301 & sleep 300');
      send((await programs(call))[index], signal);
      assert.equal((await call.ended).outcome.kind, 'system-failure');
      await nothingLives();
    });
  }
}

test("the runner's SIGKILL ends a job deaf to SIGTERM before the runner gives up on its output", async () => {
  const patient = await (await world.stages({ options: { general: { kill_timeout: '120s' } } })).configured();
  const call = patient.start(
    'trap : TERM; setsid bash -c "trap : TERM; while :; do sleep 0.1; done" & echo ready; while :; do sleep 0.1; done',
  );
  await call.until('ready');
  const pid = await call.pid();
  const killed = performance.now();
  send(-pid, 'SIGKILL');
  await call.ended;
  assert.ok(performance.now() - killed < 9_000, 'force_kill_timeout is ten seconds');
  await nothingLives();
});

test("a SIGKILL of the runner's shortens a stop that goes on", async () => {
  const patient = await (await world.stages({ options: { general: { kill_timeout: '120s' } } })).configured();
  const call = patient.start('trap "echo heard" TERM; echo ready; while :; do sleep 0.1; done');
  await call.until('ready');
  const pid = await call.pid();
  send(-pid, 'SIGTERM');
  await call.until('heard');
  const killed = performance.now();
  send(-pid, 'SIGKILL');
  await call.ended;
  assert.ok(performance.now() - killed < 9_000, 'force_kill_timeout is ten seconds');
  await nothingLives();
});

test('a jacamar that the user has stopped is killed when kill_timeout is over', async () => {
  const call = await running('setsid sleep 301 & sleep 300');
  send((await programs(call))[1], 'SIGSTOP');
  call.stop();
  assert.deepEqual((await call.ended).outcome, systemFailure);
});

for (const title of ['', ', with a wrapper script around the driver, too']) {
  test(`when the runner dies the job is told to end, silent or not${title}`, async () => {
    const driver = title === '' ? world.installation.program('jacamar-auth') : await driverBelowShell(world);
    await endsWithRunner(driver);
  });
}

async function endsWithRunner(driver: string): Promise<void> {
  for (const name of ['runs', 'told']) await rm(join(account.home, name), { force: true });
  const patient = await (await world.stages({ options: { general: { kill_timeout: '120s' } } })).configured();
  const environment = Object.fromEntries(
    Object.entries(patient.attempt.environment()).filter(([, value]) => value !== undefined),
  );
  const script = join(patient.attempt.directory, 'orphan');
  const commands = 'trap "touch ~/told; exit" TERM; sleep 300 & touch ~/runs; wait';
  await writeFile(script, commands, { mode: 0o700 });
  const runner = spawn(
    'sh',
    ['-c', 'setsid "$@" > /dev/null 2>&1 & wait', 'sh', driver, 'run', script, 'build_script'],
    {
      env: environment as Record<string, string>,
      cwd: patient.attempt.directory,
      stdio: 'ignore',
    },
  );
  await eventually('the job runs', async () => (await readdir(account.home)).includes('runs'));
  const tree = await treeOf(runner.pid ?? 0);
  const auth = tree.find(({ command }) => command.startsWith(world.installation.program('jacamar-auth')));
  runner.kill('SIGKILL');
  await eventually('the job has ended', async () => (await processesOf(account.uid)).length === 0);
  assert.ok((await readdir(account.home)).includes('told'));
  await eventually('jacamar-auth has ended', () =>
    readFile(`/proc/${auth?.pid}/stat`, 'utf8').then(
      (text) => / Z /.test(text),
      () => true,
    ),
  );
}

test('a SIGTERM at any moment of a run is no success, unless the script was through', {
  timeout: 900_000,
}, async () => {
  for (let moment = 0; moment < 600; moment += 20) {
    const call = job.start('echo begin; sleep 0.1; echo end');
    void delay(moment).then(() => call.stop());
    const { outcome, stdout } = await call.ended;
    if (outcome.kind === 'success') assert.equal(stdout, 'begin\nend\n', `after ${moment} ms`);
    else assert.equal(outcome.kind, 'system-failure', `after ${moment} ms`);
  }
});

test('a SIGTERM at any moment of the other stages is no success that is none', { timeout: 900_000 }, async () => {
  for (let moment = 0; moment < 400; moment += 20) {
    const other = await world.stages({ options });
    const stop = () => AbortSignal.timeout(moment);
    const config = await other.config({ stop: stop() });
    if (config.outcome.kind === 'success') assert.notEqual(parseConfigOutput(config.stdout).kind, 'bad', config.stdout);
    else assert.equal(config.outcome.kind, 'system-failure');
    const again = await other.config();
    assert.equal(again.outcome.kind, 'success', `after ${moment} ms: ${again.stderr}`);
    const prepare = await other.prepare({ stop: stop() });
    if (prepare.outcome.kind === 'success') assert.match(prepare.stdout, /^Local time: /m);
    const cleanup = await other.cleanup({ stop: stop() });
    if (cleanup.outcome.kind !== 'success') assert.equal((await other.cleanup()).outcome.kind, 'success');
    assert.deepEqual(await world.recordOf(other.facts.id), []);
    await other.close();
  }
});

test('a stage that waits for a lock ends by SIGTERM at once', async () => {
  const file = join(account.home, '.jacamar-ci/claims/shared/lock');
  const holder = spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 300'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const stop = new AbortController();
  const other = await world.stages({ options: { general: { kill_timeout: '20s' } } });
  const ended = other.config({ stop: stop.signal });
  await eventually('jacamar waits', async () => (await processesOf(account.uid)).length === 1);
  await delay(300);
  const stopped = performance.now();
  stop.abort();
  const { outcome } = await ended;
  assert.ok(performance.now() - stopped < 9_000, 'it would have gone on without the lock after ten seconds');
  send(-(holder.pid ?? 0), 'SIGKILL');
  assert.deepEqual(outcome, systemFailure);
});

/** Listening sockets among the descriptors of a process. */
async function listeners(pid: number): Promise<string[]> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  const tables = ['tcp', 'tcp6', 'unix'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8'));
  const lines = (await Promise.all(tables)).join('\n').split('\n');
  const inodes = links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter((inode) => inode !== undefined);
  // TCP state 0A is LISTEN; flag __SO_ACCEPTCON of a Unix socket is 00010000.
  return lines.filter(
    (line) => inodes.some((inode) => line.split(/\s+/).includes(inode)) && / 0A | 00010000 /.test(line),
  );
}

test('no signal and no variable opens a debugger, a report, a profile or a log of keys', async () => {
  const scratch = world.at('scratch');
  await mkdir(scratch, { mode: 0o777 });
  const file = join(scratch, 'file');
  const flags = `--inspect=127.0.0.1:0 --report-on-signal --report-uncaught-exception --report-directory=${scratch} --heapsnapshot-signal=SIGUSR2 --cpu-prof --cpu-prof-dir=${scratch} --heap-prof --trace-event-categories=node --diagnostic-dir=${scratch}`;
  const dirt = {
    ...{ NODE_OPTIONS: flags, NODE_V8_COVERAGE: scratch, NODE_COMPILE_CACHE: scratch, NODE_REDIRECT_WARNINGS: file },
    ...{
      NODE_DEBUG: 'tls,child_process',
      NODE_DEBUG_NATIVE: 'INSPECTOR_SERVER',
      NODE_REPL_HISTORY: file,
      NODE_REPL_EXTERNAL_MODULE: '/dev/null',
    },
    ...{
      NODE_REPORT_DIRECTORY: scratch,
      NODE_INSPECT_RESUME_ON_START: '1',
      NODE_HEAPDUMP_OPTIONS: 'signal',
      SSLKEYLOGFILE: file,
    },
    ...{
      MALLOC_TRACE: file,
      LD_DEBUG: 'all',
      LD_DEBUG_OUTPUT: file,
      LD_PROFILE: 'libc.so.6',
      LD_PROFILE_OUTPUT: scratch,
      UV_USE_IO_URING: '1',
    },
  };
  const other = await (
    await world.stages({ options, settings: { environment: { PATH: '/usr/bin:/bin', ...dirt } } })
  ).configured();
  const call = other.start('echo ready; until [ -e ~/go ]; do sleep 0.05; done; rm ~/go; echo end');
  await call.until('ready');
  const both = await programs(call);
  for (const pid of both) for (const signal of meaningless) send(pid, signal);
  await delay(500);
  for (const pid of both) assert.deepEqual(await listeners(pid), []);
  for (const pid of both)
    assert.doesNotMatch(await readFile(`/proc/${pid}/environ`, 'latin1'), /(?:^|\0)(?:NODE_|LD_|SSLKEY|MALLOC|UV_)/);
  await world.writeHome('go', '');
  const { outcome, stderr } = await call.ended;
  assert.equal(outcome.kind, 'success', stderr);
  assert.equal(stderr, '');
  assert.equal((await other.cleanup()).outcome.kind, 'success');
  assert.deepEqual(await readdir(scratch), []);
});
