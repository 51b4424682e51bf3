// What is said to Cobalt, and what is made of its answers. All of it is from documents and public source; nothing was run.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COBALT_GRAMMAR } from '../../../src/jacamar/executors/cobalt/options.ts';
import { cobalt } from '../../../src/jacamar/executors/cobalt.ts';
import { failed, job, SUBMISSION, said, TIMED_OUT } from './answers.ts';
import { leavesOut, refuses, takes, tells } from './argument-rows.ts';

const DOWN = failed('Failed to connect to queue manager\n', 2);
const TABLE = said(`JobID   JobName    State      Queue    WallTime  Nodes  Location
=================================================================
300123  ci-1       running    default  01:00:00  2      3824-3825
300124  ci-2       user_hold  default  00:10:00  1      None
`);
const LOG = (text: string) => `Thu Nov 05 17:29:30 2020 +0000 (UTC) Info: ${text}\n`;

describe('a submission to Cobalt', () => {
  it('names its files and itself, and runs as a script', () => {
    const { program, argv } = cobalt.submit({ ...SUBMISSION, arguments: ['-n', '2', '-t', '10'] });
    assert.equal(program, 'qsub');
    assert.deepEqual(argv, [
      ...['-n', '2', '-t', '10', '-o', '/home/a/job/ci-302_ab.output', '-e', '/home/a/job/ci-302_ab.error'],
      ...['--debuglog=/home/a/job/ci-302_ab.cobaltlog', '--jobname=ci-302_ab', '--cwd=/home/a/job', '--mode=script'],
      SUBMISSION.wrapper,
    ]);
    assert.equal(cobalt.outputBy, 'wrapper');
  });

  it('is for one node unless more are asked for', () => {
    assert.deepEqual(cobalt.submit({ ...SUBMISSION, arguments: ['-t', '10'] }).argv.slice(0, 4), [
      '-t',
      '10',
      '-n',
      '1',
    ]);
    assert.ok(!cobalt.submit({ ...SUBMISSION, arguments: ['-n', '4'] }).argv.includes('1'));
  });

  it('is one when only a number stands on standard output, whatever it says besides', () => {
    assert.deepEqual(cobalt.readSubmitted(said('300123\n', 'submitting walltime=10 minutes\n')), {
      ...{ kind: 'accepted', id: '300123' },
    });
    for (const stdout of ['', '1\n2\n', "failed to create the job. maybe a queue isn't there\n"]) {
      assert.equal(cobalt.readSubmitted(said(stdout)).kind, 'doubtful');
    }
  });

  it('is doubtful when Cobalt was away, and when qsub did not come to its end', () => {
    for (const answer of [failed('Failed to connect to queue manager\n'), TIMED_OUT]) {
      assert.equal(cobalt.readSubmitted(answer).kind, 'doubtful');
    }
  });

  it('is refused with the words of Cobalt, which begin with others', () => {
    const answer = failed("submitting walltime=10 minutes\nQueue 'nowhere' does not exist\n");
    assert.deepEqual(cobalt.readSubmitted(answer), { kind: 'refused', why: "Queue 'nowhere' does not exist" });
  });
});

describe('the qstat of Cobalt', () => {
  it('is asked for columns that are known', () => {
    assert.deepEqual(cobalt.overview.about(['1', '2']).argv, [
      ...['--header', 'JobID:JobName:State:Queue:WallTime:Nodes:Location', '1', '2'],
    ]);
  });

  it('tells where a job is', () => {
    const inquired = cobalt.overview.read(TABLE, ['300123', '300124']);
    assert.deepEqual(job(inquired, '300123'), {
      ...{
        phase: 'running',
        state: 'running',
        partition: 'default',
        timeLimit: 3600,
        nodes: '3824-3825',
        nodeCount: 2,
      },
    });
    assert.deepEqual(job(inquired, '300124'), {
      ...{
        phase: 'pending',
        state: 'user_hold',
        reason: 'user_hold',
        partition: 'default',
        timeLimit: 600,
        nodeCount: 1,
      },
    });
  });

  for (const [state, phase] of [
    ...['queued', 'starting', 'user hold', 'admin_hold', 'dep_hold', 'maxrun_hold'].map(
      (each) => [each, 'pending'] as const,
    ),
    ...['running', 'sleeping'].map((each) => [each, 'running'] as const),
    ...['exiting', 'killing'].map((each) => [each, 'ending'] as const),
  ] as const) {
    it(`calls ${state} ${phase}`, () => {
      const table = said(`JobID  JobName  State\n=====\n7      ci-1     ${state}  default  00:10:00  1  None\n`);
      assert.equal(job(cobalt.overview.read(table, ['7']), '7').phase, phase);
    });
  }

  it('lists no job that has ended: then it writes nothing, and ends with 1', () => {
    assert.deepEqual(cobalt.overview.read(failed(''), ['1']), { kind: 'known', jobs: new Map() });
  });

  it('says nothing about jobs when Cobalt is away, slow, or its table is none', () => {
    for (const answer of [
      DOWN,
      TIMED_OUT,
      failed('', 2),
      said('hello\n'),
      failed('Traceback (most recent call last):\n'),
    ]) {
      assert.equal(cobalt.overview.read(answer, ['1']).kind, 'silent');
    }
  });

  it('finds a job by its name among all', () => {
    assert.deepEqual(cobalt.byName.read(TABLE, 'ci-2'), ['300124']);
    assert.deepEqual(cobalt.byName.read(TABLE, 'ci'), []);
    assert.deepEqual(cobalt.byName.read(said(''), 'ci-1'), []);
    assert.equal(cobalt.byName.read(DOWN, 'ci-1'), undefined);
  });

  it('tells a dependency that has failed as one that can never come true', () => {
    assert.equal(cobalt.reason('dep_fail').isNever, true);
    assert.deepEqual([cobalt.reason('dep_hold').isNever, cobalt.reason('user hold').isNever], [false, false]);
    assert.match(cobalt.reason('user hold').text, /qrls/);
  });
});

describe('the log of a job of Cobalt', () => {
  const read = (text: string) => cobalt.endLog?.read(text);
  const ends = 'task completed normally with an exit code of';

  it('tells the exit code', () => {
    assert.deepEqual(read(LOG(`${ends} 0; initiating job cleanup and removal`)), { kind: 'completed', exitCode: 0 });
    assert.deepEqual(read(LOG(`${ends} 137; initiating job cleanup`)), { kind: 'failed', exitCode: 137 });
    assert.deepEqual(read(LOG(`${ends} None; initiating`)), { kind: 'failed', note: 'Cobalt knows no exit code' });
  });

  it('tells that somebody deleted it, and who', () => {
    const text = LOG('user delete requested with signal SIGTERM by user bob');
    assert.deepEqual(read(text + LOG(`${ends} 143; initiating`)), { kind: 'cancelled', by: 'bob' });
    assert.deepEqual(read(LOG('user delete requested')), { kind: 'cancelled' });
  });

  it('tells its time limit, in whatever spelling', () => {
    const text = LOG('maximum execution time exceeded; initiating job terminiation');
    assert.deepEqual(read(text + LOG(`${ends} 143; initiating`)), { kind: 'time-limit' });
  });

  it('tells nothing while no end stands there', () => {
    assert.equal(read(''), undefined);
    assert.equal(read(LOG('submitted with cwd set to: /home/a')), undefined);
  });

  it('is left alone with batch.skip_cobalt_log', () => {
    const skipped = (skipCobaltLog: boolean) => cobalt.endLog?.isSkipped({ skipCobaltLog } as never);
    assert.deepEqual([skipped(true), skipped(false)], [true, false]);
  });

  it('lies beside a file of errors, whose end is shown on demand', () => {
    assert.equal(cobalt.endLog?.fileName('ci-1'), 'ci-1.cobaltlog');
    assert.equal(cobalt.errorLog?.fileName('ci-1'), 'ci-1.error');
    assert.equal(cobalt.errorLog?.variable, 'COBALT_SUMMARIZE_ERRORS');
  });
});

describe('the qdel of Cobalt', () => {
  it('is never called without a number', () => {
    assert.deepEqual(cobalt.cancel('7'), { program: 'qdel', argv: ['7'] });
    for (const id of ['', '*', '-f', '7 8']) assert.throws(() => cobalt.cancel(id));
  });

  it('has reached Cobalt, also when the job is gone; it complains on standard output', () => {
    assert.ok(cobalt.readCancelled(said('      Deleted Jobs\n')));
    assert.ok(cobalt.readCancelled(said('qdel: Job 7 not found\n')));
    assert.ok(!cobalt.readCancelled(failed('', 1, 'Failed to connect to queue manager\n')));
    assert.ok(!cobalt.readCancelled(said('Failed to connect to queue manager\n')));
    assert.ok(!cobalt.readCancelled(TIMED_OUT));
  });
});

describe('typed keys for Cobalt', () => {
  it('are nodes, minutes, queue and project', () => {
    const request = { nodes: 2, tasks: 8, time: 601, partition: 'ci', account: 'hpc', exclusive: true };
    assert.deepEqual(cobalt.requestArguments(request), [
      ...['-n', '2', '--proccount=8', '-t', '11', '-q', 'ci', '-A', 'hpc'],
    ]);
  });

  it('are refused where Cobalt has nothing of the kind', () => {
    for (const request of [
      { cpusPerTask: 1 },
      { gpus: 1 },
      { memory: 1 },
      { qos: 'x' },
      { constraint: 'x' },
      { reservation: 'x' },
    ]) {
      assert.throws(() => cobalt.requestArguments(request), { code: 'ERR_SCHEDULER_VALUE' });
    }
  });

  for (const [value, seconds] of [
    ['90', 5400],
    ['1:30:00', 5400],
    ['1:0:0:0', 86_400],
    ['x', undefined],
  ] as const) {
    it(`reads -t ${value} as ${seconds} s`, () => assert.equal(cobalt.requestedTime(['-t', value]), seconds));
  }
});

describe('arguments for Cobalt', () => {
  leavesOut(COBALT_GRAMMAR, {
    'sends the output elsewhere': ['-o x', '-e x', '-O x', '--debuglog=x', '--output x'],
    'renames the job': ['--jobname=x'],
    'changes the directory': ['--cwd=/tmp'],
  });
  refuses(COBALT_GRAMMAR, {
    'gives it another input': ['-i x'],
    'is for a terminal': ['-I', '--interactive', '--mode interactive', '--mode=interactive'],
    'submits nothing': ['--help', '--version'],
    'replaces the script': ['other.sh', '--', '-'],
    'gives others control': ['--user_list=a', '--run_users=a', '--run_project'],
    'runs it twice': ['--preemptable'],
    'is not known': ['--new-option', '-Z'],
  });
  tells(COBALT_GRAMMAR, ['-h', '--dependencies=7']);
  takes(COBALT_GRAMMAR, {
    '-n 2 -t10 -Ahpc': ['-n', '2', '-t', '10', '-A', 'hpc'],
    '--nodecount=2 --queue ci': ['-n', '2', '-q', 'ci'],
    '--attrs mcdram=flat --env A=b': ['--attrs=mcdram=flat', '--env=A=b'],
    '-d': ['-d'],
  });
});
