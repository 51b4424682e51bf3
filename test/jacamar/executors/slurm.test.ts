// What is said to Slurm's commands, and what is made of their answers. Answers are those of a real Slurm 22.05 unless
// a test says otherwise; SEPARATOR stands between the fields that we ask for.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Answer, Inquired, JobStatus } from '../../../src/jacamar/executors/batch/scheduler.ts';
import { slurm } from '../../../src/jacamar/executors/slurm.ts';

const said = (stdout: string): Answer => ({ stdout, stderr: '', exitCode: 0 });
const failed = (stderr: string, exitCode = 1): Answer => ({ stdout: '', stderr, exitCode });
const UNKNOWN = failed('slurm_load_jobs error: Invalid job id specified\n');
const DOWN = failed('slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n');
const TIMED_OUT: Answer = { stdout: '', stderr: '', exitCode: undefined };
const NO_ACCOUNTING = failed('Slurm accounting storage is disabled\n');

const row = (text: string) => text.replaceAll('|', '\u001f');

function job(inquired: Inquired, id: string): JobStatus {
  assert.equal(inquired.kind, 'known');
  return (inquired.kind === 'known' ? inquired.jobs.get(id) : undefined) ?? assert.fail(`nothing about ${id}`);
}

describe('a submission', () => {
  const submission = {
    name: 'ci-302_ab',
    arguments: ['--nodes=2', '--output=elsewhere'],
    wrapper: '/home/a/run.bash',
    output: '/home/a/50% done/out',
    spool: '/home/alice/spool',
    directory: '/home/a/builds',
    callsScheduler: false,
    environment: {},
  };

  it('has the arguments of the user first and ours last, in front of the wrapper', () => {
    assert.deepEqual(slurm.submit(submission), {
      program: 'sbatch',
      argv: [
        '--nodes=2',
        '--output=elsewhere',
        '--parsable',
        '--no-requeue',
        '--kill-on-invalid-dep=yes',
        '--job-name=ci-302_ab',
        '--output=/home/a/50%% done/out',
        '--open-mode=append',
        '--chdir=/home/a/builds',
        '--export=ALL',
        '/home/a/run.bash',
      ],
    });
  });

  it('is one when sbatch answers with a number and nothing else', () => {
    assert.deepEqual(slurm.readSubmitted(said('12\n')), { kind: 'accepted', id: '12' });
    const noise = { ...said('12\n'), stderr: 'sbatch: a word of the site\n' };
    assert.deepEqual(slurm.readSubmitted(noise), { kind: 'accepted', id: '12' });
  });

  it('on another cluster is refused, and told by an id with which it can be cancelled', () => {
    const submitted = slurm.readSubmitted(said('12;other\n'));
    assert.equal(submitted.kind, 'refused');
    assert.equal(submitted.kind === 'refused' && submitted.orphan, '12;other');
    assert.deepEqual(slurm.cancel('12;other').argv, ['--clusters=other', '12']);
  });

  for (const stdout of ['', '\n', '12\n13\n', 'Submitted batch job 12\n', '12 x\n', 'x12\n', '-12\n']) {
    it(`is doubtful after exit code 0 and the answer ${JSON.stringify(stdout)}`, () => {
      assert.equal(slurm.readSubmitted(said(stdout)).kind, 'doubtful');
    });
  }

  for (const text of [
    'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation',
    'sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received',
    'sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)',
    'sbatch: error: Munge decode failed: Expired credential',
    'sbatch: error: Batch job submission failed: Protocol authentication error',
  ]) {
    it(`is doubtful after "${text}"`, () => assert.equal(slurm.readSubmitted(failed(text)).kind, 'doubtful'));
  }

  it('is doubtful when sbatch did not come to its end', () => {
    assert.equal(slurm.readSubmitted(TIMED_OUT).kind, 'doubtful');
    assert.equal(slurm.readSubmitted({ ...TIMED_OUT, stdout: '1' }).kind, 'accepted');
  });

  for (const text of [
    'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)',
    'sbatch: error: Batch job submission failed: Slurm backup controller in standby mode',
  ]) {
    it(`can be tried again after "${text}"`, () => assert.equal(slurm.readSubmitted(failed(text)).kind, 'transient'));
  }

  it('is refused with the words of a plugin of the site, whatever they are', () => {
    const plugin =
      'sbatch: error: Your project is temporarily closed, see authentication at https://x\n' +
      'sbatch: error: Batch job submission failed: Unspecified error\n';
    const submitted = slurm.readSubmitted(failed(plugin));
    assert.equal(submitted.kind, 'refused');
    assert.match(submitted.kind === 'refused' ? submitted.why : '', /temporarily closed/);
  });

  it('is refused with the words of sbatch', () => {
    const partition =
      'sbatch: error: invalid partition specified: nopart\n' +
      'sbatch: error: Batch job submission failed: Invalid partition name specified\n';
    assert.deepEqual(slurm.readSubmitted(failed(partition)), {
      kind: 'refused',
      why: 'invalid partition specified: nopart; Batch job submission failed: Invalid partition name specified',
    });
    const option = 'sbatch: unrecognized option \'--foo\'\nTry "sbatch --help" for more information\n';
    assert.deepEqual(slurm.readSubmitted(failed(option, 255)), { kind: 'refused', why: "unrecognized option '--foo'" });
  });
});

describe('the search for a job by its name', () => {
  it('asks for every state', () => {
    assert.deepEqual(slurm.byName.about('ci-1'), {
      program: 'squeue',
      argv: ['--noheader', '--states=all', '--name=ci-1', '--format=%A'],
    });
  });

  it('finds none, one, or several', () => {
    assert.deepEqual(slurm.byName.read(said(''), 'ci-1'), []);
    assert.deepEqual(slurm.byName.read(said('6\n'), 'ci-1'), ['6']);
    assert.deepEqual(slurm.byName.read(said('9\n10\n9\n'), 'ci-1'), ['9', '10']);
  });

  it('knows nothing when Slurm does not answer', () => {
    for (const answer of [DOWN, TIMED_OUT, said('x\n')]) assert.equal(slurm.byName.read(answer, 'ci-1'), undefined);
  });
});

describe('squeue', () => {
  const ANSWER = said(
    row(`1|FAILED|NonZeroExitCode|ci|root|normal|10:00|1795645877|lab1|1
4|PENDING|PartitionNodeLimit|ci|root|normal|10:00|N/A||5
5|PENDING|PartitionTimeLimit|ci|root|normal|6-22:40:00|N/A||1
6|RUNNING|None|ci|root|normal|5:00|1795645877|lab1|1
7_0|RUNNING|None|ci|root|normal|10:00|1795645877|lab1|1
7_1|RUNNING|None|ci|root|normal|10:00|1795645877|lab1|1
`),
  );

  it('is asked once for all jobs', () => {
    const { program, argv } = slurm.overview.about(['1', '4']);
    assert.equal(program, 'squeue');
    assert.ok(argv.includes('--jobs=1,4') && argv.includes('--states=all'));
  });

  it('never asks for names, which may hold line breaks', () => {
    assert.doesNotMatch(slurm.overview.about(['1']).argv.join(' '), /%j/);
  });

  it('tells where each one is, and why it waits', () => {
    const inquired = slurm.overview.read(ANSWER, ['1', '4', '5', '6']);
    assert.deepEqual(job(inquired, '4'), {
      phase: 'pending',
      state: 'PENDING',
      reason: 'PartitionNodeLimit',
      partition: 'ci',
      account: 'root',
      qos: 'normal',
      timeLimit: 600,
      nodeCount: 5,
    });
    assert.equal(job(inquired, '5').timeLimit, (6 * 24 + 22) * 3600 + 40 * 60);
    assert.deepEqual(job(inquired, '6'), {
      phase: 'running',
      state: 'RUNNING',
      partition: 'ci',
      account: 'root',
      qos: 'normal',
      timeLimit: 300,
      startedAt: 1_795_645_877_000,
      nodes: 'lab1',
      nodeCount: 1,
    });
    assert.equal(job(inquired, '1').phase, 'ended');
    assert.equal(job(inquired, '1').end?.kind, 'failed');
  });

  it('says when a waiting job may start', () => {
    const answer = said(row('8|PENDING|Resources|ci|a|n|UNLIMITED|1795645900||1\n'));
    const status = job(slurm.overview.read(answer, ['8']), '8');
    assert.equal(status.expectedStart, 1_795_645_900_000);
    assert.equal(status.startedAt, undefined);
    assert.equal(status.timeLimit, Number.POSITIVE_INFINITY);
  });

  it('shows an array and a heterogeneous job as several', () => {
    assert.equal(job(slurm.overview.read(ANSWER, ['7']), '7').isSeveral, true);
    const array = said(row('21_[0-2]|PENDING|None|ci|a|n|1:00|N/A||1\n'));
    assert.equal(job(slurm.overview.read(array, ['21']), '21').isSeveral, true);
    const het = said(row('27+0|PENDING|None|ci|a|n|1:00|N/A||1\n27+1|PENDING|None|ci|a|n|1:00|N/A||1\n'));
    assert.equal(job(slurm.overview.read(het, ['27']), '27').isSeveral, true);
  });

  it('tells nothing about jobs that were not asked for', () => {
    const inquired = slurm.overview.read(ANSWER, ['1', '99999']);
    assert.deepEqual(inquired.kind === 'known' && [...inquired.jobs.keys()], ['1']);
  });

  it('that does not know a job says so; that is an answer', () => {
    assert.deepEqual(slurm.overview.read(UNKNOWN, ['99999']), { kind: 'known', jobs: new Map() });
    assert.deepEqual(slurm.overview.read(said(''), ['99999']), { kind: 'known', jobs: new Map() });
  });

  it('that cannot reach the controller, hangs or talks nonsense says nothing about jobs', () => {
    const answers: Answer[] = [
      DOWN,
      TIMED_OUT,
      failed('slurm_load_jobs error: Socket timed out on send/recv operation\n'),
      failed('', 1),
      said('segmentation fault\n'),
      said(row('1|FAILED\n')),
      { ...said(''), stderr: 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n' },
    ];
    for (const answer of answers) {
      assert.equal(slurm.overview.read(answer, ['1']).kind, 'silent', JSON.stringify(answer));
    }
  });

  it('with a state that nobody knows is no end', () => {
    const status = job(slurm.overview.read(said(row('1|GONE_FISHING|None|ci|a|n|1:00|N/A||1\n')), ['1']), '1');
    assert.equal(status.phase, 'running');
    assert.equal(status.isUnknownState, true);
    assert.equal(status.end, undefined);
  });
});

describe('scontrol', () => {
  const record = (changes: Record<string, string>, text = RECORD) => {
    return Object.entries(changes).reduce(
      (line, [name, value]) => line.replace(new RegExp(` ${name}=\\S*`), ` ${name}=${value}`),
      text,
    );
  };
  const RECORD =
    'JobId=1 JobName=wrap UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901759 Nice=0 Account=root ' +
    'QOS=normal JobState=FAILED Reason=NonZeroExitCode Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ' +
    'ExitCode=7:0 RunTime=00:00:04 TimeLimit=00:10:00 TimeMin=N/A SubmitTime=1795645876 EligibleTime=1795645876 ' +
    'AccrueTime=1795645876 StartTime=1795645877 EndTime=1795645881 Deadline=N/A SuspendTime=None SecsPreSuspend=0 ' +
    'LastSchedEval=1795645877 Scheduler=Backfill Partition=ci AllocNode:Sid=localhost:12452 ReqNodeList=(null) ' +
    'ExcNodeList=(null) NodeList=lab1 BatchHost=lab1 NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=1 ' +
    'ReqB:S:C:T=0:0:*:* TRES=cpu=1,mem=100M,node=1,billing=1 Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=* ' +
    'MinCPUsNode=1 MinMemoryCPU=100M MinTmpDiskNode=0 Features=(null) DelayBoot=00:00:00 OverSubscribe=OK ' +
    'Contiguous=0 Licenses=(null) Network=(null) Command=(null) WorkDir=/tmp Comment=a JobState=COMPLETED b  ' +
    'StdErr=/tmp/o1 StdIn=/dev/null StdOut=/tmp/o1 Power= \n';
  const details = (changes: Record<string, string>) => job(slurm.details.read(said(record(changes)), ['1']), '1');

  it('is asked about one job', () => {
    assert.deepEqual(slurm.details.about(['1']), { program: 'scontrol', argv: ['--oneliner', 'show', 'job', '1'] });
  });

  it('tells all there is to know, whatever stands in a comment', () => {
    assert.deepEqual(details({}), {
      phase: 'ended',
      state: 'FAILED',
      reason: 'NonZeroExitCode',
      end: { kind: 'failed', exitCode: 7, note: 'NonZeroExitCode' },
      partition: 'ci',
      account: 'root',
      qos: 'normal',
      timeLimit: 600,
      startedAt: 1_795_645_877_000,
      endedAt: 1_795_645_881_000,
      nodes: 'lab1',
      nodeCount: 1,
      restarts: 0,
      usage: { wallSeconds: 4, wallLimitSeconds: 600, cpus: 2, memoryAsked: 100 * 1024 ** 2 },
    });
  });

  it('may have line breaks in a comment', () => {
    const answer = said(`${record({}).trimEnd()} Comment=one\ntwo\n\nthree StdIn=/dev/null\n`);
    assert.deepEqual(job(slurm.details.read(answer, ['1']), '1'), details({}));
  });

  it('counts restarts', () => assert.equal(details({ Restarts: '2' }).restarts, 2));

  it('shows several records, an array and a heterogeneous job as several', () => {
    const two = `${RECORD}${RECORD}`;
    assert.equal(job(slurm.details.read(said(two), ['1']), '1').isSeveral, true);
    const array =
      RECORD.replace('JobId=1', 'JobId=7 ArrayJobId=7 ArrayTaskId=1') +
      RECORD.replace('JobId=1', 'JobId=10 ArrayJobId=7 ArrayTaskId=0');
    assert.equal(job(slurm.details.read(said(array), ['7']), '7').isSeveral, true);
    const het = RECORD.replace('JobId=1', 'JobId=27 HetJobId=27 HetJobOffset=0');
    assert.equal(job(slurm.details.read(said(het), ['27']), '27').isSeveral, true);
  });

  it('that forgot a job is an answer, and an outage is none', () => {
    assert.deepEqual(slurm.details.read(UNKNOWN, ['1']), { kind: 'known', jobs: new Map() });
    assert.equal(slurm.details.read(DOWN, ['1']).kind, 'silent');
    assert.equal(slurm.details.read(said('Job is gone\n'), ['1']).kind, 'silent');
  });

  const ends: readonly (readonly [string, string, string, JobStatus['end']])[] = [
    ['COMPLETED', 'None', '0:0', { kind: 'completed', exitCode: 0 }],
    ['FAILED', 'NonZeroExitCode', '137:0', { kind: 'failed', exitCode: 137, note: 'NonZeroExitCode' }],
    ['FAILED', 'JobLaunchFailure', '0:9', { kind: 'failed', signal: 9, note: 'JobLaunchFailure' }],
    ['FAILED', 'JobLaunchFailure', '0:15', { kind: 'failed', signal: 15, note: 'JobLaunchFailure' }],
    ['FAILED', 'JobLaunchFailure', '0:53', { kind: 'output-unopened', note: 'JobLaunchFailure' }],
    ['FAILED', 'JobLaunchFailure', '0:0', { kind: 'start-failure', note: 'JobLaunchFailure' }],
    ['CANCELLED', 'None', '0:15', { kind: 'cancelled' }],
    ['CANCELLED', 'JobHeldUser', '0:0', { kind: 'cancelled', note: 'JobHeldUser' }],
    ['TIMEOUT', 'TimeLimit', '0:15', { kind: 'time-limit', note: 'TimeLimit' }],
    ['DEADLINE', 'DeadLine', '0:0', { kind: 'time-limit', note: 'DeadLine' }],
    ['NODE_FAIL', 'NodeDown', '0:15', { kind: 'node-failure', note: 'NodeDown' }],
    ['OUT_OF_MEMORY', 'OutOfMemory', '0:125', { kind: 'out-of-memory', note: 'OutOfMemory' }],
    ['FAILED', 'OutOfMemory', '0:125', { kind: 'out-of-memory', note: 'OutOfMemory' }],
    ['PREEMPTED', 'None', '0:15', { kind: 'preempted' }],
    ['BOOT_FAIL', 'None', '0:0', { kind: 'start-failure' }],
    ['LAUNCH_FAILED', 'None', '0:0', { kind: 'start-failure' }],
    ['RECONFIG_FAIL', 'None', '0:0', { kind: 'start-failure' }],
    ['REVOKED', 'None', '0:0', { kind: 'elsewhere' }],
  ];
  for (const [JobState, Reason, ExitCode, end] of ends) {
    it(`${JobState}, ${Reason}, ${ExitCode} is the end of a job: ${end?.kind}`, () => {
      assert.deepEqual(details({ JobState, Reason, ExitCode }).end, end);
      assert.equal(details({ JobState, Reason, ExitCode }).phase, 'ended');
    });
  }

  const alive = {
    pending:
      'PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD EXPEDITING POWER_UP_NODE',
    running: 'RUNNING SUSPENDED STOPPED RESIZING SIGNALING UPDATE_DB',
    ending: 'COMPLETING STAGE_OUT',
  };
  for (const [phase, states] of Object.entries(alive)) {
    for (const JobState of states.split(' ')) {
      it(`${JobState} is no end: ${phase}`, () => {
        const status = details({ JobState, ExitCode: '0:0' });
        assert.deepEqual([status.phase, status.end, status.isUnknownState], [phase, undefined, undefined]);
      });
    }
  }
});

describe('sacct', () => {
  const ANSWER = said(
    row(`1|FAILED|7:0|ci|root|normal|00:10:00|1795645877|1795645877|lab1|1|1|0|00:00.001||billing=1,cpu=1,mem=102400K,node=1|billing=1,cpu=1,mem=102400K,node=1
1.batch|FAILED|7:0||root|||1795645877|1795645877|lab1|1|1|0|00:00.001||cpu=1,mem=102400K,node=1|
6|CANCELLED by 0|0:0|ci|root|normal|00:05:00|1795645877|1795645881|lab1|1|2|4|01:00.150||billing=2,cpu=2,mem=102400K,node=1|billing=2,cpu=2,mem=102400K,node=1
6.batch|CANCELLED|0:15||root|||1795645877|1795645881|lab1|1|2|4|00:00.150|63908K|cpu=2,mem=102400K,node=1|
6.0|COMPLETED|0:0||root|||1795645877|1795645881|lab1|1|2|4|00:00.150|908K|cpu=2,mem=102400K,node=1|
7_0|RUNNING|0:0|ci|root|normal|00:10:00|1795645877|Unknown|lab1|1|1|7|00:00:00||billing=1,cpu=1,mem=102400K,node=1|billing=1,cpu=1,mem=102400K,node=1
7_1|RUNNING|0:0|ci|root|normal|00:10:00|1795645877|Unknown|lab1|1|1|7|00:00:00||billing=1,cpu=1,mem=102400K,node=1|billing=1,cpu=1,mem=102400K,node=1
8|CANCELLED by 0|0:0|ci|root|normal|00:10:00|None|1795645881|None assigned|0|1|0|00:00:00|||billing=1,cpu=1,mem=102400K,node=1
`),
  );
  const history = slurm.history ?? assert.fail('no history');

  it('is asked with a start of its own: without one it looks back to midnight only', () => {
    const { argv } = history.about(['1', '6']);
    assert.ok(argv.includes('--jobs=1,6') && argv.some((word) => word.startsWith('--starttime=now-')));
  });

  it('tells who cancelled a job, and what it used', () => {
    const status = job(history.read(ANSWER, ['1', '6']), '6');
    assert.deepEqual(status.end, { kind: 'cancelled', by: '0' });
    assert.deepEqual(status.usage, {
      wallSeconds: 4,
      wallLimitSeconds: 300,
      cpus: 2,
      cpuSeconds: 60,
      memoryPeak: 63_908 * 1024,
      memoryAsked: 100 * 1024 ** 2,
    });
  });

  it('tells of one that never ran', () => {
    const status = job(history.read(ANSWER, ['8']), '8');
    assert.deepEqual([status.phase, status.startedAt, status.nodes], ['ended', undefined, undefined]);
  });

  it('shows an array as several', () => assert.equal(job(history.read(ANSWER, ['7']), '7').isSeveral, true));

  it('with a state cut to ten letters is understood', () => {
    const cut = said(ANSWER.stdout.replaceAll('CANCELLED by 0', 'CANCELLED+'));
    assert.equal(job(history.read(cut, ['6']), '6').end?.kind, 'cancelled');
  });

  it('gives no exit code of which Slurm before 25.11 takes 128 away without a word', () => {
    assert.equal(job(history.read(ANSWER, ['1']), '1').end?.exitCode, undefined);
  });

  it('that knows nothing of a job is an answer', () => {
    assert.deepEqual(history.read(said(''), ['9']), { kind: 'known', jobs: new Map() });
  });

  it('is not there on a site without accounting', () => {
    assert.equal(history.read(NO_ACCOUNTING, ['1']).kind, 'unavailable');
  });

  it('that does not answer says nothing', () => {
    for (const answer of [DOWN, TIMED_OUT, failed('sacct: error: Problem talking to the database\n'), said('x\n')]) {
      assert.equal(history.read(answer, ['1']).kind, 'silent');
    }
  });
});

describe('a cancel', () => {
  it('names one job, and never none', () => {
    assert.deepEqual(slurm.cancel('12'), { program: 'scancel', argv: ['12'] });
    for (const id of ['', ' ', 'all', '12 13', '-u', ';lab', '1_2']) assert.throws(() => slurm.cancel(id));
  });

  it('has reached Slurm when it says so, or when the job is gone', () => {
    const gone = failed('scancel: error: Kill job error on job id 7: Invalid job id specified\n', 1);
    const ending = failed('scancel: error: Kill job error on job id 7: Job/step already completing or completed\n', 1);
    for (const answer of [said(''), gone, ending]) assert.equal(slurm.readCancelled(answer), true);
  });

  it('has not reached it otherwise', () => {
    const denied = failed('scancel: error: Kill job error on job id 7: Access/permission denied\n', 210);
    const down = failed('scancel: error: slurm_kill_job2: Unable to contact slurm controller (connect failure)\n', 8);
    for (const answer of [denied, down, TIMED_OUT, failed('', 1)]) assert.equal(slurm.readCancelled(answer), false);
  });
});

describe('the environment of its commands', () => {
  it('has nothing that acts as an option, or changes what is printed', () => {
    for (const name of 'SBATCH_OUTPUT SBATCH_WAIT SQUEUE_FORMAT SACCT_FORMAT SCANCEL_INTERACTIVE SLURM_CLUSTERS SLURM_NTASKS SLURM_TIME_FORMAT'.split(
      ' ',
    )) {
      assert.match(name, slurm.environment.drop);
    }
    assert.doesNotMatch('PATH', slurm.environment.drop);
  });

  it('keeps where the configuration is', () => assert.deepEqual(slurm.environment.keep, ['SLURM_CONF']));
  it('asks for times that can be read', () => assert.deepEqual(slurm.environment.set, { SLURM_TIME_FORMAT: '%s' }));
});

describe('typed keys', () => {
  it('become options of sbatch', () => {
    const words = slurm.requestArguments({
      nodes: 2,
      tasks: 8,
      cpusPerTask: 4,
      gpus: 1,
      memory: 1.5 * 1024 ** 3,
      time: 5401,
      partition: 'ci',
      account: 'acct',
      qos: 'high',
      constraint: 'a&b',
      reservation: 'r',
      exclusive: true,
    });
    assert.deepEqual(words, [
      '--nodes=2',
      '--ntasks=8',
      '--cpus-per-task=4',
      '--gpus-per-node=1',
      '--mem=1536M',
      '--time=91',
      '--partition=ci',
      '--account=acct',
      '--qos=high',
      '--constraint=a&b',
      '--reservation=r',
      '--exclusive',
    ]);
  });

  it('that are not there become nothing', () => {
    assert.deepEqual(slurm.requestArguments({}), []);
    assert.deepEqual(slurm.requestArguments({ exclusive: false }), []);
  });

  it('never ask for no limit by asking for little time', () => {
    assert.deepEqual(slurm.requestArguments({ time: 0.5 }), ['--time=1']);
  });
});

describe('the wall time that arguments ask for', () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['-t 20', 1200],
    ['--time=20', 1200],
    ['-t20:30', 1230],
    ['--tim=1:00:00', undefined], // could be --time-min as well
    ['--time=1:00:00', 3600],
    ['--time=1-0', 86_400],
    ['--time=1-2:3', 86_400 + 7200 + 180],
    ['--time=1-2:3:4', 86_400 + 7200 + 184],
    ['--time=0', Number.POSITIVE_INFINITY],
    ['--time=UNLIMITED', Number.POSITIVE_INFINITY],
    ['-t 1 --time=2', 120],
    ['-N 1', undefined],
    ['--time=soon', undefined],
    ['--comment --time=3', undefined],
  ];
  for (const [line, seconds] of cases) {
    it(`${line}: ${seconds}`, () => assert.equal(slurm.requestedTime(line.split(' ')), seconds));
  }
});

describe('a reason to wait', () => {
  const never =
    'DependencyNeverSatisfied PartitionTimeLimit PartitionConfig PartitionNodeLimit BadConstraints InvalidAccount ' +
    'InvalidQOS AssocMaxCpuPerJobLimit AssocMaxWallDurationPerJobLimit QOSMaxNodePerJobLimit QOSMaxGRESPerJob ' +
    'QOSMinCpuNotSatisfied launch_failed_requeued_held MaxMemPerLimit QOSNotAllowed AccountNotAllowed DeadLine';
  const waits =
    'None Priority Resources JobHeldUser JobHeldAdmin BeginTime Dependency Licenses ReqNodeNotAvail PartitionDown ' +
    'PartitionInactive Reservation ReservationDeleted AssocGrpCpuLimit AssocGrpBillingMinutes AssocMaxJobsLimit ' +
    'QOSGrpNodeLimit QOSMaxJobsPerUserLimit QOSMaxCpuPerUserLimit QOSMaxSubmitJobPerUserLimit MaxCpuPerAccount NodeDown ' +
    'BurstBufferStageIn Prolog Cleaning QOSUsageThreshold SomethingNew';

  for (const word of never.split(' ')) {
    it(`${word} is one that can never go away`, () => assert.equal(slurm.reason(word).isNever, true));
  }
  for (const word of waits.split(' ')) {
    it(`${word} may go away`, () => assert.equal(slurm.reason(word).isNever, false));
  }

  it('is told in words', () => {
    const known = `${never} ${waits}`.split(' ').filter((word) => word !== 'SomethingNew');
    const unknown = slurm.reason('SomethingNew').text;
    for (const word of known) assert.notEqual(slurm.reason(word).text, unknown, word);
  });

  it('with details is known as well', () => {
    assert.equal(slurm.reason('ReqNodeNotAvail, UnavailableNodes:n[1-2]').text, slurm.reason('ReqNodeNotAvail').text);
    assert.equal(slurm.reason('launch failed requeued held').isNever, true);
  });
});
