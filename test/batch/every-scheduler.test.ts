// What must hold with every scheduler, through the installed programs and its own commands: a real Slurm, and
// imitations of the others. `script/test --scheduler flux` (or pbs) puts the commands that are on the path in their
// place, and nothing else. How a scheduler misbehaves is put around the commands, so that real ones can do it, too.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { processesOf } from '../support/accounts.ts';
import { type BatchJob, BatchSite, type BatchWishes, killBoth } from '../support/batch-site.ts';
import { eventually } from '../support/eventually.ts';
import { type Call, type Disturbance, instead, lost } from '../support/fake-scheduler/commands.ts';
import {
  IMITATIONS,
  isLiving,
  realScheduler,
  realSlurm,
  type Source,
  type Subject,
  say,
} from '../support/schedulers.ts';
import { SlurmLab } from '../support/slurm/lab.ts';
import type { LiveCall } from '../support/staged-job.ts';

const wanted = process.env['JACAMAR_TEST_SCHEDULER'];
const site = await BatchSite.open({});
const { world } = site;

const SYSTEM_FAILURE = { kind: 'system-failure', text: 'exit status 2' };
const LIMIT_MS = 180_000;

async function sources(): Promise<readonly Source[]> {
  if (wanted !== undefined) return [await realScheduler(wanted)];
  const lab = await SlurmLab.open({ accounting: true });
  after(() => lab.close());
  return [realSlurm(lab), ...IMITATIONS];
}

interface OnSubject extends BatchJob {
  readonly subject: Subject;
}

interface Begun extends OnSubject {
  readonly call: LiveCall;
  readonly id: string;
}

async function jobOn(subject: Subject, wishes: BatchWishes = {}): Promise<OnSubject> {
  const { executor, variables } = subject.dialect;
  const batch = await site.job({
    ...wishes,
    general: { executor, ...wishes.general },
    batch: { ...subject.batch, ...wishes.batch },
    variables: { ...variables, ...wishes.variables },
  });
  return { ...batch, subject };
}

/** A job whose number the job log has told. */
async function begun(on: OnSubject, commands: string): Promise<Begun> {
  const call = on.job.start(commands);
  const pattern = new RegExp(`^${on.subject.dialect.title} job (\\S+) is submitted`, 'm');
  const id = await eventually('the job log names the job', () => pattern.exec(call.output())?.[1], LIMIT_MS);
  return { ...on, call, id };
}

/** A job that says `ready` and goes on until the file `go` is in its home. */
async function running(subject: Subject, last = 'exit 6', wishes: BatchWishes = {}): Promise<Begun> {
  const on = await jobOn(subject, wishes);
  const job = await begun(on, `echo ready; until [ -e ~/go ]; do sleep 0.1; done; ${last}`);
  await eventually('the job is ready', () => /^ready$/m.test(job.call.output()), LIMIT_MS);
  return job;
}

async function letGo({ account }: BatchJob): Promise<void> {
  await world.writeHome('go', '', account);
}

/** A job that is held in the queue. */
async function waiting(subject: Subject, wishes: BatchWishes = {}): Promise<Begun> {
  const variables = { SCHEDULER_PARAMETERS: subject.dialect.held, ...wishes.variables };
  return begun(await jobOn(subject, { ...wishes, variables }), 'echo ran >> ~/ran; echo ran');
}

async function release({ subject, account, id }: Begun): Promise<void> {
  await say(subject, account, subject.dialect.release(id));
}

async function runsOf({ account }: BatchJob): Promise<number> {
  const text = await readFile(join(account.home, 'ran'), 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

/** Neither in the queue, nor as a process. */
async function assertNothingIsLeft({ subject, account, id }: Begun): Promise<void> {
  await eventually('the job has left the queue', async () => !(await isLiving(subject, account, id)), LIMIT_MS);
  await eventually('no process of the job lives', async () => (await processesOf(account.uid)).length === 0, LIMIT_MS);
}

/** Changes the next answers of those calls that match; the result takes that back. */
function disturb({ dialect, commands }: Subject, matches: (call: Call) => boolean, by: Disturbance, times = Infinity) {
  let left = times;
  for (const program of dialect.programs) {
    commands.disturb(program, (answer, call) => {
      if (!matches(call) || left <= 0) return answer();
      left -= 1;
      return by(answer, call);
    });
  }
  return () => {
    left = 0;
  };
}

const submissionsOf = ({ dialect, commands }: Subject) => commands.calls.filter(dialect.isSubmission).length;

function behaviourOf({ dialect, forgets = false, open }: Source): void {
  async function subjectOf(): Promise<Subject> {
    const subject = await open();
    world.onClose(() => subject.close());
    return subject;
  }

  it('runs the script once, as the account, and tells both streams in their order', async () => {
    const on = await jobOn(await subjectOf());
    const commands = 'echo ran >> ~/ran; for n in 1 2 3; do echo "out $n"; echo "err $n" >&2; done; id -un';
    const { outcome, stdout } = await on.job.run(commands);
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3$/m);
    assert.match(stdout, new RegExp(`^${on.account.name}$`, 'm'));
    assert.equal(await runsOf(on), 1);
    assert.equal(submissionsOf(on.subject), 1);
  });

  it('passes on every exit code as it is', async () => {
    const subject = await subjectOf();
    const codes = [1, 7, 137, 255];
    const account = await site.addAccount();
    const records = await Promise.all(
      codes.map(async (code) => (await jobOn(subject, { account })).job.run(`exit ${code}`)),
    );
    const seen = records.map(({ outcome }) => [outcome.kind, 'exitCode' in outcome ? outcome.exitCode : 0]);
    assert.deepEqual(
      seen,
      codes.map((code) => ['build-failure', code]),
    );
  });

  it('tells a signal that ended the script as 128 and its number', async () => {
    const on = await jobOn(await subjectOf());
    const { outcome, stdout } = await on.job.run('kill -KILL $PPID; kill -KILL $$');
    // Its wrapper was killed, too: whoever forgets such a job has lost it.
    if (forgets) return assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.equal('exitCode' in outcome && outcome.exitCode, 137);
  });

  it('shows what the script writes while it runs', async () => {
    const job = await running(await subjectOf(), 'echo end; exit 0');
    await letGo(job);
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^ready\nend$/m);
    await assertNothingIsLeft(job);
  });

  it('says why a job waits, and runs it when it is released', async () => {
    const job = await waiting(await subjectOf());
    await eventually(
      'the job log says why it waits',
      () => /^Waiting: .*hold|held/im.test(job.call.output()),
      LIMIT_MS,
    );
    await release(job);
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(await runsOf(job), 1);
  });

  it('finds a job whose submission was not answered, and makes no second one', async () => {
    const subject = await subjectOf();
    disturb(subject, dialect.isSubmission, lost(dialect.unanswered ?? dialect.isAway), 1);
    const job = await waiting(subject);
    await release(job);
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(submissionsOf(subject), 1);
    assert.equal(await runsOf(job), 1);
  });

  it('tells what the scheduler says of a job that it takes', async () => {
    const subject = await subjectOf();
    const stderr = 'warning: this account \u001b[31mends\u001b[0m soon\n';
    disturb(subject, dialect.isSubmission, async (answer) => ({ ...(await answer()), stderr }));
    const { job } = await jobOn(subject);
    const { outcome, stdout } = await job.run('true');
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^ +warning: this account \\u001b\[31mends/m);
  });

  for (const [how, end] of [
    ['whose stage is killed', killBoth],
    ['that is cancelled', (call: LiveCall) => call.stop()],
  ] as const) {
    it(`ends a job ${how} before its number is known, at cleanup at the latest`, async () => {
      const subject = await subjectOf();
      const taken = Promise.withResolvers<string>();
      disturb(subject, dialect.isSubmission, async (answer) => {
        const { stdout = '' } = await answer();
        taken.resolve(stdout);
        return new Promise(() => {});
      });
      const variables = { SCHEDULER_PARAMETERS: dialect.held };
      const { account, job } = await jobOn(subject, { variables, general: { kill_timeout: '5s' } });
      const call = job.start('true');
      const said = await taken.promise;
      const [, id = ''] = /<(\d+)>/.exec(said) ?? /^(\S+)/.exec(said) ?? [];
      assert.ok(await isLiving(subject, account, id), id);
      await end(call);
      assert.equal((await call.ended).outcome.kind, 'system-failure');
      assert.equal((await job.cleanup()).outcome.kind, 'success');
      assert.ok(!(await isLiving(subject, account, id)));
    });
  }

  it('makes a submission again that did not arrive', async () => {
    const subject = await subjectOf();
    disturb(subject, dialect.isSubmission, instead(dialect.isAway), 1);
    const on = await jobOn(subject);
    const { outcome, stdout } = await on.job.run('echo ran >> ~/ran');
    assert.equal(outcome.kind, 'success', stdout);
    assert.equal(submissionsOf(subject), 2);
    assert.equal(await runsOf(on), 1);
  });

  it('fails a job that is refused, with the words of the scheduler', async () => {
    const { parameters, reply, says } = dialect.refused;
    const subject = await subjectOf();
    disturb(subject, dialect.isSubmission, instead(reply));
    const { job } = await jobOn(subject, { variables: { SCHEDULER_PARAMETERS: parameters } });
    const { outcome, stdout, stderr } = await job.run('true');
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.match(stdout + stderr, says);
    assert.equal(submissionsOf(subject), 1);
  });

  for (const [what, begin] of [['runs', running] as const, ['waits', waiting] as const]) {
    it(`ends a job that ${what} when the CI job is cancelled`, async () => {
      const job = await begin(await subjectOf());
      job.call.stop();
      const { outcome, stdout } = await job.call.ended;
      assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
      await assertNothingIsLeft(job);
      assert.equal(await runsOf(job), 0);
    });

    it(`fails a job that somebody cancels while it ${what}`, async () => {
      const job = await begin(await subjectOf());
      await say(job.subject, job.account, dialect.cancel(job.id));
      const { outcome, stdout } = await job.call.ended;
      assert.notEqual(outcome.kind, 'success', stdout);
      assert.match(stdout, forgets ? /exit code [0-9]+|knows nothing of it/ : /It was cancelled/);
      await assertNothingIsLeft(job);
    });
  }

  it('fails a job that reaches its time limit, and says so', async () => {
    const subject = await subjectOf();
    const job = await running(subject, 'exit 0', { variables: subject.limited });
    await subject.reachLimit(job.id);
    const { outcome, stdout } = await job.call.ended;
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.match(stdout, /time limit was reached/i);
    await assertNothingIsLeft(job);
  });

  it('goes on while the scheduler is away, and says so', async () => {
    const job = await running(await subjectOf(), 'exit 0');
    const undo = disturb(job.subject, dialect.isQuestion, instead(dialect.isAway));
    await eventually('the job log tells the outage', () => /does not answer/.test(job.call.output()), LIMIT_MS);
    undo();
    await eventually('the job log tells its end', () => /answers again/.test(job.call.output()), LIMIT_MS);
    await letGo(job);
    assert.equal((await job.call.ended).outcome.kind, 'success');
  });

  it('is a system failure when nobody knows the job any more', async () => {
    const job = await waiting(await subjectOf());
    disturb(job.subject, dialect.isQuestion, instead(dialect.knowsNone));
    const { outcome, stdout } = await job.call.ended;
    await say(job.subject, job.account, dialect.cancel(job.id));
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout, /knows nothing of it any more/);
  });

  it('keeps two users apart', async () => {
    const subject = await subjectOf();
    const [one, other] = await Promise.all([running(subject, 'exit 0'), running(subject, 'id -un; exit 0')]);
    await say(subject, other.account, dialect.cancel(one.id));
    one.call.stop();
    assert.deepEqual((await one.call.ended).outcome, SYSTEM_FAILURE);
    await letGo(other);
    const { outcome, stdout } = await other.call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, new RegExp(`^${other.account.name}$`, 'm'));
  });
}

const all = await sources();
describe('every scheduler', { concurrency: 2 }, () => {
  for (const source of all) describe(source.name, { concurrency: 6 }, () => behaviourOf(source));
});
