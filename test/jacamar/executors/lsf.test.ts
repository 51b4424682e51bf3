// What is said to LSF, and what is made of its answers. All of it is from documents of LSF 10.1; nothing was run.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LSF_GRAMMAR } from '../../../src/jacamar/executors/lsf/options.ts';
import { lsf } from '../../../src/jacamar/executors/lsf.ts';
import { failed, formsOf, job, SUBMISSION, said, TIMED_OUT } from './answers.ts';
import { leavesOut, refuses, takes, tells } from './argument-rows.ts';

const DOWN = failed('LSF is down. Please wait ...\n', 255);
const NOT_FOUND = failed('Job <123> is not found\n', 255);
const [full, few] = formsOf(lsf.overview) as [typeof lsf.overview, typeof lsf.overview];

/** Id, state, code, queue, hosts, project, their number, limit, run time, CPU time, memory, reason of end, of waiting. */
const about = (row: string) => job(full.read(said(`${row}\n`), ['123']), '123');
const ended = (state: string, code: string, reason: string) =>
  about(`123^${state}^${code}^ci^h1^hpc^1^-^9 second(s)^0.5 second(s)^5 Mbytes^${reason}^-`).end;

describe('a submission to LSF', () => {
  it('is not interactive, never run again, and has a file for what LSF itself writes', () => {
    const { program, argv } = lsf.submit({
      ...SUBMISSION,
      arguments: ['-q', 'ci'],
      output: '/home/a/job/scheduler.log',
    });
    assert.equal(program, 'bsub');
    assert.deepEqual(argv, [
      ...['-q', 'ci', '-rn', '-J', 'ci-302_ab', '-oo', '/home/a/job/scheduler.log', SUBMISSION.wrapper],
    ]);
    assert.equal(lsf.outputBy, 'wrapper');
  });

  it('quotes the wrapper, since a shell reads it', () => {
    assert.equal(lsf.submit({ ...SUBMISSION, wrapper: "/a b/it's" }).argv.at(-1), "'/a b/it'\\''s'");
  });

  it('is one when bsub says so once, whatever the site says besides', () => {
    const stdout = 'Welcome\nJob <123> is submitted to default queue <normal>.\n';
    assert.deepEqual(lsf.readSubmitted(said(stdout)), { kind: 'accepted', id: '123' });
    const twice = 'Job <1> is submitted to queue <a>.\nJob <2> is submitted to queue <a>.\n';
    for (const answer of ['', twice, ' Job <1> is submitted'])
      assert.equal(lsf.readSubmitted(said(answer)).kind, 'doubtful');
  });

  it('is doubtful when LSF was down, and when bsub did not come to its end', () => {
    for (const answer of [DOWN, TIMED_OUT]) assert.equal(lsf.readSubmitted(answer).kind, 'doubtful');
  });

  it('is refused with the words of LSF', () => {
    const answer = failed('nowhere: No such queue. Job not submitted.\n', 255);
    assert.deepEqual(lsf.readSubmitted(answer), { kind: 'refused', why: 'nowhere: No such queue.' });
  });
});

describe('bjobs', () => {
  it('is asked for fewer fields where it does not have all', () => {
    const strange = failed('pend_reason: Invalid field name in the output format\n', 255);
    assert.equal(full.read(strange, ['123']).kind, 'unavailable');
    assert.match(
      few.about(['123']).argv.join(' '),
      /^-noheader -o jobid stat exit_code queue exec_host delimiter='\^' 123$/,
    );
    assert.deepEqual(job(few.read(said('123^RUN^-^ci^h1\n'), ['123']), '123'), {
      ...{ phase: 'running', state: 'RUN', partition: 'ci', nodes: 'h1', usage: {} },
    });
  });

  it('tells where a job runs, and what it used', () => {
    assert.deepEqual(about('123^RUN^-^ci^2*h1:h2^hpc^2^60.0/h1^9 second(s)^0.5 second(s)^5 Mbytes^-^-'), {
      ...{
        phase: 'running',
        state: 'RUN',
        partition: 'ci',
        account: 'hpc',
        timeLimit: 3600,
        nodes: '2*h1:h2',
        nodeCount: 2,
      },
      usage: { wallSeconds: 9, wallLimitSeconds: 3600, cpuSeconds: 0.5, memoryPeak: 5 * 1024 ** 2 },
    });
  });

  for (const [state, phase] of [
    ...['PEND', 'PSUSP', 'WAIT', 'PROV'].map((each) => [each, 'pending'] as const),
    ...['RUN', 'USUSP', 'SSUSP', 'UNKWN', 'NEW?'].map((each) => [each, 'running'] as const),
    ...['DONE', 'EXIT', 'ZOMBI'].map((each) => [each, 'ended'] as const),
  ] as const) {
    it(`calls ${state} ${phase}`, () => assert.equal(about(`123^${state}^-^ci^-^-^-^-^-^-^-^-^-`).phase, phase));
  }

  for (const [state, code, reason, kind] of [
    ['DONE', '-', '-', 'completed'],
    ['EXIT', '7', '-', 'failed'],
    ['EXIT', '137', '-', 'failed'],
    ['EXIT', '140', 'TERM_RUNLIMIT: job killed after reaching LSF run time limit', 'time-limit'],
    ['EXIT', '137', 'TERM_MEMLIMIT: job killed after reaching LSF memory usage limit', 'out-of-memory'],
    ['EXIT', '143', 'TERM_OWNER: job killed by owner', 'cancelled'],
    ['EXIT', '-', 'TERM_ADMIN: job killed by root or LSF administrator', 'cancelled'],
    ['EXIT', '130', 'TERM_PREEMPT: job killed after preemption', 'preempted'],
    ['EXIT', '1', 'TERM_CWD_NOTEXIST: current working directory is not accessible', 'start-failure'],
    ['EXIT', '-', '-', 'cancelled'],
    ['ZOMBI', '-', '-', 'node-failure'],
  ] as const) {
    it(`takes ${state} with ${code} and "${reason}" for ${kind}`, () =>
      assert.equal(ended(state, code, reason)?.kind, kind));
  }

  it('tells why a job waits', () => {
    const { reason = '' } = about('123^PEND^-^ci^-^-^-^-^-^-^-^-^Job dependency condition not satisfied;');
    assert.match(lsf.reason(reason).text, /depends/);
    assert.equal(lsf.reason(reason).isNever, false);
    assert.equal(lsf.reason('Dependency condition invalid or never satisfied').isNever, true);
    assert.match(lsf.reason(about('123^PSUSP^-^ci^-^-^-^-^-^-^-^-^-').reason ?? '').text, /bresume/);
  });

  it('knows nothing of a job that it has forgotten, by its text and not its exit code', () => {
    for (const answer of [NOT_FOUND, { ...NOT_FOUND, exitCode: 0 }]) {
      assert.deepEqual(full.read(answer, ['123']), { kind: 'known', jobs: new Map() });
    }
  });

  it('says nothing about jobs when LSF is down, slow, or mute', () => {
    for (const answer of [DOWN, TIMED_OUT, said('')]) assert.equal(full.read(answer, ['123']).kind, 'silent');
  });

  it('finds a job by its name', () => {
    assert.deepEqual(lsf.byName.about('ci-1').argv, ['-a', '-noheader', '-o', 'jobid', '-J', 'ci-1']);
    assert.deepEqual(lsf.byName.read(said('123\n'), 'ci-1'), ['123']);
    assert.deepEqual(lsf.byName.read(failed('Job <ci-1> is not found\n', 255), 'ci-1'), []);
    for (const answer of [DOWN, TIMED_OUT, said('')]) assert.equal(lsf.byName.read(answer, 'ci-1'), undefined);
  });
});

describe('bkill', () => {
  it('is never called without a number: it would end the last job of the account', () => {
    assert.deepEqual(lsf.cancel('123'), { program: 'bkill', argv: ['123'] });
    for (const id of ['', '0', ' ', '-J x', '123 124', '1a']) assert.throws(() => lsf.cancel(id));
  });

  it('has reached LSF, also when the job is over or unknown', () => {
    assert.ok(lsf.readCancelled(said('Job <123> is being terminated\n')));
    assert.ok(lsf.readCancelled(failed('Job <123>: Job has already finished\n', 255)));
    assert.ok(lsf.readCancelled(failed('Job <123>: No matching job found\n', 255)));
    assert.ok(!lsf.readCancelled(DOWN));
    assert.ok(!lsf.readCancelled(failed('Job <123>: User permission denied\n', 255)));
  });
});

describe('typed keys for LSF', () => {
  it('are slots, spread over hosts', () => {
    const request = { nodes: 2, tasks: 8, cpusPerTask: 2, gpus: 1, memory: 1024 ** 3, time: 5400, partition: 'ci' };
    assert.deepEqual(
      lsf.requestArguments({ ...request, account: 'hpc', constraint: 'gpu', reservation: 'r', exclusive: true }),
      [
        ...['-n', '8', '-R', 'span[ptile=4]', '-R', 'affinity[core(2)]', '-R', 'rusage[mem=1024MB/host]'],
        ...['-R', 'select[gpu]', '-gpu', 'num=1', '-W', '90', '-q', 'ci', '-P', 'hpc', '-U', 'r', '-x'],
      ],
    );
    assert.deepEqual(lsf.requestArguments({ nodes: 2 }), ['-n', '2', '-R', 'span[ptile=1]']);
  });

  it('are refused where LSF has nothing of the kind', () => {
    for (const request of [{ qos: 'x' }, { nodes: 2, tasks: 3 }]) {
      assert.throws(() => lsf.requestArguments(request), { code: 'ERR_SCHEDULER_VALUE' });
    }
  });

  for (const [value, seconds] of [
    ['90', 5400],
    ['1:30', 5400],
    ['10/h1', 600],
    ['x', undefined],
  ] as const) {
    it(`reads -W ${value} as ${seconds} s`, () => assert.equal(lsf.requestedTime(['-W', value]), seconds));
  }
});

describe('the environment of LSF', () => {
  it('has no variable that acts as an option or hides the number of a job', () => {
    for (const name of ['LSB_DEFAULTQUEUE', 'BSUB_QUIET', 'LSB_BJOBS_FORMAT']) assert.match(name, lsf.environment.drop);
    assert.ok(lsf.environment.keep.includes('LSF_ENVDIR'));
  });
});

describe('arguments for LSF', () => {
  leavesOut(LSF_GRAMMAR, {
    'runs it twice': ['-r', '-rn'],
    'changes directory or environment': ['-cwd /tmp', '-env none', '-L /bin/sh'],
  });
  refuses(LSF_GRAMMAR, {
    'sends the output elsewhere': ['-o x', '-oo x', '-e x', '-eo x', '-f x', '-u x', '-N', '-B'],
    'gives it another input': ['-i x', '-is x'],
    'names the job, or makes an array': ['-J x', '-J x[1-9]'],
    'makes several jobs': ['-pack x'],
    'blocks or wants a terminal': ['-I', '-Ip', '-Is', '-IS', '-ISp', '-ISs', '-K'],
    'submits nothing': ['-h', '-V'],
    'replaces the script': ['other.sh', '-Zs', '--', '-'],
    'is not known': ['--queue=ci', '-Hx'],
  });
  tells(LSF_GRAMMAR, ['-H', '-b 22:00', '-w done(1)']);
  takes(LSF_GRAMMAR, {
    '-n 4 -q ci -W 1:30': ['-n', '4', '-q', 'ci', '-W', '1:30'],
    '-R span[hosts=1] -M 4GB': ['-R', 'span[hosts=1]', '-M', '4GB'],
    '-a esub -wt 5': ['-a', 'esub', '-wt', '5'],
  });
});
