// Jobs through a real Slurm with accounting. Everything here runs beside each other, each test with an account of its
// own; what disturbs the whole cluster has files of its own (slurm-outage, slurm-plain).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chown, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { processesOf, type TestAccount } from '../support/accounts.ts';
import { type BatchJob, BatchSite, type BatchWishes, killBoth } from '../support/batch-site.ts';
import { eventually } from '../support/eventually.ts';
import { filesBelow } from '../support/files.ts';
import { signal, treeOf } from '../support/processes.ts';
import { HOST, KILL_WAIT, SPARE_NODE } from '../support/slurm/configuration.ts';
import { SlurmLab } from '../support/slurm/lab.ts';
import type { LiveCall } from '../support/staged-job.ts';

const lab = await SlurmLab.open({ accounting: true });
const site = await BatchSite.open({ env_vars: [`SLURM_CONF=${lab.configuration}`] });
const { world } = site;
after(() => lab.close());

const SYSTEM_FAILURE = { kind: 'system-failure', text: 'exit status 2' };
const STARTUP_MS = 180_000;

/** Runs commands as the job's script and returns what came of it. */
async function played(commands: string, wishes: BatchWishes = {}) {
  const batch = await site.job(wishes);
  const record = await batch.job.run(commands);
  return { ...batch, ...record };
}

/** The batch job of an account that has one. */
async function jobOf(account: TestAccount): Promise<string> {
  return eventually('a job is submitted', async () => (await lab.living(account.name))[0], STARTUP_MS);
}

interface Running extends BatchJob {
  readonly call: LiveCall;
  readonly id: string;
}

/** A job that has said `ready` and sleeps. */
async function running(commands = '', wishes: BatchWishes = {}): Promise<Running> {
  const batch = await site.job(wishes);
  const call = batch.job.start(`${commands}\necho ready\nsleep 300`);
  const id = await jobOf(batch.account);
  await eventually('the job says that it is ready', () => /^ready$/m.test(call.output()), STARTUP_MS);
  return { ...batch, call, id };
}

/** A job that its own arguments keep in the queue. */
async function waiting(args = '--hold', wishes: BatchWishes = {}): Promise<Running> {
  const batch = await site.job({ ...wishes, variables: { SCHEDULER_PARAMETERS: args, ...wishes.variables } });
  const call = batch.job.start('echo ran');
  const id = await jobOf(batch.account);
  await eventually('the job log names the job', () => call.output().includes(id), STARTUP_MS);
  return { ...batch, call, id };
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await lab.job(id)).get('JobState');
}

/** Neither in the queue, nor as a process. */
async function assertNothingIsLeft({ account }: BatchJob): Promise<void> {
  assert.deepEqual(await lab.living(account.name), []);
  await eventually('no process of the job lives', async () => (await processesOf(account.uid)).length === 0);
}

describe('a job of a real Slurm', { concurrency: 8 }, () => {
  it('runs its script on the compute node and every other stage on this host', async () => {
    const wishes = await site.wishes();
    const script = ['echo "script on $(hostname)"', 'echo "in job $SLURM_JOB_ID"'];
    const { verdict, jobLog } = await world.play({
      ...wishes,
      script,
      afterScript: ['echo "after on $(hostname), in job <$SLURM_JOB_ID>"'],
    });
    assert.equal(verdict, 'success', jobLog);
    assert.match(jobLog, new RegExp(`^script on ${HOST}$`, 'm'));
    assert.match(jobLog, /^in job \d+$/m);
    assert.match(jobLog, /^after on (?!lab1).*, in job <>$/m);
    assert.doesNotMatch(jobLog, new RegExp(`^after on ${HOST}`, 'm'));
  });

  for (const code of [0, 1, 7, 137, 255]) {
    it(`ends with ${code} when its script does`, async () => {
      const { outcome, stdout } = await played(`(exit ${code})`);
      if (code === 0) assert.equal(outcome.kind, 'success', stdout);
      else assert.deepEqual({ ...outcome, text: '' }, { kind: 'build-failure', exitCode: code, text: '' }, stdout);
    });
  }

  it('ends with 128 and the number of the signal that ended a child of the script', async () => {
    const { outcome } = await played("bash -c 'kill -USR2 $$'");
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 140, text: 'exit status 140' });
  });

  it('ends with 128 and the number of the signal that ended the script', async () => {
    const { outcome } = await played('kill -KILL $PPID; kill -KILL $$');
    assert.equal(outcome.kind, 'build-failure');
    assert.equal('exitCode' in outcome && outcome.exitCode, 137);
  });

  // What it leaves behind is Slurm's to end, which needs control groups for that; the lab has none.
  it('is no success when the batch script alone is killed', async () => {
    const { id, call } = await running();
    await lab.command('scancel', '--signal=KILL', '--batch', id);
    const { outcome, stdout } = await call.ended;
    assert.notEqual(outcome.kind, 'success', stdout);
  });

  it('keeps the names that a script has for itself, and has the directory and the mask of a login', async () => {
    const commands = 'echo "0=$0 mask=$(umask)"; echo "source=${BASH_SOURCE[-1]}"; pwd';
    const { stdout, account, job } = await played(commands);
    const path = `${account.home}/.jacamar-ci/scripts/[^\\s]*/${job.facts.id}/build_script.bash`;
    assert.match(stdout, new RegExp(`^0=${path} mask=0022$`, 'm'));
    assert.match(stdout, new RegExp(`^source=${path}$`, 'm'));
  });

  it('can start steps with srun', async () => {
    const { outcome, stdout } = await played('export FROM_JOB=passed\nsrun bash -c \'echo "step: $FROM_JOB"\'');
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^step: passed$/m);
  });

  it('shows what it writes while it runs', async () => {
    const batch = await site.job();
    const call = batch.job.start('echo first; printf "no end of line"; sleep 300');
    await eventually('all is shown', () => /^first\nno end of line/m.test(call.output()), STARTUP_MS);
    call.stop();
    await call.ended;
    await assertNothingIsLeft(batch);
  });

  it('passes on every byte as it is, both streams in their order', async () => {
    const { account, job } = await site.job();
    const bytes = randomBytes(300_000);
    const path = join(account.home, 'bytes');
    await writeFile(path, bytes);
    await chown(path, account.uid, account.gid);
    const { outcome, stdout } = await job.run(
      `printf '<<<'; head -c 100000 ${path}; tail -c +100001 ${path} >&2; printf '>>>'`,
    );
    assert.equal(outcome.kind, 'success');
    const passed = Buffer.from(stdout, 'utf8');
    const expected = Buffer.from(`<<<${bytes.toString('utf8')}>>>`, 'utf8');
    const digest = (text: Buffer) => createHash('sha256').update(text).digest('hex');
    const at = passed.indexOf('<<<');
    assert.equal(digest(passed.subarray(at, at + expected.length)), digest(expected));
  });

  it('with 100 MB of output delivers beginning and end, and keeps the whole', async () => {
    const line = 'x'.repeat(99);
    const commands = `echo begins; { yes ${line} || true; } | head -c 100000000; echo; echo ends`;
    const { outcome, stdout, account } = await played(commands);
    assert.equal(outcome.kind, 'success', stdout.slice(-2_000));
    assert.match(stdout, /^begins$/m);
    assert.match(stdout, /^ends$/m);
    assert.ok(stdout.length < 4_200_000, `${stdout.length} characters for a log of 4 MiB`);
    const whole = (await filesBelow(account.home)).filter(
      ({ stats }) => stats.size === 100_000_000 + 'begins\n\nends\n'.length,
    );
    assert.equal(whole.length, 1);
    assert.ok(stdout.includes(whole[0]?.path ?? ''), 'the job log says where');
  });

  it('that is stopped while it runs is gone from Slurm when the stage ends', async () => {
    const { id, call, ...batch } = await running();
    call.stop();
    const { outcome, stderr } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stderr);
    assert.equal(await stateOf(id), 'CANCELLED');
    await assertNothingIsLeft(batch);
  });

  it('that is stopped while it waits is gone from Slurm when the stage ends', async () => {
    const { id, call, ...batch } = await waiting();
    call.stop();
    assert.deepEqual((await call.ended).outcome, SYSTEM_FAILURE);
    assert.equal(await stateOf(id), 'CANCELLED');
    assert.doesNotMatch(call.output(), /^ran$/m);
    await assertNothingIsLeft(batch);
  });

  it('that ignores the end is killed by Slurm, and the stage waits for that', async () => {
    const { id, call, ...batch } = await running("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) &", {
      general: { kill_timeout: '30s' },
    });
    call.stop();
    const { outcome, durationMs } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE);
    assert.ok(durationMs > KILL_WAIT * 1000);
    assert.equal(await stateOf(id), 'CANCELLED');
    await assertNothingIsLeft(batch);
  });

  it('may use the time that Slurm grants to end well, and is not a success for it', async () => {
    const commands = "trap 'echo saving; sleep 0.5; echo saved; exit 0' TERM; sleep 300 & echo ready; wait";
    const batch = await site.job();
    const call = batch.job.start(commands);
    await eventually('the job is ready', () => /^ready$/m.test(call.output()), STARTUP_MS);
    call.stop();
    const { outcome, stdout } = await call.ended;
    // Slurm's own word on the cancel may stand between.
    assert.match(stdout, /^saving$[\s\S]*^saved$/m);
    assert.deepEqual(outcome, SYSTEM_FAILURE);
    await assertNothingIsLeft(batch);
  });

  for (const [what, begin] of [['runs', () => running()] as const, ['waits', () => waiting()] as const]) {
    it(`that somebody else cancels while it ${what} fails, and says who it was`, async () => {
      const { id, call } = await begin();
      await lab.command('scancel', id);
      const { outcome, stdout } = await call.ended;
      assert.equal(outcome.kind, 'build-failure', stdout);
      assert.match(stdout, /cancelled by .*root/i);
    });
  }

  it('that reaches its time limit fails, and says so', async () => {
    const { id, call, ...batch } = await running();
    await lab.command('scontrol', 'update', `JobId=${id}`, 'EndTime=now+1');
    const { outcome, stdout } = await call.ended;
    assert.equal(outcome.kind, 'build-failure', stdout);
    assert.match(stdout, /time limit/i);
    await assertNothingIsLeft(batch);
  });

  it('whose output cannot be opened is a system failure', async () => {
    const { id, call } = await waiting();
    await rm(dirname((await lab.job(id)).get('StdOut') ?? ''), { recursive: true });
    await lab.command('scontrol', 'release', id);
    const { outcome, stdout, stderr } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout + stderr, /output/i);
  });

  it('whose node fails is a system failure', async () => {
    const { call } = await running('', { variables: { SCHEDULER_PARAMETERS: '--partition=spare' } });
    await lab.command('scontrol', 'update', `NodeName=${SPARE_NODE}`, 'State=DOWN', 'Reason=test');
    const { outcome, stdout } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    assert.match(stdout, /node/i);
  });

  it('that an administrator puts back into the queue is cancelled, and a system failure', async () => {
    const { id, call, ...batch } = await running('echo begun >> begun');
    await lab.command('scontrol', 'update', `JobId=${id}`, 'Requeue=1');
    await lab.command('scontrol', 'requeue', id);
    const { outcome, stdout } = await call.ended;
    assert.deepEqual(outcome, SYSTEM_FAILURE, stdout);
    await assertNothingIsLeft(batch);
  });

  const refused: Readonly<Record<string, string>> = {
    ...{ '--array=0-1': '--array', '--arr=0-1': '--arr', '-a0-1': '-a', '-Ha 0-1': '-a', '-n1 : -n1': ': ' },
    ...{ 'other.sh': 'other.sh', '-- x': '-- ', '--wait': '--wait', '-Q': '-Q', '--wrap=id': '--wrap' },
    ...{ '--test-only': '--test-only', '--comment="a b': 'quote' },
  };
  for (const [args, named] of Object.entries(refused)) {
    it(`is refused with the arguments ${args}, which are named, and nothing is submitted`, async () => {
      const variables = { SCHEDULER_PARAMETERS: args };
      const { outcome, stdout, stderr, account } = await played('echo ran', { variables });
      assert.equal(outcome.kind, 'build-failure', stdout);
      assert.ok(stderr.includes(named), stderr);
      const ever = await lab.command('sacct', '-X', '-n', '-P', '-u', account.name, '-S', 'now-1day');
      assert.equal(ever, '');
    });
  }

  it('keeps what is quoted together in its arguments', async () => {
    const { call, id, ...batch } = await waiting(`--hold --comment="two  words" --mem=200M`);
    const text = await lab.command('squeue', '--noheader', '--jobs', id, '--format=%k|%m');
    assert.equal(text, 'two  words|200M\n');
    call.stop();
    await call.ended;
    await assertNothingIsLeft(batch);
  });

  it('has nothing to do with the job of another account', async () => {
    const [one, other] = await Promise.all([running('echo secret'), running()]);
    const base = join(one.account.home, '.jacamar-ci');
    const open = (await filesBelow(base)).filter(
      ({ path, stats }) => !path.includes('/builds/') && !stats.isSymbolicLink() && (stats.mode & 0o077) !== 0,
    );
    assert.deepEqual(
      open.map(({ path }) => path),
      [],
    );
    one.call.stop();
    await one.call.ended;
    assert.equal(await stateOf(other.id), 'RUNNING');
    other.call.stop();
    await other.call.ended;
    await Promise.all([assertNothingIsLeft(one), assertNothingIsLeft(other)]);
  });

  it('is not changed by options that a profile puts into the environment', async () => {
    const account = await site.addAccount();
    const stray = ['SBATCH_OUTPUT=/tmp/stray', 'SBATCH_ARRAY_INX=0-1', 'SBATCH_WAIT=1', 'SBATCH_EXPORT=NONE'];
    const queries = ['SQUEUE_FORMAT=%i', 'SLURM_CLUSTERS=nowhere', 'SLURM_TIME_FORMAT=%s', 'SACCT_FORMAT=user'];
    const stale = ['SLURM_NTASKS=64', 'SLURM_EXPORT_ENV=NONE', 'SBATCH_JOB_NAME=stray'];
    for (const name of ['.profile', '.bash_profile']) {
      const lines = [...stray, ...queries, ...stale].map((entry) => `export ${entry}\n`);
      await world.writeHome(name, lines.join(''), account);
    }
    const { outcome, stdout } = await played('(exit 9)', {
      account,
      batch: { env_vars: [`SLURM_CONF=${lab.configuration}`] },
    });
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 9, text: 'exit status 9' }, stdout);
  });

  it('is not changed by options among the CI variables or in user_bash_env', async () => {
    const variables = {
      SBATCH_OUTPUT: '/tmp/stray',
      SBATCH_ARRAY_INX: '0-1',
      SQUEUE_FORMAT: '%i',
      SLURM_CLUSTERS: 'nowhere',
    };
    const user_bash_env = ['SBATCH_ARRAY_INX=0-1', 'SLURM_NTASKS=64', 'SQUEUE_STATES=PD', 'SLURM_EXPORT_ENV=NONE'];
    const commands = 'env | grep -E "^(SLURM_EXPORT_ENV|SLURM_NTASKS|SBATCH_)" || echo clean';
    const { outcome, stdout } = await played(commands, { variables, general: { user_bash_env } });
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^clean$/m);
  });

  for (const [why, args] of [
    ['a dependency that can never come true', '--dependency=afterok:1'],
    ['more time than the partition ever grants', '--time=30-0'],
    ['more nodes than there are', '--nodes=5'],
  ] as const) {
    it(`that can never start ends early: ${why}`, async () => {
      const first = await lab.command('sbatch', '--parsable', '--output=/dev/null', '--wrap=exit 1');
      await eventually('the other job has failed', async () => (await stateOf(first.trim())) === 'FAILED');
      const { outcome, stdout, ...batch } = await played('echo ran', {
        variables: { SCHEDULER_PARAMETERS: args.replace(':1', `:${first.trim()}`) },
      });
      assert.equal(outcome.kind, 'build-failure', stdout);
      assert.doesNotMatch(stdout, /^ran$/m);
      await assertNothingIsLeft(batch);
    });
  }

  it('that is held waits, says so, and runs when it is released', async () => {
    const { id, call, ...batch } = await waiting();
    await eventually('the job log says why it waits', () => /held/i.test(call.output()), STARTUP_MS);
    await lab.command('scontrol', 'release', id);
    const { outcome, stdout } = await call.ended;
    assert.equal(outcome.kind, 'success', stdout);
    assert.match(stdout, /^ran$/m);
    await assertNothingIsLeft(batch);
  });

  it('that waits for longer than max_pending is cancelled', async () => {
    const { call, ...batch } = await waiting('--hold', { batch: { max_pending: '3s' } });
    const { outcome, stdout } = await call.ended;
    assert.notEqual(outcome.kind, 'success', stdout);
    await assertNothingIsLeft(batch);
  });

  it('is cancelled when jacamar-auth is killed', async () => {
    const { call, job, ...batch } = await running();
    signal(await call.pid(), 'SIGKILL');
    await call.ended;
    await eventually('the job is gone', async () => (await lab.living(batch.account.name)).length === 0, STARTUP_MS);
    assert.equal((await job.cleanup()).outcome.kind, 'success');
    await assertNothingIsLeft({ job, ...batch });
  });

  it('is cancelled at cleanup when jacamar is killed', async () => {
    const { call, job, ...batch } = await running();
    const [, jacamar] = await treeOf(await call.pid());
    signal(jacamar?.pid, 'SIGKILL');
    assert.deepEqual((await call.ended).outcome, SYSTEM_FAILURE);
    assert.equal((await job.cleanup()).outcome.kind, 'success');
    await assertNothingIsLeft({ job, ...batch });
  });

  for (const [state, begin] of [['runs', () => running()] as const, ['waits', () => waiting()] as const]) {
    it(`is cancelled at cleanup when both are killed while it ${state}`, async () => {
      const { call, job, ...batch } = await begin();
      await killBoth(call);
      await call.ended;
      assert.equal((await job.cleanup()).outcome.kind, 'success');
      await assertNothingIsLeft({ job, ...batch });
    });
  }

  it('leaves nothing of the scheduler in the account, apart from a log that is kept', async () => {
    const wishes = await site.wishes();
    const { verdict, jobLog } = await world.play({ ...wishes, script: 'echo done' });
    assert.equal(verdict, 'success', jobLog);
    const left = (await filesBelow(join(wishes.account.home, '.jacamar-ci'))).filter(
      ({ path, stats }) => stats.isFile() && /\/(scripts|batch)\//.test(path) && !/\/(lock|answer)$/.test(path),
    );
    assert.deepEqual(
      left.map(({ path }) => path),
      [],
    );
  });

  it('gets the resources that typed variables ask for', async () => {
    const variables = {
      SCHEDULER_TIME: '7m',
      SCHEDULER_CPUS_PER_TASK: '2',
      SCHEDULER_MEMORY: '300M',
      SCHEDULER_PARTITION: 'spare',
    };
    const { call, id, ...batch } = await waiting('--hold', { variables });
    const job = await lab.job(id);
    assert.equal(job.get('TimeLimit'), '00:07:00');
    assert.equal(job.get('NumCPUs'), '2');
    assert.equal(job.get('Partition'), 'spare');
    assert.equal(job.get('MinMemoryNode'), '300M');
    call.stop();
    await call.ended;
    await assertNothingIsLeft(batch);
  });

  it('bears a name that begins with the prefix its author wants', async () => {
    const { call, id, ...batch } = await waiting('--hold', { variables: { SCHEDULER_JOB_PREFIX: 'mine' } });
    assert.match((await lab.job(id)).get('JobName') ?? '', new RegExp(`^mine.*${batch.job.facts.id}`));
    call.stop();
    await call.ended;
    await assertNothingIsLeft(batch);
  });

  it('asks for what the site sets for all jobs, and more itself', async () => {
    const { call, id, ...batch } = await waiting('--hold --time=4', {
      batch: { default_args: ['--time=9', '--mem=150M'] },
    });
    const job = await lab.job(id);
    assert.equal(job.get('TimeLimit'), '00:04:00');
    assert.equal(job.get('MinMemoryNode'), '150M');
    call.stop();
    await call.ended;
    await assertNothingIsLeft(batch);
  });

  it('can be tried by an administrator before the executor is in the configuration', async () => {
    const account = await site.addAccount();
    const configuration = await world.configure({ batch: { env_vars: [`SLURM_CONF=${lab.configuration}`] } });
    const program = world.installation.program('jacamar-admin');
    const args = ['trial', '--configuration', configuration, '--user', account.name, '--executor', 'slurm'];
    const { stdout } = await promisify(execFile)(program, args);
    assert.match(stdout, new RegExp(`^ {2}\\| ${HOST}$`, 'm'));
    assert.match(stdout, /succeeded/);
  });

  it('says at its end what it used of what it asked for', async () => {
    const { stdout } = await played('head -c 80000000 /dev/zero | tail > /dev/null; sleep 3');
    assert.match(stdout, /^Used: .*wall time.* of 100 MiB memory/m);
  });

  it('hides the details of its submission in a section that can be opened', async () => {
    const { stdout } = await played('true');
    assert.match(stdout, /section_start:\d+:\w+\[collapsed=true\]\r/);
    assert.match(stdout, /section_end:\d+:\w+\r/);
  });

  it('is refused in a partition that the site does not allow', async () => {
    const allow = { partition: ['ci'] };
    for (const variables of [{ SCHEDULER_PARTITION: 'spare' }, { SCHEDULER_PARAMETERS: '-p spare' }]) {
      const { outcome, stdout } = await played('true', { variables, batch: { allow } });
      assert.equal(outcome.kind, 'build-failure', stdout);
    }
  });

  it('that needs more time than its CI job has left is refused where the site wants that', async () => {
    const wishes = {
      batch: { budget: 'refuse' },
      timeoutSeconds: 600,
      variables: { SCHEDULER_PARAMETERS: '--time=30' },
    };
    const { outcome, stdout, ...batch } = await played('echo ran', wishes);
    assert.equal(outcome.kind, 'build-failure', stdout);
    await assertNothingIsLeft(batch);
  });
});

describe('32 waiting jobs of one account', () => {
  it('make Slurm answer no more questions than one', async () => {
    const one = await waiting();
    const many = await site.addAccount();
    const jobs = await Promise.all(
      Array.from({ length: 32 }, () => site.job({ account: many, variables: { SCHEDULER_PARAMETERS: '--hold' } })),
    );
    const calls = jobs.map(({ job }) => job.start('true'));
    await eventually('all are submitted', async () => (await lab.living(many.name)).length === 32, 120_000);
    const questions = async (uid: number) =>
      [...(await lab.requests(uid)).values()].reduce((sum, count) => sum + count, 0);
    const before = { one: await questions(one.account.uid), many: await questions(many.uid) };
    await eventually(
      'the one has asked ten times',
      async () => (await questions(one.account.uid)) >= before.one + 10,
      STARTUP_MS,
    );
    const asked = (await questions(many.uid)) - before.many;
    assert.ok(asked <= 20, `${asked} questions of 32 jobs`);
    for (const call of [one.call, ...calls]) call.stop();
    await Promise.all(calls.map(({ ended }) => ended));
    await one.call.ended;
    for (const account of [one.account, many]) assert.deepEqual(await lab.living(account.name), []);
  });
});
