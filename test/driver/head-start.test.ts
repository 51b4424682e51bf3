// A jacamar that the launcher has started ahead of the decision: it is the one that works when the decision is the one
// of the config stage, and in every other case it is gone without a trace.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { changeAccounts } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { allProcesses, signal, treeOf } from '../support/processes.ts';
import type { LiveCall, StagedJob } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

/** The number that the launcher gave to jacamar-auth; undefined without a head start. */
async function headStartOf(auth: number): Promise<number | undefined> {
  const environment = await readFile(`/proc/${auth}/environ`, 'utf8');
  const said = environment.split('\0').find((entry) => entry.startsWith('JACAMAR_HEAD_START='));
  return said === undefined ? undefined : Number(/=(\d+)/.exec(said)?.[1]);
}

async function jacamarOf(call: LiveCall): Promise<{ ahead: number | undefined; atWork: number | undefined }> {
  await call.until('at work');
  const auth = await call.pid();
  const tree = await treeOf(auth);
  return { ahead: await headStartOf(auth), atWork: tree.find(({ parent }) => parent === auth)?.pid };
}

async function ofAccount(): Promise<string[]> {
  return (await allProcesses()).filter(({ uid }) => uid === account.uid).map(({ command }) => command);
}

const planOf = (job: StagedJob) => join(job.attempt.directory, 'jacamar-head-start');

test('the jacamar of a run stage is the one that was started ahead', async () => {
  const job = await (await world.stages()).configured();
  const call = job.start('echo at work; sleep 300');
  const { ahead, atWork } = await jacamarOf(call);
  assert.ok(atWork !== undefined);
  assert.equal(ahead, atWork);
  await job.close();
});

test('a job goes its way with a head start in each of its stages', async () => {
  const { log, verdict } = await world.play({ script: ['id -un', 'echo fine'] });
  assert.equal(verdict, 'success');
  assert.equal(log.filter(({ level }) => level === 'ERROR').length, 0);
});

test('the plan lies with the response file, is for root alone, and goes with it', async () => {
  const job = await (await world.stages()).configured();
  const { uid, mode } = await stat(planOf(job));
  assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
  const text = await readFile(planOf(job), 'utf8');
  for (const { value } of job.response.variables) if (value.length > 20) assert.ok(!text.includes(value));
  await job.close();
  assert.equal(existsSync(planOf(job)), false);
});

test('an account whose groups have changed since config gets a jacamar with those that it has now', async () => {
  const job = await (await world.stages()).configured();
  const group = `${account.name}_new`;
  await changeAccounts('groupadd', [group]);
  try {
    await changeAccounts('usermod', ['-aG', group, account.name]);
    const call = job.start('id -Gn; echo at work; sleep 300');
    const { ahead, atWork } = await jacamarOf(call);
    assert.ok(ahead !== undefined && atWork !== undefined);
    assert.notEqual(ahead, atWork);
    assert.ok(call.output().includes(group));
    assert.ok(!(await allProcesses()).some(({ pid }) => pid === ahead));
    await job.close();
  } finally {
    await changeAccounts('groupdel', [group]);
  }
});

test('a stage that is refused after config leaves nothing of the jacamar that waited, and no word of it', async () => {
  const configuration = await world.configure();
  const job = await (await world.stages({ configuration })).configured();
  const text = await readFile(configuration, 'utf8');
  await writeFile(configuration, text.replace('[auth]', `[auth]\nuser_blocklist = ["${account.name}"]`));
  for (const record of [await job.run('echo never'), await job.prepare()]) {
    assert.equal(record.outcome.kind, 'build-failure');
    assert.equal(record.stdout, '');
    assert.match(record.stderr, /^[^\n]*\(reference [0-9a-f]{8}\)\n$/);
  }
  assert.deepEqual(await ofAccount(), []);
  const refused = (await job.log()).filter(({ msg }) => msg === 'jacamar started');
  assert.deepEqual(
    refused.map(({ stage }) => stage),
    ['config_exec'],
  );
});

test('a run stage that the site skips leaves nothing of the jacamar that waited', async () => {
  const options = { auth: { run_stage_allowlist: ['build_script'] } };
  const job = await (await world.stages({ options })).configured();
  const { outcome, stdout } = await job.run('echo never', 'archive_cache');
  assert.deepEqual([outcome.kind, stdout], ['success', '']);
  assert.deepEqual(await ofAccount(), []);
});

test('a call whose job is over leaves nothing of the jacamar that waited', async () => {
  const job = await (await world.stages()).configured();
  await job.run('true');
  await job.cleanup();
  const { outcome } = await job.run('echo never');
  assert.equal(outcome.kind, 'system-failure');
  assert.deepEqual(await ofAccount(), []);
});

test('when jacamar-auth is killed before it has decided, jacamar ends without a word', async () => {
  const job = await withoutKeys();
  world.gitlab.behaviour.keys = { delayMs: 60_000 };
  const call = job.start('echo never');
  const said: string[] = [];
  call.onError((text) => said.push(text));
  const auth = await call.pid();
  await eventually('jacamar waits', () => headStartIfAny(auth));
  signal(auth, 'SIGKILL');
  await call.ended;
  delete world.gitlab.behaviour.keys;
  await eventually('the account has no process', async () => (await ofAccount()).length === 0 || undefined);
  assert.ok(!call.output().includes('never'));
  assert.ok(!said.join('').includes('internal error'), said.join(''));
});

test('a jacamar that waits, and was stopped by its user, ends with a stage that fails', async () => {
  const job = await withoutKeys();
  world.gitlab.behaviour.keys = { delayMs: 3_000, hangUp: true };
  const call = job.start('echo never');
  const auth = await call.pid();
  signal(await eventually('jacamar waits', () => headStartIfAny(auth)), 'SIGSTOP');
  const { outcome } = await call.ended;
  delete world.gitlab.behaviour.keys;
  assert.equal(outcome.kind, 'system-failure');
  assert.deepEqual(await ofAccount(), []);
});

let states = 0;
/** A job whose next stage is decided when the server has answered. */
async function withoutKeys(): Promise<StagedJob> {
  states += 1;
  const state = world.at(`state-${states}`);
  const job = await (await world.stages({ options: { auth: { state_dir: state } } })).configured();
  await rm(join(state, 'keys'), { recursive: true });
  return job;
}

async function headStartIfAny(auth: number): Promise<number | undefined> {
  try {
    return await headStartOf(auth);
  } catch {
    return undefined;
  }
}

test('without a plan, and with start_ahead = false there is none, jacamar-auth starts jacamar itself', async () => {
  const without = await (await world.stages({ options: { auth: { start_ahead: false } } })).configured();
  assert.equal(existsSync(planOf(without)), false);
  const lost = await (await world.stages()).configured();
  await rm(planOf(lost));
  for (const job of [without, lost]) {
    const call = job.start('echo at work; sleep 300');
    const { ahead, atWork } = await jacamarOf(call);
    assert.equal(ahead, undefined);
    assert.ok(atWork !== undefined);
    await job.close();
  }
});

test('a filter of system calls binds jacamar from its start, so there is no head start', async () => {
  const options = { auth: { seccomp: { disabled: false, block_calls: ['acct'] } } };
  const job = await (await world.stages({ options })).configured();
  assert.equal(existsSync(planOf(job)), false);
  assert.equal((await job.run('true')).outcome.kind, 'success');
});

/** Rewrites the configuration between two stages, as an administrator might. */
async function changed(configuration: string, change: (text: string) => string): Promise<void> {
  await writeFile(configuration, change(await readFile(configuration, 'utf8')));
}

test('a filter of system calls that was configured after config binds the job all the same', async () => {
  const seccomp = '\n[auth.seccomp]\ndisabled = false\nblock_calls = ["acct"]\n';
  for (const more of ['', 'disable_no_new_privs = true\n']) {
    const configuration = await world.configure({ auth: { no_new_privs: more === '' } });
    const job = await (await world.stages({ configuration })).configured();
    await changed(configuration, (text) => text + seccomp + more);
    const { outcome, stdout } = await job.run('grep ^Seccomp: /proc/self/status');
    assert.deepEqual([outcome.kind, stdout], ['success', 'Seccomp:\t2\n']);
    await job.close();
  }
});

test('another way of giving up privilege that was configured after config is the one that is taken', async () => {
  const configuration = await world.configure();
  const job = await (await world.stages({ configuration })).configured();
  await changed(configuration, (text) => text.replace('downscope = "setuid"', 'downscope = "su"'));
  const call = job.start('echo at work; sleep 300');
  await call.until('at work');
  const auth = await call.pid();
  const [below] = (await treeOf(auth)).filter(({ parent }) => parent === auth);
  assert.match(below?.command ?? '', /^\S*su /);
  await job.close();
});

test('start_ahead = false holds for jobs that have a plan already', async () => {
  const configuration = await world.configure();
  const job = await (await world.stages({ configuration })).configured();
  await changed(configuration, (text) => text.replace('[auth]', '[auth]\nstart_ahead = false'));
  const call = job.start('echo at work; sleep 300');
  const { ahead, atWork } = await jacamarOf(call);
  assert.ok(ahead !== undefined && atWork !== undefined && ahead !== atWork);
  assert.ok(!(await allProcesses()).some(({ pid }) => pid === ahead));
  await job.close();
});

test('a plan that somebody has changed is not followed, or its jacamar is not used', async () => {
  const job = await (await world.stages()).configured();
  const plan = await readFile(planOf(job), 'utf8');
  // As if somebody were root: another account's home, which only the decision can know to be wrong.
  await writeFile(planOf(job), plan.replace(`HOME=${account.home}`, 'HOME=/tmp'));
  const call = job.start('echo at work; echo "home $HOME"; sleep 300');
  const { ahead, atWork } = await jacamarOf(call);
  assert.ok(ahead !== undefined && ahead !== atWork);
  assert.ok((await call.until('home ')).includes(`home ${account.home}`));
  await job.close();
});

test('a large script reaches the jacamar that waits whole', async () => {
  const job = await (await world.stages()).configured();
  const filler = Array.from({ length: 40_000 }, (_, index) => `: line number ${index} of a long script`).join('\n');
  const { outcome, stdout } = await job.run(`${filler}\necho the end`);
  assert.equal(outcome.kind, 'success');
  assert.equal(stdout.trim(), 'the end');
});
