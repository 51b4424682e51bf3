// A Slurm without accounting that forgets ended jobs within seconds, and whose controller goes away and comes back. The
// jobs themselves run on all the time.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BatchJob, BatchSite, type BatchWishes } from '../support/batch-site.ts';
import { eventually } from '../support/eventually.ts';
import { signal, treeOf } from '../support/processes.ts';
import { HOST } from '../support/slurm/configuration.ts';
import { SlurmLab } from '../support/slurm/lab.ts';
import type { LiveCall } from '../support/staged-job.ts';

const lab = await SlurmLab.open({ minJobAge: 2, prolog: '#!/bin/sh\n[ ! -e "$(dirname "$0")/is-broken" ]\n' });
const site = await BatchSite.open({ env_vars: [`SLURM_CONF=${lab.configuration}`] });
const { world } = site;
after(() => lab.close());

const SYSTEM_FAILURE = { kind: 'system-failure', text: 'exit status 2' };
const LIMIT_MS = 180_000;
const OUTAGE_MS = 60_000;

interface Running extends BatchJob {
  readonly call: LiveCall;
  readonly id: string;
}

/** A job that says `ready`, and ends with a code when the file `go` is in its home. */
async function running(code = 3, wishes: BatchWishes = {}): Promise<Running> {
  const batch = await site.job(wishes);
  const call = batch.job.start(`echo ready; until [ -e ~/go ]; do sleep 0.1; done; echo gone; exit ${code}`);
  await eventually('the job is ready', () => /^ready$/m.test(call.output()), LIMIT_MS);
  const [id = ''] = await lab.living(batch.account.name);
  return { ...batch, call, id };
}

async function held(): Promise<Running> {
  const batch = await site.job({ variables: { SCHEDULER_PARAMETERS: '--hold' } });
  const call = batch.job.start('echo ran');
  const id = await eventually('a job waits', async () => (await lab.living(batch.account.name))[0], LIMIT_MS);
  await eventually('the job log names it', () => call.output().includes(id), LIMIT_MS);
  return { ...batch, call, id };
}

async function letGo({ account }: BatchJob): Promise<void> {
  await world.writeHome('go', '', account);
}

async function exitCode(call: LiveCall): Promise<number | string> {
  const { outcome, stdout } = await call.ended;
  return outcome.kind === 'build-failure' ? outcome.exitCode : `${outcome.kind}: ${stdout}`;
}

/** Both programs stand still while something happens. */
async function behindOurBacks(call: LiveCall, act: () => Promise<unknown>): Promise<void> {
  const programs = (await treeOf(await call.pid())).slice(0, 2).map(({ pid }) => pid);
  for (const pid of programs) signal(pid, 'SIGSTOP');
  await act();
  for (const pid of programs.toReversed()) signal(pid, 'SIGCONT');
}

async function forgotten(id: string): Promise<void> {
  await eventually('Slurm has forgotten the job', async () => (await lab.job(id)).size === 0, LIMIT_MS);
}

test('without accounting, codes are those of the script', async () => {
  const codes = [0, 7, 137, 255];
  const outcomes = await Promise.all(
    codes.map(async (code) => (await (await site.job()).job.run(`exit ${code}`)).outcome),
  );
  assert.deepEqual(
    outcomes.map((outcome) => ('exitCode' in outcome ? outcome.exitCode : outcome.kind)),
    ['success', 7, 137, 255],
  );
});

test('a job that has ended and is forgotten before anybody looks keeps its exit code', async () => {
  const job = await running(137);
  await behindOurBacks(job.call, async () => {
    await letGo(job);
    await forgotten(job.id);
  });
  assert.equal(await exitCode(job.call), 137);
});

test('a job that was cancelled in the queue and is forgotten before anybody looks is no success', async () => {
  const { call, id } = await held();
  await behindOurBacks(call, async () => {
    await lab.command('scancel', id);
    await forgotten(id);
  });
  const { outcome, stdout } = await call.ended;
  assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
});

test('a controller that is killed and started again changes nothing for a job', async () => {
  const job = await running();
  await lab.killController(job.id);
  await lab.startController();
  await letGo(job);
  assert.equal(await exitCode(job.call), 3);
});

test('a controller that is away for a minute costs no job: those that run, end, begin or are stopped meanwhile', async () => {
  const impatient = { general: { kill_timeout: '10s' } };
  const [ends, goesOn, isStopped, waits] = await Promise.all([running(3), running(4), running(0, impatient), held()]);
  await lab.stopController();
  const back = sleep(OUTAGE_MS).then(() => lab.startController());
  const begins = await site.job();
  const begun = begins.job.start('echo ran; exit 5');
  await letGo(ends);
  await eventually('output still comes', () => /^gone$/m.test(ends.call.output()), OUTAGE_MS - 10_000);
  isStopped.call.stop();
  await back;
  await letGo(goesOn);
  await lab.command('scontrol', 'release', waits.id);
  assert.equal(await exitCode(ends.call), 3);
  assert.equal(await exitCode(goesOn.call), 4);
  assert.equal(await exitCode(begun), 5);
  assert.equal((await waits.call.ended).outcome.kind, 'success');
  assert.deepEqual((await isStopped.call.ended).outcome, SYSTEM_FAILURE);
  assert.equal((await isStopped.job.cleanup()).outcome.kind, 'success');
  // Nodes repeat what nobody heard, some seconds apart.
  await eventually('Slurm learns of every end', async () => (await lab.living()).length === 0, LIMIT_MS);
});

test('a node whose prolog fails is a fault of the site, though Slurm calls the job cancelled', async () => {
  const sign = join(dirname(lab.configuration), 'is-broken');
  await writeFile(sign, '');
  const { job } = await site.job();
  const { outcome, stdout } = await job.run('echo ran');
  await rm(sign);
  await lab.command('scontrol', 'update', `NodeName=${HOST}`, 'State=RESUME');
  assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
  assert.doesNotMatch(stdout, /^ran$/m);
});
