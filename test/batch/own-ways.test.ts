// What one scheduler has that no other has, through the installed programs and the imitations of its commands.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { type BatchJob, BatchSite, type BatchWishes } from '../support/batch-site.ts';
import { eventually } from '../support/eventually.ts';
import { FakeCobalt } from '../support/fake-scheduler/cobalt.ts';
import { FakeFlux } from '../support/fake-scheduler/flux.ts';
import type { FrontEnd } from '../support/fake-scheduler/front-end.ts';
import { FakeLsf } from '../support/fake-scheduler/lsf.ts';
import { FakePbs } from '../support/fake-scheduler/pbs.ts';

const site = await BatchSite.open({});
const { world } = site;

const SYSTEM_FAILURE = { kind: 'system-failure', text: 'exit status 2' };
const LIMIT_MS = 180_000;

async function opened<Fake extends FrontEnd>(open: () => Promise<Fake>): Promise<Fake> {
  const fake = await open();
  world.onClose(() => fake.close());
  return fake;
}

async function jobOn(fake: FrontEnd, executor: string, wishes: BatchWishes = {}): Promise<BatchJob> {
  const batch = { scheduler_bin: fake.commands.bin, ...wishes.batch };
  return site.job({ ...wishes, batch, general: { executor, ...wishes.general } });
}

async function begun(fake: FrontEnd, { job }: BatchJob, commands: string) {
  const call = job.start(commands);
  await eventually('a job is submitted', () => fake.engine.jobs.size > 0, LIMIT_MS);
  return call;
}

describe('Flux', { concurrency: 4 }, () => {
  it('runs a script that calls flux in an instance of its own, and any other as a plain job', async () => {
    for (const [commands, verb] of [
      ['flux() { echo nested; }; flux run true', 'batch'],
      ['echo plain', 'submit'],
    ] as const) {
      const flux = await opened(FakeFlux.open);
      const { job } = await jobOn(flux, 'flux');
      const { outcome, stdout } = await job.run(commands);
      assert.equal(outcome.kind, 'success', stdout);
      assert.ok(flux.commands.calls.some(({ argv }) => argv[0] === verb));
    }
  });

  it('is asked in the instance that the site names, and in no other', async () => {
    const uris = await Promise.all(
      [{}, { env_vars: ['FLUX_URI=local:///site'] }].map(async (batch) => {
        const flux = await opened(FakeFlux.open);
        const general = { user_bash_env: ['FLUX_URI=local:///nested'] };
        const { job } = await jobOn(flux, 'flux', { batch, general });
        assert.equal((await job.run('true')).outcome.kind, 'success');
        return new Set(flux.commands.calls.map(({ environment }) => environment['FLUX_URI']));
      }),
    );
    assert.deepEqual(uris, [new Set([undefined]), new Set(['local:///site'])]);
  });

  it('is followed by one command that waits, and hardly asked besides', async () => {
    const flux = await opened(FakeFlux.open);
    const { job, account } = await jobOn(flux, 'flux', {
      batch: { poll_interval_min: '1s', poll_interval_max: '60s' },
    });
    const call = await begun(flux, { job, account }, 'until [ -e ~/go ]; do sleep 0.1; done');
    const count = (...words: string[]) =>
      flux.commands.calls.filter(({ argv }) => words.every((word, index) => argv[index] === word)).length;
    await eventually('somebody waits', () => count('job', 'status') === 1, LIMIT_MS);
    await world.writeHome('go', '', account);
    assert.equal((await call.ended).outcome.kind, 'success');
    assert.equal(count('job', 'status'), 1);
    assert.ok(count('jobs') <= 8, `${count('jobs')} questions`);
  });
});

describe('PBS', { concurrency: 4 }, () => {
  it('holds a job whose output cannot be opened: it is deleted, and a system failure', async () => {
    const pbs = await opened(FakePbs.open);
    const batch = await jobOn(pbs, 'pbs', { variables: { SCHEDULER_PARAMETERS: '-h' } });
    const call = await begun(pbs, batch, 'echo ran');
    await rm(dirname(pbs.job.request.output(pbs.job.id)), { recursive: true });
    pbs.engine.start(pbs.job);
    const { outcome, stdout } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout, /too many failed attempts/);
    assert.notEqual(pbs.job.cancelledBy, undefined);
  });

  it('may say for a while that a job can never run, and run it all the same', async () => {
    const pbs = await opened(FakePbs.open);
    const reason = 'Can Never Run: Insufficient amount of resource: ncpus (R: 1 A: 0 T: 0)';
    pbs.engine.plan = { waits: [{ reason, ms: 9_000 }] };
    const { job } = await jobOn(pbs, 'pbs');
    const { outcome, stdout } = await job.run('echo ran');
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /Can Never Run/);
  });

  it('of the kind of Torque gets the output from the wrapper, while the job runs', async () => {
    const pbs = await opened(FakePbs.open);
    pbs.isTorque = true;
    pbs.hasHistory = false;
    const batch = await jobOn(pbs, 'pbs');
    const call = await begun(pbs, batch, 'echo live; until [ -e ~/go ]; do sleep 0.1; done; echo end >&2; exit 7');
    await eventually('its output is passed on', () => /^live$/m.test(call.output()), LIMIT_MS);
    await world.writeHome('go', '', batch.account);
    const { outcome, stdout } = await call.ended;
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 7, text: 'exit status 7' });
    assert.match(stdout, /^live$[\s\S]*^end$/m);
  });

  it('gives a job the build directory and the environment of a login, though it begins in the home without them', async () => {
    const pbs = await opened(FakePbs.open);
    const wishes = await site.wishes({ batch: { scheduler_bin: pbs.commands.bin }, general: { executor: 'pbs' } });
    const variables = [...wishes.variables, { key: 'MINE', value: 'two  words' }];
    const { verdict, jobLog } = await world.play({ ...wishes, variables, script: ['pwd', 'echo "<$MINE>"'] });
    assert.equal(verdict, 'success', jobLog);
    assert.match(jobLog, /^\/.*\/builds\/.*\/demo\/hello$/m);
    assert.match(jobLog, /^<two {2}words>$/m);
  });
});

describe('LSF', { concurrency: 4 }, () => {
  it('is asked for less where bjobs does not have all fields', async () => {
    const lsf = await opened(FakeLsf.open);
    lsf.hasAllFields = false;
    const { job } = await jobOn(lsf, 'bsub');
    const { outcome, stdout } = await job.run('exit 7');
    assert.equal('exitCode' in outcome && outcome.exitCode, 7, stdout);
  });

  it('shows output while the job runs, with lsf_job_cancellation and without, and ends it by its number', async () => {
    for (const lsf_job_cancellation of [true, false]) {
      const lsf = await opened(FakeLsf.open);
      const batch = await jobOn(lsf, 'lsf', { batch: { lsf_job_cancellation } });
      const call = await begun(lsf, batch, 'echo ready; sleep 300');
      await eventually('the output is shown', () => /^ready$/m.test(call.output()), LIMIT_MS);
      call.stop();
      assert.deepEqual((await call.ended).outcome, SYSTEM_FAILURE);
      const kills = lsf.commands.calls.filter(({ program }) => program === 'bkill');
      assert.deepEqual(new Set(kills.map(({ argv }) => argv.join(' '))), new Set([lsf.job.id]));
    }
  });
});

describe('Cobalt', { concurrency: 4 }, () => {
  const variables = { SCHEDULER_TIME: '10m' };

  it('shows what it wrote as errors to those who ask for it', async () => {
    for (const [wish, shows] of [
      ['true', true],
      ['', false],
    ] as const) {
      const cobalt = await opened(FakeCobalt.open);
      const wishes = { variables: { ...variables, COBALT_SUMMARIZE_ERRORS: wish } };
      const { job } = await jobOn(cobalt, 'qsub', wishes);
      const { outcome, stdout } = await job.run('exit 3');
      assert.equal(outcome.kind, 'build-failure', stdout);
      assert.equal(/wrote as errors:\n {2}launcher: end of job$/m.test(stdout), shows, stdout);
    }
  });

  it('tells a time limit by its log, unless the site does without that', async () => {
    for (const skip_cobalt_log of [false, true]) {
      const cobalt = await opened(FakeCobalt.open);
      const batch = await jobOn(cobalt, 'cobalt', { variables, batch: { skip_cobalt_log } });
      const call = await begun(cobalt, batch, 'echo ready; sleep 300');
      await eventually('the job runs', () => /^ready$/m.test(call.output()), LIMIT_MS);
      await cobalt.engine.end(cobalt.job, 'time-limit');
      const { outcome, stdout } = await call.ended;
      assert.equal(outcome.kind, 'build-failure', stdout);
      assert.equal(/time limit was reached/i.test(stdout), !skip_cobalt_log, stdout);
    }
  });

  it('says why it takes no job: it wants to know how long', async () => {
    const cobalt = await opened(FakeCobalt.open);
    const { job } = await jobOn(cobalt, 'cobalt');
    const { outcome, stdout, stderr } = await job.run('true');
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.match(stdout + stderr, /time needed/);
  });
});
