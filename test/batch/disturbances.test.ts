// Schedulers that are slow, wrong, silent or forgetful, and administrators in a hurry: what a real one does not do on
// demand. Each test has a scheduler of its own; jobs run for real. Whatever happens, no job that did not run to its end
// is a success, and none runs twice.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { processesOf } from '../support/accounts.ts';
import { type BatchJob, BatchSite, type BatchWishes, killBoth } from '../support/batch-site.ts';
import { eventually } from '../support/eventually.ts';
import { instead, late, lost } from '../support/fake-scheduler/commands.ts';
import type { End, FakeJob, Plan } from '../support/fake-scheduler/engine.ts';
import { FakeSlurm } from '../support/fake-scheduler/slurm.ts';
import { signal, treeOf } from '../support/processes.ts';
import { mountSmall } from '../support/small-file-system.ts';
import type { LiveCall } from '../support/staged-job.ts';

const site = await BatchSite.open({});
const { world } = site;

const SYSTEM_FAILURE = { kind: 'system-failure', text: 'exit status 2' };
const LIMIT_MS = 180_000;
/** Shorter than what a command may take. */
const LATE_MS = 25_000;
const FOREVER = Number.POSITIVE_INFINITY;

const CONNECTION_LOST = {
  stderr: 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n',
  exitCode: 1,
};
const BUSY = {
  stderr: 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n',
  exitCode: 1,
};

async function scheduler(plan: Plan = {}): Promise<FakeSlurm> {
  const slurm = await FakeSlurm.open();
  world.onClose(() => slurm.close());
  slurm.engine.plan = plan;
  return slurm;
}

async function jobOn(slurm: FakeSlurm, wishes: BatchWishes = {}): Promise<BatchJob> {
  return site.job({ ...wishes, batch: { scheduler_bin: slurm.commands.bin, ...wishes.batch } });
}

interface Running extends BatchJob {
  readonly slurm: FakeSlurm;
  readonly call: LiveCall;
  readonly fake: FakeJob;
}

/** A job that has said `ready`; it ends when the file `go` is in its home. */
async function running(slurm: FakeSlurm, last = 'exit 6', wishes: BatchWishes = {}): Promise<Running> {
  const batch = await jobOn(slurm, wishes);
  const call = batch.job.start(`echo ready; until [ -e ~/go ]; do sleep 0.1; done; ${last}`);
  await eventually('the job is ready', () => /^ready$/m.test(call.output()), LIMIT_MS);
  return { ...batch, slurm, call, fake: slurm.job };
}

async function letGo({ account }: BatchJob): Promise<void> {
  await world.writeHome('go', '', account);
}

/** A job that waits in the queue. */
async function waiting(slurm: FakeSlurm, wishes: BatchWishes = {}): Promise<Running> {
  const batch = await jobOn(slurm, wishes);
  const call = batch.job.start('echo ran >> ~/ran; echo ran');
  await eventually('a job is submitted', () => slurm.engine.jobs.size > 0, LIMIT_MS);
  return { ...batch, slurm, call, fake: slurm.job };
}

async function runsOf({ account }: BatchJob): Promise<number> {
  const text = await readFile(join(account.home, 'ran'), 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

async function asked(slurm: FakeSlurm, program: string, more: number): Promise<void> {
  const before = slurm.commands.count(program);
  await eventually(`${program} was called`, () => slurm.commands.count(program) >= before + more, LIMIT_MS);
}

const exitCodeOf = ({ outcome }: { outcome: object }) => 'exitCode' in outcome && outcome.exitCode;

describe('a submission', { concurrency: 6 }, () => {
  it('is tried again while the scheduler says that it cannot take it, and made once', async () => {
    const slurm = await scheduler();
    slurm.commands.disturb('sbatch', instead(BUSY), 2);
    const batch = await jobOn(slurm);
    const { outcome, stdout } = await batch.job.run('echo ran >> ~/ran');
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(slurm.commands.count('sbatch'), 3);
    assert.equal(await runsOf(batch), 1);
  });

  for (const [title, answer] of [
    ['whose answer got lost', CONNECTION_LOST],
    ['that was answered without a number', { stdout: '' }],
    ['that was answered with two numbers', { stdout: '12\n13\n' }],
  ] as const) {
    it(`${title} is found by its name and not made again`, async () => {
      const slurm = await scheduler();
      slurm.commands.disturb('sbatch', lost(answer), 1);
      const batch = await jobOn(slurm);
      const { outcome, stdout } = await batch.job.run('echo ran >> ~/ran');
      assert.equal(outcome.kind, 'success', stdout);
      assert.equal(slurm.engine.jobs.size, 1);
      assert.equal(await runsOf(batch), 1);
    });
  }

  it('whose answer got lost before it arrived is made again', async () => {
    const slurm = await scheduler();
    slurm.commands.disturb('sbatch', instead(CONNECTION_LOST), 1);
    const batch = await jobOn(slurm);
    const { outcome, stdout } = await batch.job.run('echo ran >> ~/ran');
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(await runsOf(batch), 1);
  });

  it('waits for a controller that is away', async () => {
    const slurm = await scheduler();
    slurm.outage = { delayMs: 500 };
    const batch = await jobOn(slurm);
    const call = batch.job.start('echo ran >> ~/ran');
    await asked(slurm, 'sbatch', 2);
    slurm.outage = undefined;
    assert.equal((await call.ended).outcome.kind, 'success');
    assert.equal(await runsOf(batch), 1);
  });

  it('that the scheduler refuses fails the job with its words, and is not tried again', async () => {
    const slurm = await scheduler();
    const stderr = 'sbatch: error: Batch job submission failed: Invalid partition name specified\n';
    slurm.commands.disturb('sbatch', instead({ stderr, exitCode: 1 }));
    const { job } = await jobOn(slurm);
    const { outcome, stdout, stderr: told } = await job.run('true');
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.match(stdout + told, /Invalid partition name specified/);
    assert.equal(slurm.commands.count('sbatch'), 1);
  });

  it('that is under way when the stage is stopped leaves no job behind', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    slurm.commands.disturb('sbatch', late(2_000), 1);
    const { job } = await jobOn(slurm);
    const call = job.start('true');
    await eventually('sbatch is called', () => slurm.commands.count('sbatch') > 0, LIMIT_MS);
    call.stop();
    assert.deepEqual((await call.ended).outcome, SYSTEM_FAILURE);
    assert.equal((await job.cleanup()).outcome.kind, 'success');
    assert.ok([...slurm.engine.jobs.values()].every(({ phase }) => phase === 'ended'));
  });

  it('that arrives after it was made again leaves no job behind', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const arrival = Promise.withResolvers<void>();
    slurm.commands.disturb(
      'sbatch',
      (answer) => {
        void arrival.promise.then(answer);
        return CONNECTION_LOST;
      },
      1,
    );
    const { job } = await jobOn(slurm);
    const call = job.start('sleep 600');
    await eventually('it is made again', () => slurm.engine.jobs.size === 1, LIMIT_MS);
    arrival.resolve();
    await eventually('it arrives', () => slurm.engine.jobs.size === 2, LIMIT_MS);
    const [, late] = [...slurm.engine.jobs.values()];
    if (late !== undefined) slurm.engine.start(late);
    assert.equal((await call.ended).outcome.kind, 'system-failure');
    assert.equal((await job.cleanup()).outcome.kind, 'success');
    assert.deepEqual(
      [...slurm.engine.jobs.values()].map(({ phase }) => phase),
      ['ended', 'ended'],
    );
  });

  it('that arrives when the CI job is over runs nothing, also where scripts are kept', async () => {
    const slurm = await scheduler();
    const arrival = Promise.withResolvers<void>();
    slurm.commands.disturb('sbatch', async (answer) => {
      await arrival.promise;
      return answer();
    });
    const batch = await jobOn(slurm, { general: { retain_logs: true } });
    const call = batch.job.start('echo ran >> ~/ran');
    await eventually('sbatch is called', () => slurm.commands.count('sbatch') > 0, LIMIT_MS);
    await killBoth(call);
    await call.ended;
    assert.equal((await batch.job.cleanup()).outcome.kind, 'success');
    arrival.resolve();
    await eventually('the job has ended', () => slurm.engine.jobs.size > 0 && slurm.job.phase === 'ended', LIMIT_MS);
    assert.equal(await runsOf(batch), 0);
  });

  it('with a program that does not exist is a fault of the site', async () => {
    const { job } = await site.job({ batch: { scheduler_bin: '/nonexistent' } });
    assert.deepEqual((await job.run('true')).outcome, SYSTEM_FAILURE);
    const before = performance.now();
    assert.equal((await job.cleanup()).outcome.kind, 'success');
    assert.ok(performance.now() - before < 30_000, 'cleanup looked for a job that nobody was asked for');
  });
});

describe('while a job runs', { concurrency: 6 }, () => {
  for (const [title, disturb] of [
    ['gives no answer', beAway],
    ['answers nonsense', (slurm: FakeSlurm) => talkNonsense(slurm, { stdout: 'slurm: \u0000 what?\n' })],
    ['answers nothing at all', (slurm: FakeSlurm) => talkNonsense(slurm, { stdout: '' })],
    ['fails without a word', (slurm: FakeSlurm) => talkNonsense(slurm, { exitCode: 1 })],
    ['uses words that nobody knows', (slurm: FakeSlurm) => replaceState(slurm, 'RUNNING', 'PONDERING')],
  ] as const) {
    it(`a scheduler that ${title} does not end it, and the script's own exit code counts`, async () => {
      const slurm = await scheduler();
      const job = await running(slurm);
      disturb(slurm);
      await asked(slurm, 'squeue', 3);
      assert.equal(job.fake.phase, 'running');
      await letGo(job);
      assert.equal(exitCodeOf(await job.call.ended), 6);
    });
  }

  it('a slow scheduler holds up neither its output nor its end', async () => {
    const slurm = await scheduler();
    slurm.commands.disturb('squeue', late(LATE_MS));
    const job = await running(slurm, 'echo last words; exit 6');
    await eventually('squeue is asked', () => slurm.commands.count('squeue') > 0, LIMIT_MS);
    await letGo(job);
    await eventually('its last line is shown', () => /^last words$/m.test(job.call.output()), LATE_MS);
    assert.equal(exitCodeOf(await job.call.ended), 6);
  });

  it('it may have begun while the scheduler gave no answer', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const batch = await jobOn(slurm);
    const call = batch.job.start('echo ready; until [ -e ~/go ]; do sleep 0.1; done; exit 6');
    await eventually('it waits', () => /Resources/.test(call.output()), LIMIT_MS);
    slurm.outage = { delayMs: 300 };
    slurm.engine.start(slurm.job);
    await eventually('it has begun', () => /^ready$/m.test(call.output()), LIMIT_MS);
    await asked(slurm, 'squeue', 3);
    slurm.outage = undefined;
    await letGo(batch);
    assert.equal(exitCodeOf(await call.ended), 6);
  });

  it('a marker file without content is not taken for its end', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    const directory = job.fake.request.output(job.fake.id).replace(/\/[^/]*$/, '');
    await world.writeHome(join(directory.slice(job.account.home.length), 'exit'), '', job.account);
    await asked(slurm, 'squeue', 2);
    assert.equal(job.fake.phase, 'running');
    await letGo(job);
    assert.equal(exitCodeOf(await job.call.ended), 6);
  });

  it('its place in the queue may be gone before anybody looks', async () => {
    const slurm = await scheduler();
    slurm.accounting = undefined;
    slurm.engine.forgetMs = 0;
    for (const [code, kind] of [
      [0, 'success'],
      [6, 'build-failure'],
    ] as const) {
      const { job } = await jobOn(slurm);
      assert.equal((await job.run(`exit ${code}`)).outcome.kind, kind);
    }
  });

  it('a job that nobody has ever heard of is given up, with what was seen, as a fault of the site', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    await slurm.lose(job.fake);
    await processesGone(job);
    const { outcome, stdout, stderr } = await job.call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout + stderr, new RegExp(job.fake.id));
  });

  it('a job that is not listed once is not lost', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    slurm.commands.disturb(
      'squeue',
      instead({ stderr: 'slurm_load_jobs error: Invalid job id specified\n', exitCode: 1 }),
      1,
    );
    slurm.commands.disturb(
      'scontrol',
      instead({ stderr: 'slurm_load_jobs error: Invalid job id specified\n', exitCode: 1 }),
      1,
    );
    slurm.commands.disturb('sacct', instead({ stdout: '' }), 1);
    await asked(slurm, 'squeue', 3);
    await letGo(job);
    assert.equal(exitCodeOf(await job.call.ended), 6);
  });

  it('every command of the scheduler is counted, and the job log says how many there were', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    await asked(slurm, 'squeue', 2);
    await letGo(job);
    const { stdout } = await job.call.ended;
    assert.match(stdout, new RegExp(`asked ${slurm.commands.calls.length} times`));
  });

  it('accounting that subtracts 128 changes no exit code', async () => {
    const slurm = await scheduler();
    slurm.engine.forgetMs = 0;
    const { job } = await jobOn(slurm);
    assert.equal(exitCodeOf(await job.run('exit 137')), 137);
  });

  it('an epilog of the site delays its end, and changes nothing', async () => {
    const slurm = await scheduler({ completingMs: 3_000 });
    const { job } = await jobOn(slurm);
    assert.equal(exitCodeOf(await job.run('exit 6')), 6);
  });

  it('a second start, which an administrator forced, is cancelled and never a success', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0');
    await slurm.engine.requeue(job.fake);
    await asked(slurm, 'squeue', 1);
    slurm.engine.start(job.fake);
    assert.deepEqual((await job.call.ended).outcome, SYSTEM_FAILURE);
    assert.equal(job.fake.phase, 'ended');
  });

  it('a second start that nobody saw coming does not run the script again', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0');
    await slurm.engine.requeue(job.fake);
    slurm.engine.start(job.fake);
    const { outcome, stdout } = await job.call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE);
    assert.equal(stdout.match(/^ready$/gm)?.length, 1, stdout);
  });

  it('the same number in another cluster of this host is another job', async () => {
    const account = await site.addAccount();
    const [queue, other] = [await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] }), await scheduler()];
    const waits = await waiting(queue, { account });
    const runs = await running(other, 'exit 6', { account });
    assert.equal(waits.fake.id, runs.fake.id);
    for (const slurm of [queue, other]) await asked(slurm, 'squeue', 3);
    assert.doesNotMatch(waits.call.output(), /^Running/m);
    await letGo(runs);
    assert.equal(exitCodeOf(await runs.call.ended), 6);
    queue.engine.start(waits.fake);
    assert.equal((await waits.call.ended).outcome.kind, 'success');
  });

  it('several jobs under its number are more than was asked for, and cancelled', async () => {
    const slurm = await scheduler();
    const twice = async (answer: () => Promise<{ stdout?: string }>) => {
      const reply = await answer();
      return { ...reply, stdout: (reply.stdout ?? '').repeat(2) };
    };
    slurm.commands.disturb('squeue', twice);
    slurm.commands.disturb('scontrol', twice);
    const job = await running(slurm, 'exit 0');
    const { outcome } = await job.call.ended;
    assert.equal(outcome.kind, 'build-failure');
    assert.equal(job.fake.cancelledBy, job.account.uid);
  });
});

describe('the end of a job', { concurrency: 6 }, () => {
  const kinds: readonly (readonly [End, 'build-failure' | 'system-failure'])[] = [
    ['time-limit', 'build-failure'],
    ['out-of-memory', 'build-failure'],
    ['node-failure', 'system-failure'],
  ];
  for (const [end, kind] of kinds) {
    it(`by ${end} is a ${kind}`, async () => {
      const slurm = await scheduler();
      const job = await running(slurm);
      if (end === 'node-failure') await slurm.engine.failNode(job.fake);
      else await slurm.engine.end(job.fake, end);
      const { outcome, stdout } = await job.call.ended;
      assert.equal(outcome.kind, kind, stdout);
    });
  }

  it('by out-of-memory fails a job whose script went on and ended with 0', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0');
    job.fake.end = 'out-of-memory';
    await letGo(job);
    assert.equal((await job.call.ended).outcome.kind, 'build-failure');
  });

  it('without a beginning is a system failure when the scheduler could not start it', async () => {
    const slurm = await scheduler({ ends: 'start-failure' });
    const { job } = await jobOn(slurm);
    assert.deepEqual((await job.run('true')).outcome, SYSTEM_FAILURE);
  });

  it('is no success when the scheduler calls a job completed whose script never ran', async () => {
    const slurm = await scheduler({ ends: 'exited' });
    const { job } = await jobOn(slurm);
    const { outcome, stdout } = await job.run('true');
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
  });

  it('is brought about when another cluster of a federation has started it, and told as that', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    replaceState(slurm, 'PENDING', 'REVOKED');
    const job = await waiting(slurm);
    const { outcome, stdout } = await job.call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout, /another cluster/);
    assert.equal(job.fake.end, 'cancelled');
  });

  it('is no success when somebody cancels it in the queue', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const job = await waiting(slurm);
    await slurm.engine.cancel(job.fake, 0);
    assert.equal((await job.call.ended).outcome.kind, 'build-failure');
    assert.equal(await runsOf(job), 0);
  });

  for (const code of [0, 6]) {
    it(`is told when the job has filled its file system, with exit code ${code}`, async () => {
      const slurm = await scheduler();
      const account = await site.addAccount();
      const base = join(account.home, 'small');
      mountSmall(world, base, account, 'size=1M');
      const batch = await jobOn(slurm, { account, general: { data_dir: base } });
      const record = await batch.job.run(`head -c 3000000 /dev/zero >${base}/large || true; exit ${code}`);
      assert.equal(exitCodeOf(record), code === 0 ? false : code, record.stdout);
      assert.equal(record.outcome.kind, code === 0 ? 'success' : 'build-failure', record.stdout);
    });
  }

  it('is known by the marker while the controller is away', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    slurm.outage = { delayMs: 300 };
    await letGo(job);
    await asked(slurm, 'scontrol', 1);
    slurm.outage = undefined;
    assert.equal(exitCodeOf(await job.call.ended), 6);
  });

  it('is brought about again and again until the scheduler hears it', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0', { general: { kill_timeout: '30s' } });
    slurm.commands.disturb(
      'scancel',
      instead({ stderr: 'scancel: error: Kill job error on job id 1: Socket timed out\n', exitCode: 8 }),
      2,
    );
    job.call.stop();
    assert.deepEqual((await job.call.ended).outcome, SYSTEM_FAILURE);
    assert.equal(job.fake.end, 'cancelled');
    assert.equal(slurm.commands.count('scancel'), 3);
  });

  it('is told in time when the controller hears the cancel and then answers no question', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0', { general: { kill_timeout: '10s' } });
    slurm.commands.disturb('scontrol', late(60_000));
    job.call.stop();
    const { outcome, stdout } = await job.call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE);
    assert.match(stdout, /not confirmed/);
    assert.equal(job.fake.end, 'cancelled');
  });

  it('does not wait long for accounting that gives no answer', async () => {
    const slurm = await scheduler();
    const job = await running(slurm);
    slurm.commands.disturb('sacct', late(60_000));
    await letGo(job);
    const before = performance.now();
    assert.equal(exitCodeOf(await job.call.ended), 6);
    assert.ok(performance.now() - before < 25_000, 'sacct was waited for as long as any other command');
  });

  it('holds nobody up when the runner loses its patience while the controller is away', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0', { settings: { gracefulKillMs: 1_000 } });
    slurm.outage = { delayMs: 9_000 };
    job.call.stop();
    const { outcome } = await job.call.ended;
    assert.equal(outcome.kind, 'system-failure');
    assert.doesNotMatch('text' in outcome ? outcome.text : '', /dormant/);
    slurm.outage = undefined;
    assert.equal((await job.job.cleanup()).outcome.kind, 'success');
    assert.equal(job.fake.end, 'cancelled');
  });

  it('is brought about at cleanup when the controller was away at the stop, which is told', async () => {
    const slurm = await scheduler();
    const job = await running(slurm, 'exit 0', { general: { kill_timeout: '10s' } });
    slurm.outage = { delayMs: 200 };
    job.call.stop();
    const { outcome, stdout } = await job.call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE);
    assert.match(stdout, /not confirmed/);
    slurm.outage = undefined;
    assert.equal((await job.job.cleanup()).outcome.kind, 'success');
    assert.equal(job.fake.end, 'cancelled');
  });
});

describe('while a job waits', { concurrency: 6 }, () => {
  it('each reason is told once, with the words of the scheduler in plain ones', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Priority', ms: FOREVER }] });
    const job = await waiting(slurm);
    for (const [told, next] of [
      [/higher priority/, () => (job.fake.reason = 'Resources')],
      [/is free/, () => slurm.engine.start(job.fake)],
    ] as const) {
      await eventually(`the job log tells ${told}`, () => told.test(job.call.output()), LIMIT_MS);
      await asked(slurm, 'squeue', 2);
      next();
    }
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(stdout.match(/higher priority/g)?.length, 1, stdout);
    assert.equal(stdout.match(/is free/g)?.length, 1, stdout);
    assert.ok(stdout.indexOf('higher priority') < stdout.indexOf('is free'));
  });

  it('a reason that excludes a start ends it early', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'PartitionConfig', ms: FOREVER }] });
    const job = await waiting(slurm);
    assert.equal((await job.call.ended).outcome.kind, 'build-failure');
    assert.equal(job.fake.end, 'cancelled');
    assert.equal(await runsOf(job), 0);
  });

  it('such a reason that goes away again ends nothing', async () => {
    const slurm = await scheduler({
      waits: [
        { reason: 'PartitionConfig', ms: 2_500 },
        { reason: 'Resources', ms: 1_000 },
      ],
    });
    const job = await waiting(slurm);
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(await runsOf(job), 1);
  });

  for (const reason of ['JobHeldAdmin', 'JobHeldUser', 'PartitionDown', 'ReqNodeNotAvail', 'SomethingNew']) {
    it(`${reason} ends nothing, for somebody may change it`, async () => {
      const slurm = await scheduler({ waits: [{ reason, ms: FOREVER }] });
      const job = await waiting(slurm);
      await asked(slurm, 'squeue', 4);
      assert.equal(job.fake.phase, 'pending');
      slurm.engine.start(job.fake);
      assert.equal((await job.call.ended).outcome.kind, 'success');
    });
  }

  it('until its CI job is about to time out, it is cancelled in order', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const job = await waiting(slurm, { timeoutSeconds: 10 });
    assert.equal((await job.call.ended).outcome.kind, 'build-failure');
    assert.equal(job.fake.end, 'cancelled');
  });

  it('the death of both programs leaves it to cleanup to cancel it', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const first = await waiting(slurm);
    await killBoth(first.call);
    await first.call.ended;
    assert.equal((await first.job.cleanup()).outcome.kind, 'success');
    assert.equal(first.fake.end, 'cancelled');
  });

  it('the death of the runner and both programs leaves it to the next job of the account to cancel it', async () => {
    const slurm = await scheduler({ waits: [{ reason: 'Resources', ms: FOREVER }] });
    const { stages } = await world.settings(await site.wishes({ batch: { scheduler_bin: slurm.commands.bin } }));
    const { executable = '', args = [] } = stages.run ?? {};
    // A shell stands where the runner would be: it starts the driver in a process group of its own.
    const run = { executable: '/bin/sh', args: ['-c', 'setsid "$0" "$@"; exit $?', executable, ...args] };
    const first = await waiting(slurm, { settings: { stages: { ...stages, run } } });
    const [runner, auth, jacamar] = await treeOf(await first.call.pid());
    signal(jacamar?.pid, 'SIGSTOP');
    for (const each of [runner, auth, jacamar]) signal(each?.pid, 'SIGKILL');
    await first.call.ended;
    slurm.engine.plan = {};
    const next = await jobOn(slurm, { account: first.account });
    assert.equal((await next.job.run('true')).outcome.kind, 'success');
    await eventually('it is cancelled', () => first.fake.end === 'cancelled');
  });

  it('32 of one account cause about as many questions as one', async () => {
    const plan = { waits: [{ reason: 'Resources', ms: FOREVER }] };
    const [alone, crowded] = [await scheduler(plan), await scheduler(plan)];
    const account = await site.addAccount();
    const one = await waiting(alone);
    const jobs = await Promise.all(Array.from({ length: 32 }, () => jobOn(crowded, { account })));
    const calls = jobs.map(({ job }) => job.start('true'));
    await eventually('all are submitted', () => crowded.engine.jobs.size === 32, 120_000);
    const queries = (slurm: FakeSlurm) => slurm.commands.calls.filter(({ program }) => program !== 'sbatch').length;
    const before = { alone: queries(alone), crowded: queries(crowded) };
    await asked(alone, 'squeue', 6);
    const [ofOne, ofMany] = [queries(alone) - before.alone, queries(crowded) - before.crowded];
    for (const call of [one.call, ...calls]) call.stop();
    await Promise.all([one.call.ended, ...calls.map(({ ended }) => ended)]);
    // One alone asks at its next look only, of many somebody always looks when a question is due.
    assert.ok(ofMany <= ofOne * 2 + 2, `${ofMany} questions of 32 jobs, ${ofOne} of one`);
    assert.ok([...crowded.engine.jobs.values()].every(({ end }) => end === 'cancelled'));
  });
});

function beAway(slurm: FakeSlurm): void {
  slurm.outage = { delayMs: 300 };
}

function talkNonsense(slurm: FakeSlurm, reply: { stdout?: string; exitCode?: number }): void {
  for (const program of ['squeue', 'sacct']) slurm.commands.disturb(program, instead(reply));
}

function replaceState(slurm: FakeSlurm, from: string, to: string): void {
  slurm.commands.disturb('squeue', async (answer) => {
    const reply = await answer();
    return { ...reply, stdout: (reply.stdout ?? '').replaceAll(from, to) };
  });
}

async function processesGone({ account, call }: Running): Promise<void> {
  const own = async () => new Set((await treeOf(await call.pid())).map(({ pid }) => pid));
  await eventually('the processes of the job are gone', async () => {
    const ours = await own();
    return (await processesOf(account.uid)).every((pid) => ours.has(pid));
  });
}
