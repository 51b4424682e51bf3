// What is said to Flux, and what is made of its answers. Their form is that of 0.88 by its documents and source; the
// results and exit codes were measured.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FLUX_GRAMMAR } from '../../../src/jacamar/executors/flux/options.ts';
import { flux } from '../../../src/jacamar/executors/flux.ts';
import { failed, job, SUBMISSION, said, TIMED_OUT } from './answers.ts';
import { leavesOut, refuses, takes, tells } from './argument-rows.ts';

const DOWN = failed('flux-jobs: ERROR: Unable to connect to Flux: broker socket /run/flux/local was not found\n');
const PURGED = 'JobID f2NhXkzVb1 unknown\n';
const OURS = [
  '--job-name=ci-302_ab',
  '--output=/home/a/job/output.log',
  '--setopt=output.mode=append',
  '--cwd=/home/a/job',
];

/** Id, state, result, return code, exception, queue, duration, start, end, nodes, their number, estimate, reason, note. */
const row = (text: string) => `${text.replaceAll('|', '\u001f')}\n`;
const about = (text: string, id = 'f2NhXkzVb1') => job(flux.overview.read(said(row(text)), [id]), id);

describe('a submission to Flux', () => {
  it('is a plain job with one slot when the script is all there is', () => {
    const { program, argv } = flux.submit(SUBMISSION);
    assert.equal(program, 'flux');
    assert.deepEqual(argv, ['submit', '-n', '1', ...OURS, SUBMISSION.wrapper]);
  });

  it('is an instance of its own when the script calls flux, or asks for more than one task or node', () => {
    assert.equal(flux.submit({ ...SUBMISSION, callsScheduler: true }).argv[0], 'batch');
    assert.equal(flux.submit({ ...SUBMISSION, arguments: ['-n', '4'] }).argv[0], 'batch');
    assert.equal(flux.submit({ ...SUBMISSION, arguments: ['-N', '2'] }).argv[0], 'batch');
    assert.equal(flux.submit({ ...SUBMISSION, arguments: ['-n', '1', '-c', '8'] }).argv[0], 'submit');
  });

  for (const [script, calls] of [
    ['flux run -n4 hostname', true],
    ['x=$(flux submit true)', true],
    ['cd src && flux alloc -N1 make', true],
    ['echo influx run', false],
    ['pip install flux-run', false],
  ] as const) {
    it(`sees ${calls ? 'a call' : 'no call'} of flux in "${script}"`, () => {
      assert.equal(flux.ownCommands?.test(script), calls);
    });
  }

  it('says how many nodes, where whole nodes are wanted', () => {
    const { argv } = flux.submit({ ...SUBMISSION, arguments: ['-x'] });
    assert.deepEqual(argv.slice(0, 6), ['submit', '-n', '1', '-N', '1', '-x']);
    assert.deepEqual(flux.submit({ ...SUBMISSION, arguments: ['-N', '2', '-x'] }).argv.slice(0, 4), [
      'batch',
      '-N',
      '2',
      '-x',
    ]);
  });

  it('is one when flux answers with an id in either form, which is kept in the plain one', () => {
    assert.deepEqual(flux.readSubmitted(said('f2NhXkzVb1\n')), { kind: 'accepted', id: 'f2NhXkzVb1' });
    assert.deepEqual(flux.readSubmitted(said('ƒ2NhXkzVb1\n')), { kind: 'accepted', id: 'f2NhXkzVb1' });
  });

  for (const stdout of ['', 'f2NhXkzVb1\nf2NhXkzVb2\n', '12345\n', 'f0OIl\n']) {
    it(`is doubtful after exit code 0 and the answer ${JSON.stringify(stdout)}`, () => {
      assert.equal(flux.readSubmitted(said(stdout)).kind, 'doubtful');
    });
  }

  it('is doubtful when no broker answered, and when flux did not come to its end', () => {
    assert.equal(flux.readSubmitted(DOWN).kind, 'doubtful');
    assert.equal(flux.readSubmitted(TIMED_OUT).kind, 'doubtful');
  });

  it('is refused with the words of Flux', () => {
    const text = "flux-submit: ERROR: [Errno 22] Invalid queue 'nowhere' specified\n";
    assert.deepEqual(flux.readSubmitted(failed(text)), {
      kind: 'refused',
      why: "[Errno 22] Invalid queue 'nowhere' specified",
    });
  });
});

describe('the search for a job of Flux by its name', () => {
  it('asks for every state', () => {
    assert.deepEqual(flux.byName.about('ci-1').argv, ['jobs', '-a', '-n', '--name=ci-1', '--format={id.f58plain}']);
  });

  it('finds none or one, and knows nothing without an answer', () => {
    assert.deepEqual(flux.byName.read(said(''), 'ci-1'), []);
    assert.deepEqual(flux.byName.read(said('ƒ2NhXkzVb1\n'), 'ci-1'), ['f2NhXkzVb1']);
    for (const answer of [DOWN, TIMED_OUT]) assert.equal(flux.byName.read(answer, 'ci-1'), undefined);
  });
});

describe('flux jobs', () => {
  it('is asked once for all jobs, without the header, and never for names', () => {
    const { program, argv } = flux.overview.about(['f1', 'f2']);
    assert.equal(program, 'flux');
    assert.deepEqual([argv[0], argv[1], ...argv.slice(-2)], ['jobs', '-n', 'f1', 'f2']);
    assert.doesNotMatch(argv.join(' '), /\{name\}/);
  });

  for (const [state, phase] of [
    ['DEPEND', 'pending'],
    ['PRIORITY', 'pending'],
    ['SCHED', 'pending'],
    ['RUN', 'running'],
    ['CLEANUP', 'ending'],
    ['INACTIVE', 'ended'],
  ] as const) {
    it(`calls ${state} ${phase}`, () => {
      assert.equal(about(`f2NhXkzVb1|${state}||||batch|0.0||||||| `).phase, phase);
    });
  }

  it('takes a state that it does not know for no end', () => {
    const status = about('f2NhXkzVb1|PAUSED||||batch|0.0||||||| ');
    assert.deepEqual([status.phase, status.isUnknownState], ['running', true]);
  });

  it('tells where a running job is', () => {
    assert.deepEqual(about('f2NhXkzVb1|RUN||||batch|3600.0|1795645877.25||node[3-4]|2||| '), {
      phase: 'running',
      state: 'RUN',
      partition: 'batch',
      timeLimit: 3600,
      startedAt: 1_795_645_877_250,
      nodes: 'node[3-4]',
      nodeCount: 2,
    });
  });

  it('tells why a job waits, in the words of the scheduler where there are some, and when it may start', () => {
    const annotated = about('f2NhXkzVb1|SCHED||||batch|60.0|||||1795645900.0|waiting for a reservation| ');
    assert.equal(annotated.reason, 'waiting for a reservation');
    assert.equal(annotated.expectedStart, 1_795_645_900_000);
    assert.match(flux.reason('sched').text, /resources/);
    assert.match(flux.reason('priority').text, /urgency of 0/);
    assert.equal(about('f2NhXkzVb1|DEPEND||||batch|60.0||||||| ').reason, 'depend');
  });

  const ends = [
    ['exit code 0', 'COMPLETED|0|', '', { kind: 'completed', exitCode: 0 }],
    ['exit code 7', 'FAILED|7|', '', { kind: 'failed', exitCode: 7 }],
    ['exit code 255', 'FAILED|255|', '', { kind: 'failed', exitCode: 255 }],
    ['a signal', 'FAILED|137|', '', { kind: 'failed', exitCode: 137 }],
    ['a signal to its shell', 'FAILED|-9|', '', { kind: 'failed', signal: 9 }],
    ['a cancel while it ran', 'CANCELED|143|cancel', '', { kind: 'cancelled', exitCode: 143 }],
    ['a cancel while it waited', 'CANCELED|-128|cancel', '', { kind: 'cancelled' }],
    [
      'its time limit',
      'TIMEOUT|142|timeout',
      'resource allocation expired',
      { kind: 'time-limit', exitCode: 142, note: 'resource allocation expired' },
    ],
    [
      'an output that cannot be opened',
      'FAILED|1|exec',
      'shell_init: No such file or directory',
      { kind: 'output-unopened', exitCode: 1, note: 'shell_init: No such file or directory' },
    ],
    [
      'another failure of its start',
      'FAILED|1|exec',
      'job shell not found',
      { kind: 'start-failure', exitCode: 1, note: 'job shell not found' },
    ],
    [
      'a request that cannot be granted',
      'FAILED|-128|alloc',
      'unsatisfiable request',
      { kind: 'cancelled', note: 'unsatisfiable request' },
    ],
    [
      'a lost node',
      'FAILED|143|node-failure',
      'lost contact with job shell on broker node4 (rank 2)',
      { kind: 'node-failure', exitCode: 143, note: 'lost contact with job shell on broker node4 (rank 2)' },
    ],
  ] as const;
  for (const [title, [result, code, type], note, end] of ends.map(([t, r, n, e]) => [t, r.split('|'), n, e] as const)) {
    it(`knows an end by ${title}`, () => {
      const text = `f2NhXkzVb1|INACTIVE|${result}|${code}|${type}|batch|0.0|1795645877.0|1795645879.0|node3|1|||${note}`;
      assert.deepEqual(about(text).end, end);
    });
  }

  it('takes an unsatisfiable request for one that can never start', () => {
    assert.equal(flux.reason('unsatisfiable request').isNever, true);
    assert.equal(flux.reason('sched').isNever, false);
  });

  it('knows nothing of a purged job, and tells of the others all the same', () => {
    assert.deepEqual(flux.overview.read(failed(PURGED), ['f2NhXkzVb1']), { kind: 'known', jobs: new Map() });
    const mixed = failed(PURGED, 1, row('f3|RUN||||batch|0.0|1.0||node3|1||| '));
    const inquired = flux.overview.read(mixed, ['f2NhXkzVb1', 'f3']);
    assert.deepEqual(inquired.kind === 'known' && [...inquired.jobs.keys()], ['f3']);
  });

  for (const [title, answer] of [
    ['no broker answers', DOWN],
    ['it takes too long', TIMED_OUT],
    ['it says nothing', said('')],
    ['the question about one job failed', failed('rpc: Connection reset by peer\n', 0)],
    [
      'the question about one of two failed',
      failed('rpc: Connection reset by peer\n', 1, row('f3|RUN||||batch|0.0|1.0||node3|1||| ')),
    ],
    ['a row is cut', said(row('f2NhXkzVb1|RUN'))],
  ] as const) {
    it(`says nothing about jobs when ${title}`, () => {
      assert.equal(flux.overview.read(answer, ['f2NhXkzVb1']).kind, 'silent');
    });
  }
});

describe('a cancel of a job of Flux', () => {
  it('is never a signal, and never without an id', () => {
    assert.deepEqual(flux.cancel('f2NhXkzVb1'), { program: 'flux', argv: ['cancel', 'f2NhXkzVb1'] });
    for (const id of ['', '--all', '12']) assert.throws(() => flux.cancel(id));
  });

  it('has reached Flux, also when the job is over or unknown', () => {
    assert.ok(flux.readCancelled(said('')));
    assert.ok(flux.readCancelled(failed('flux-cancel: ERROR: f2NhXkzVb1: job is inactive\n')));
    assert.ok(flux.readCancelled(failed('flux-cancel: ERROR: f2NhXkzVb1: unknown job id\n')));
    assert.ok(!flux.readCancelled(DOWN));
  });

  it('is told by one command that waits', () => {
    assert.deepEqual(flux.wait?.('f2NhXkzVb1'), { program: 'flux', argv: ['job', 'status', 'f2NhXkzVb1'] });
  });
});

describe('the environment of flux', () => {
  it('names no instance but that of the site, which is nested inside a job', () => {
    for (const name of ['FLUX_URI', 'FLUX_JOB_ID', 'FLUX_EXEC_PATH']) assert.match(name, flux.environment.drop);
    assert.deepEqual(flux.environment.keep, []);
    assert.equal(flux.environment.set['FLUX_F58_FORCE_ASCII'], '1');
  });
});

describe('typed keys for Flux', () => {
  it('are written in the short form that submit and batch share', () => {
    const request = { nodes: 2, tasks: 4, cpusPerTask: 8, gpus: 2, time: 90, partition: 'ci', account: 'hpc' };
    assert.deepEqual(flux.requestArguments({ ...request, constraint: 'a|b', exclusive: true }), [
      ...['-N', '2', '-n', '4', '-c', '8', '-g', '1', '-t', '90s', '-q', 'ci', '-B', 'hpc', '--requires=a|b', '-x'],
    ]);
  });

  it('are refused where Flux has nothing of the kind', () => {
    for (const request of [{ memory: 1 }, { qos: 'x' }, { reservation: 'x' }, { nodes: 1, tasks: 2, gpus: 3 }]) {
      assert.throws(() => flux.requestArguments(request), { code: 'ERR_SCHEDULER_VALUE' });
    }
  });

  for (const [words, seconds] of [
    ['-t 90s', 90],
    ['-t 5', 300],
    ['--time-limit=1h', 3600],
    ['-t 0', Number.POSITIVE_INFINITY],
    ['-t 2m -t 3m', 180],
  ] as const) {
    it(`reads ${words} as ${seconds} s`, () => assert.equal(flux.requestedTime(words.split(' ')), seconds));
  }
});

describe('arguments for Flux', () => {
  leavesOut(FLUX_GRAMMAR, {
    'sends the output elsewhere': ['--output=x'],
    'renames the job': ['--job-name=x'],
    'changes directory or environment': [
      '--cwd=/tmp',
      '--env=A=b',
      '--env-remove=A',
      '--env-file=x',
      '--rlimit=nofile',
    ],
  });
  refuses(FLUX_GRAMMAR, {
    'sends the output elsewhere': ['--error=x', '--label-io', '-o output.stdout.type=kvs', '--setopt=output.mode=x'],
    'gives it another input': ['--input=x'],
    'blocks or detaches': ['--wait', '--watch', '--wait-event=x', '--bg'],
    'makes several jobs': ['--cc=0-2', '--bcc=0-2'],
    'submits nothing': ['--dry-run', '--help'],
    'hides the id or changes its form': ['--quiet', '--log=x', '--jps', '-v'],
    'replaces the script': ['--wrap', 'other.sh', '--'],
    'is for the owner of the instance': ['--flags=waitable', '--flags=debug', '--conf=x'],
    'is not known': ['--outp=x', '--new-option'],
  });
  tells(FLUX_GRAMMAR, ['--urgency=0', '--begin-time=+1h', '--dependency=afterok:f1']);
  takes(FLUX_GRAMMAR, {
    '--nslots=4 --cores-per-slot 2': ['-n', '4', '-c', '2'],
    '-N2 -qdebug': ['-N', '2', '-q', 'debug'],
    '-o mpi=none': ['--setopt=mpi=none'],
    '--signal=USR1@60': ['--signal=USR1@60'],
  });
});
