// The administrator's log: one JSON object per line with upstream's names, and never a secret, there or anywhere
// that another user could look.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { allProcesses, treeOf } from '../support/processes.ts';
import { type LogLine, openWorld } from '../support/world.ts';

const run = promisify(execFile);
const world = await openWorld({ accounts: [{}, {}] });
const { account } = world;
const [, other = account] = world.accounts;

test('the authorized line has exactly the keys that sites look for', async () => {
  const { log, facts, stages } = await world.play();
  const line = log.find(({ msg }) => msg === `local account (${account.name}) authorized for CI job execution`);
  assert.ok(line);
  const keys = ['level', 'time', 'msg', 'job', 'runner', 'stage', 'processID', 'hostname'];
  assert.deepEqual(Object.keys(line).toSorted(), keys.toSorted());
  assert.equal(line.level, 'INFO');
  assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z$/);
  assert.ok(Math.abs(Date.parse(line.time) - Date.now()) < 60_000);
  assert.equal(line.job, facts.id);
  assert.equal(line.runner, 'TrialRunn');
  assert.equal(line.stage, 'config_exec');
  assert.equal(line.processID, stages[0]?.pid);
  assert.equal(line.hostname, hostname());
});

test('general.name adds one key to every line', async () => {
  const { log } = await world.play({ options: { general: { name: 'login nodes' } } });
  assert.ok(log.length > 0);
  for (const line of log) assert.equal(line.name, 'login nodes');
});

test('the decision stands in one line with everything an audit asks for', async () => {
  const { log, facts } = await world.play();
  const lines = log.filter(({ msg }) => msg === 'authorization decision');
  const [config] = lines.filter(({ stage }) => stage === 'config_exec');
  const wanted = {
    result: 'allowed',
    job: facts.id,
    project: 'demo/hello',
    user_id: '7',
    login: account.name,
    account: account.name,
    uid: account.uid,
    stage: 'config',
  };
  for (const [key, value] of Object.entries(wanted)) assert.equal(config?.details?.[key], value, key);
});

const levels: Record<string, readonly string[]> = {
  error: [],
  warn: [],
  info: ['INFO'],
  debug: ['DEBUG', 'INFO'],
};
for (const [level, expected] of Object.entries(levels)) {
  test(`with level "${level}" a plain job logs its audit trail and ${expected.join(' and ') || 'nothing'}`, async () => {
    const { log } = await world.play({ options: { auth: { logging: { level } } } });
    const isAudit = ({ msg }: LogLine) => msg === 'authorization decision';
    const others = log.filter((line) => !isAudit(line)).map((line) => line.level);
    assert.deepEqual([...new Set(others)].toSorted(), expected);
    assert.ok(log.filter(isAudit).length >= 3);
  });
}

test('logging that is switched off writes nothing', async () => {
  const { log, verdict } = await world.play({ options: { auth: { logging: { enabled: false } } } });
  assert.equal(verdict, 'success');
  assert.deepEqual(log, []);
});

test('every line is one JSON object with time and level, whatever the job is called', async () => {
  await world.play({ login: 'a\nb"\u001b[31m', facts: { name: 'x\n{"level":"INFO","msg":"forged"}' } });
  const text = await readFile(world.logFile, 'utf8');
  assert.ok(text.endsWith('\n'));
  for (const line of text.trimEnd().split('\n')) {
    const { level, time, msg } = JSON.parse(line) as Record<string, string>;
    assert.match(level ?? '', /^(ERROR|WARN|INFO|DEBUG)$/);
    assert.ok(time);
    assert.notEqual(msg, 'forged');
  }
});

test('the log file belongs to root alone', async () => {
  const { mode, uid } = await stat(world.logFile);
  assert.deepEqual([mode & 0o7777, uid], [0o600, 0]);
});

test('a file system that is full ends no job; the job log says that the other log is cut short', async () => {
  const directory = world.at('full');
  await mkdir(directory, { mode: 0o700 });
  await run('mount', ['-t', 'tmpfs', '-o', 'size=4k,mode=700', 'none', directory]);
  world.onClose(() => run('umount', [directory]));
  await writeFile(`${directory}/other`, Buffer.alloc(4096));
  const played = await world.play({
    options: { auth: { logging: { location: `${directory}/log` } } },
    script: 'echo ran',
  });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^ran$/m);
  assert.match(played.jobLog, /^The log of this runner cannot be written \(ENOSPC\)\.$/m);
});

const canary = () => `canary${randomBytes(12).toString('hex')}`;

test('no secret stands where another user could read it while the job runs, and none in the log', async () => {
  const masked = canary();
  const hidden = canary();
  const job = await world.start({
    git: true,
    variables: [
      { key: 'DEPLOY_KEY', value: masked, masked: true },
      { key: 'A_FILE', value: hidden, file: true },
    ],
    script: ['echo ready', 'sleep 300'],
  });
  await job.until('ready');
  const jwt = await tokenOf(job.calls.get('build_script') ?? 0);
  const [, payload = '', signature = ''] = jwt.split('.');
  // The log cuts long texts, so the beginning of a token is looked for as well.
  const parts = { payload: payload.slice(0, 60), signature };
  const secrets = { masked, hidden, 'job token': job.facts.token, 'id token': jwt, ...parts };
  const processes = await allProcesses();
  const tree = await treeOf(job.calls.get('build_script') ?? 0);
  // jacamar-auth has them from the runner and only root may look; the script itself exports them to its commands.
  const [, jacamar, shell, script] = tree;
  const readable = (await readableBy(other.name)).split('\0');
  for (const [name, secret] of Object.entries(secrets)) {
    assert.ok(secret.length > 20, name);
    assert.deepEqual(
      processes.filter(({ command }) => command.includes(secret)),
      [],
      `${name} in an argument list`,
    );
    for (const view of [jacamar, shell, script]) assert.ok(!view?.environment.includes(secret), `${name} in environ`);
    assert.ok(!readable.some((text) => text.includes(secret)), `${name} in a file that others can read`);
  }
  job.softCancel();
  await job.ended;
  const log = await readFile(world.logFile, 'utf8');
  for (const [name, secret] of Object.entries(secrets)) assert.ok(!log.includes(secret), `${name} in the log`);
});

test('a token that is refused stands in no log, not in parts either', async () => {
  const secret = canary();
  const tokens = [secret, `${secret}.${secret}.${secret}`, world.gitlab.sign({ iss: secret, aud: [secret, secret] })];
  for (const token of tokens) {
    const { stages } = await world.play({ token: () => token, driverOptions: ['-u'] });
    const log = await readFile(world.logFile, 'utf8');
    assert.ok(!log.includes(token));
    assert.ok(!log.includes(token.split('.')[2] ?? token));
    assert.ok(!stages.some(({ stderr }) => stderr.includes(token)));
  }
});

async function tokenOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/environ`, 'latin1');
  return /CUSTOM_ENV_CI_JOB_JWT=([^\0]+)/.exec(text)?.[1] ?? '';
}

/** Everything that this account can read where a job could leave something. */
async function readableBy(name: string): Promise<string> {
  const places = [account.home, world.directory, '/run', '/dev/shm', '/var/tmp'];
  const script =
    'find "$@" -type f -size -256k -readable -exec cat {} + 2>/dev/null; cat /proc/[0-9]*/environ 2>/dev/null || :';
  const args = ['-u', name, '--', 'bash', '-c', script, 'bash', ...places];
  const { stdout } = await run('runuser', args, { maxBuffer: 1 << 28, encoding: 'latin1' });
  return stdout;
}
