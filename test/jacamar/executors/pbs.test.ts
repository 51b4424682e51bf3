// What is said to PBS, and what is made of its answers: those of OpenPBS 23.06 as measured, and of others by their
// documents.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PBS_GRAMMAR } from '../../../src/jacamar/executors/pbs/options.ts';
import { pbs } from '../../../src/jacamar/executors/pbs.ts';
import { failed, formsOf, job, SUBMISSION, said, TIMED_OUT } from './answers.ts';
import { leavesOut, refuses, takes, tells } from './argument-rows.ts';

const NO_HISTORY = said('', 'PBS is not configured to maintain job history\n');
const NO_JSON = failed("qstat: invalid option -- 'F'\nusage: qstat [-f] [-x] ...\n", 2);
const UNKNOWN = failed('qstat: Unknown Job Id 12.server\n', 153);
const DOWN = failed('Connection refused\nqstat: cannot connect to server server (errno=15010)\n', 255);

const [historyJson, historyText, json, text] = formsOf(pbs.overview) as [
  ...[typeof pbs.overview, typeof pbs.overview, typeof pbs.overview, typeof pbs.overview],
];

const RUNNING = {
  Job_Name: 'ci-1',
  Job_Owner: 'a@server',
  resources_used: { cpupercent: 0, cput: '00:00:03', mem: '2048kb', ncpus: 4, walltime: '00:00:09' },
  job_state: 'R',
  queue: 'workq',
  server: 'server',
  Account_Name: 'hpc',
  exec_host: 'node1/0*2+node2/1*2',
  Resource_List: { mem: '4gb', ncpus: 4, nodect: 2, walltime: '01:00:00' },
  stime: 'Wed Nov 25 22:31:07 2026',
  substate: 42,
  Variable_List: { PBS_O_HOME: '/home/a', PBS_O_PATH: '/usr/bin:/bin' },
  comment: 'Job run at Wed Nov 25 at 22:31 on (node1:ncpus=2)+(node2:ncpus=2)',
  run_count: 1,
};
const asJson = (attributes: object, id = '12.server') =>
  said(JSON.stringify({ timestamp: 1, Jobs: { [id]: attributes } }));
const about = (attributes: object) => job(historyJson.read(asJson(attributes), ['12.server']), '12.server');
const ended = (Exit_status: number | undefined, more: object = {}) =>
  about({ job_state: 'F', ...(Exit_status === undefined ? {} : { Exit_status }), ...more }).end;

const TEXT = said(`Job Id: 12.server
    Job_Name = ci-1
    Job_Owner = a@server
    resources_used.cput = 00:00:03
    resources_used.mem = 2048kb
    resources_used.walltime = 00:00:09
    job_state = R
    queue = workq
    server = server
    Account_Name = hpc
    exec_host = node1/0*2+node2/1*2
    Resource_List.mem = 4gb
    Resource_List.ncpus = 4
    Resource_List.nodect = 2
    Resource_List.walltime = 01:00:00
    stime = Wed Nov 25 22:31:07 2026
    substate = 42
    Variable_List = PBS_O_HOME=/home/a,PBS_O_LANG=en_US.UTF-8,PBS_O_LOGNAME=a,
\tPBS_O_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin,
\tPBS_O_SHELL=/bin/bash
    comment = Job run at Wed Nov 25 at 22:31 on (node1:ncpus=2)+(node2:n
\tcpus=2)
    run_count = 1

`);

describe('a submission to PBS', () => {
  it('has ours behind the arguments of the user: in the foreground, never run again, written where it is read', () => {
    const { program, argv } = pbs.submit({ ...SUBMISSION, arguments: ['-q', 'ci'] });
    assert.equal(program, 'qsub');
    assert.deepEqual(argv, [
      ...['-q', 'ci', '-f', '-r', 'n', '-N', 'ci-302_ab', '-j', 'oe', '-k', 'oed', '-o', SUBMISSION.output],
      SUBMISSION.wrapper,
    ]);
  });

  it('is one when qsub answers with an id and nothing else', () => {
    assert.deepEqual(pbs.readSubmitted(said('12.server\n')), { kind: 'accepted', id: '12.server' });
  });

  it('that became an array is refused, and told by an id with which it can be cancelled', () => {
    const submitted = pbs.readSubmitted(said('29[].server\n'));
    assert.equal(submitted.kind === 'refused' && submitted.orphan, '29[].server');
    assert.deepEqual(pbs.cancel('29[].server').argv, ['29[].server']);
  });

  for (const stdout of ['', '12\n', '12.server\n13.server\n', 'qsub: hello\n']) {
    it(`is doubtful after exit code 0 and the answer ${JSON.stringify(stdout)}`, () => {
      assert.equal(pbs.readSubmitted(said(stdout)).kind, 'doubtful');
    });
  }

  it('is doubtful when the server was away, and when qsub did not come to its end', () => {
    const away = failed('Connection refused\nqsub: cannot connect to server server (errno=15010)\n', 162);
    for (const answer of [away, TIMED_OUT, failed('qsub: End of File\n', 1)]) {
      assert.equal(pbs.readSubmitted(answer).kind, 'doubtful');
    }
  });

  for (const [stderr, exitCode] of [
    ['qsub: Unknown queue', 170],
    ['qsub: Illegal attribute or resource value Resource_List.select', 166],
  ] as const) {
    it(`is refused after exit code ${exitCode}, "${stderr}"`, () => {
      const submitted = pbs.readSubmitted(failed(`${stderr}\n`, exitCode));
      assert.deepEqual(submitted, { kind: 'refused', why: stderr.replace('qsub: ', '') });
    });
  }
});

describe('a submission to Torque', () => {
  it('is tried without direct writing when qsub does not know that', () => {
    for (const stderr of ['qsub: illegal -k value\n', "qsub: invalid option -- 'f'\n", 'usage: qsub [-a date_time]\n'])
      assert.equal(pbs.readSubmitted(failed(stderr, 2)).kind, 'unavailable', stderr);
    const argv = pbs.submitOtherwise?.({ ...SUBMISSION, arguments: ['-q', 'ci'] }).argv;
    assert.deepEqual(argv?.slice(0, 2), ['-q', 'ci']);
    assert.ok(argv?.includes(SUBMISSION.spool) && !argv.includes('-k') && !argv.includes('-f'));
    assert.equal(argv?.at(-1), SUBMISSION.wrapper);
  });
});

describe('the search for a job of PBS by its name', () => {
  it('looks among the ended ones, too, where the site remembers them', () => {
    assert.deepEqual(pbs.byName.about('ci-1').argv, ['-x', '-N', 'ci-1']);
    assert.equal(
      pbs.byName.read(said('', 'qselect: PBS is not configured to maintain job history\n'), 'ci-1'),
      'unavailable',
    );
    assert.deepEqual(pbs.byName.otherwise?.about('ci-1').argv, ['-N', 'ci-1']);
  });

  it('finds none or one, and knows nothing without an answer', () => {
    assert.deepEqual(pbs.byName.read(said(''), 'ci-1'), []);
    assert.deepEqual(pbs.byName.read(said('12.server\n'), 'ci-1'), ['12.server']);
    for (const answer of [failed('Connection refused\n', 162), TIMED_OUT]) {
      assert.equal(pbs.byName.read(answer, 'ci-1'), undefined);
    }
  });
});

describe('qstat', () => {
  it('is asked in four forms: with and without history, in JSON and in words', () => {
    assert.deepEqual(
      formsOf(pbs.overview).map((form) => form.about(['12.server']).argv),
      [
        ['-x', '-f', '-F', 'json', '12.server'],
        ['-x', '-f', '12.server'],
        ['-f', '-F', 'json', '12.server'],
        ['-f', '12.server'],
      ],
    );
  });

  for (const [why, form, answer] of [
    ['it keeps no history', historyJson, NO_HISTORY],
    ['it writes no JSON', historyJson, NO_JSON],
    ['its JSON is broken', historyJson, said('{"Jobs":{"12.server":{"Variable_List":{"A":"\n')],
    ['it keeps no history, in words', historyText, NO_HISTORY],
    ['-x means XML', historyText, said('<Data><Job><Job_Id>12.server</Job_Id></Job></Data>\n')],
    ['it writes no JSON, without history', json, NO_JSON],
  ] as const) {
    it(`is asked in the next form where ${why}`, () => {
      assert.equal(form.read(answer, ['12.server']).kind, 'unavailable');
      assert.notEqual(form.otherwise, undefined);
    });
  }

  it('says the same in JSON and in words', () => {
    const inWords = job(text.read(TEXT, ['12.server']), '12.server');
    assert.deepEqual(inWords, about(RUNNING));
    assert.deepEqual(inWords, {
      phase: 'running',
      state: 'R',
      partition: 'workq',
      account: 'hpc',
      timeLimit: 3600,
      startedAt: new Date('Wed Nov 25 22:31:07 2026').getTime(),
      nodes: 'node1+node2',
      nodeCount: 2,
      restarts: 0,
      usage: {
        ...{ wallSeconds: 9, wallLimitSeconds: 3600, cpuSeconds: 3, cpus: 4 },
        ...{ memoryPeak: 2048 * 1024, memoryAsked: 4 * 1024 ** 3 },
      },
    });
  });

  it('puts lines together that are too long for qstat', () => {
    const answer = said(
      'Job Id: 12.server\n    job_state = Q\n    comment = Not Running: Insufficient amount of re\n\tsource: ncpus\n\n',
    );
    assert.equal(
      job(text.read(answer, ['12.server']), '12.server').reason,
      'Not Running: Insufficient amount of resource: ncpus',
    );
  });

  for (const [letter, phase] of [
    ...(['Q', 'H', 'W', 'T', 'M'] as const).map((each) => [each, 'pending'] as const),
    ...(['R', 'S', 'U', 'B'] as const).map((each) => [each, 'running'] as const),
    ['E', 'ending'] as const,
    ...(['F', 'X', 'C'] as const).map((each) => [each, 'ended'] as const),
  ]) {
    it(`calls ${letter} ${phase}`, () => assert.equal(about({ job_state: letter }).phase, phase));
  }

  it('takes a letter that it does not know for no end', () => {
    assert.deepEqual([about({ job_state: 'Z' }).phase, about({ job_state: 'Z' }).isUnknownState], ['running', true]);
  });

  const statuses: readonly (readonly [number | undefined, object, object?])[] = [
    [0, { kind: 'completed', exitCode: 0 }],
    [7, { kind: 'failed', exitCode: 7 }],
    [137, { kind: 'failed', exitCode: 137 }],
    [255, { kind: 'failed', exitCode: 255 }],
    [271, { kind: 'cancelled', signal: 15 }],
    [265, { kind: 'cancelled', signal: 9 }],
    [-29, { kind: 'time-limit' }],
    [-27, { kind: 'out-of-memory' }],
    [-26, { kind: 'out-of-memory' }],
    [-28, { kind: 'failed', note: 'it used more CPU time than it asked for' }],
    [-25, { kind: 'failed', note: 'it used more CPUs than it asked for' }],
    [-24, { kind: 'failed', note: 'it used more CPUs than it asked for' }],
    ...[-1, -2, -3, -10, -11, -14, -16, -19, -20, -21, -22, -30].map(
      (status) => [status, { kind: 'start-failure', note: `Exit_status ${status}` }] as const,
    ),
    [-10, { kind: 'out-of-memory' }, { job_state: 'C' }],
    [-11, { kind: 'time-limit' }, { job_state: 'C' }],
    [-12, { kind: 'failed', note: 'it used more CPU time than it asked for' }, { job_state: 'C' }],
    [-3, { kind: 'start-failure', note: 'Exit_status -3' }, { job_state: 'C' }],
    [undefined, { kind: 'cancelled' }, { substate: 91 }],
    [undefined, { kind: 'failed' }, { substate: 92 }],
  ];
  for (const [status, end, more] of statuses) {
    it(`takes Exit_status ${status ?? 'none'} ${more === undefined ? '' : `with ${JSON.stringify(more)} `}for ${JSON.stringify(end)}`, () => {
      assert.deepEqual(ended(status, more), end);
    });
  }

  it('knows a hold that no release can mend: it was begun too often', () => {
    const comment = 'job held, too many failed attempts to run';
    const status = about({ job_state: 'H', comment, Exit_status: -3, run_count: 21 });
    assert.equal(status.phase, 'pending');
    assert.deepEqual(status.stuck, { kind: 'start-failure', note: comment });
    assert.equal(about({ job_state: 'H', comment: 'Job held by a on Wed Nov 25' }).stuck, undefined);
  });

  it('sees that a job was begun again, and that an array is several', () => {
    assert.equal(about({ ...RUNNING, run_count: 2 }).restarts, 1);
    assert.equal(about({ ...RUNNING, array: 'True' }).isSeveral, true);
  });

  it('tells why a job waits, and when it may start', () => {
    const waits = about({ job_state: 'Q', comment: 'Not Running: Insufficient amount of resource: ncpus ' });
    assert.equal(waits.reason, 'Not Running: Insufficient amount of resource: ncpus');
    assert.equal(about({ job_state: 'Q' }).reason, 'Q');
    const estimated = { start_time: 'Wed Nov 25 23:00:00 2026', exec_vnode: '(node1:ncpus=1)' };
    assert.equal(about({ job_state: 'Q', estimated }).expectedStart, new Date('Wed Nov 25 23:00:00 2026').getTime());
  });

  it('knows nothing of a job that has left', () => {
    for (const answer of [UNKNOWN, failed('qstat: 12.server Job has finished, use -x or -H\n', 35)]) {
      assert.deepEqual(json.read(answer, ['12.server']), { kind: 'known', jobs: new Map() });
    }
    const mixed = { ...asJson(RUNNING, '13.server'), stderr: UNKNOWN.stderr, exitCode: 153 };
    const inquired = json.read(mixed, ['12.server', '13.server']);
    assert.deepEqual(inquired.kind === 'known' && [...inquired.jobs.keys()], ['13.server']);
  });

  for (const [title, answer] of [
    ['the server is away', DOWN],
    ['it takes too long', TIMED_OUT],
    ['it fails without a word', failed('', 1)],
  ] as const) {
    it(`says nothing about jobs when ${title}`, () => {
      for (const form of formsOf(pbs.overview)) assert.equal(form.read(answer, ['12.server']).kind, 'silent');
    });
  }
});

describe('the output of a job of PBS', () => {
  const read = (output: string) => pbs.endLog?.read(output);

  it('tells the limit for which PBS killed it', () => {
    assert.deepEqual(read('a\n=>> PBS: job killed: walltime 10 exceeded limit 3\n'), { kind: 'time-limit' });
    assert.deepEqual(read('=>> PBS: job killed: mem 9kb exceeded limit 8kb\nbye\n'), { kind: 'out-of-memory' });
    assert.deepEqual(read('=>> PBS: job killed: cput 9 exceeded limit 8\n'), {
      kind: 'failed',
      note: 'PBS killed it for cput',
    });
  });

  it('tells nothing when the words stand far above its end, or within a line', () => {
    assert.equal(read(`=>> PBS: job killed: walltime 1\n${'x'.repeat(5_000)}\n`), undefined);
    assert.equal(read('echo "=>> PBS: job killed: walltime 1"\n'), undefined);
  });
});

describe('reasons of PBS', () => {
  it('are told in plain words', () => {
    for (const [word, pattern] of [
      ['Not Running: Insufficient amount of resource: ncpus', /until what it asks for is free/],
      ['Not Running: Queue not started.', /starts no jobs/],
      ['Not Running: User has reached queue workq running job limit.', /limit/],
      ['H', /qrls/],
      ['W', /begin time/],
    ] as const) {
      assert.match(pbs.reason(word).text, pattern);
      assert.equal(pbs.reason(word).isNever, false);
    }
  });

  it('that a job can never run must last, since a server that has just started says it of every job', () => {
    assert.equal(pbs.reason('Can Never Run: Insufficient amount of resource: ncpus (R: 99 A: 8 T: 8)').isNever, true);
    assert.ok(pbs.neverAfterMs > 600_000);
  });
});

describe('a cancel of a job of PBS', () => {
  it('is never made without an id', () => {
    assert.deepEqual(pbs.cancel('12.server'), { program: 'qdel', argv: ['12.server'] });
    for (const id of ['', 'all', '12', '-x']) assert.throws(() => pbs.cancel(id));
  });

  it('has reached PBS, also when the job is over or unknown', () => {
    assert.ok(pbs.readCancelled(said('')));
    assert.ok(pbs.readCancelled(failed('qdel: Unknown Job Id 12.server\n', 153)));
    assert.ok(pbs.readCancelled(failed('qdel: Job has finished 12.server\n', 35)));
    assert.ok(!pbs.readCancelled(failed('Connection refused\nqdel: cannot connect to server\n', 162)));
    assert.ok(!pbs.readCancelled(failed('qdel: Unauthorized Request  12.server\n', 159)));
  });

  it('is given the delay that PBS spends in full', () => assert.ok(pbs.cancelLimitMs > 10_000));
});

describe('typed keys for PBS', () => {
  it('are one chunk for each node', () => {
    const request = { nodes: 2, tasks: 4, cpusPerTask: 3, gpus: 1, memory: 2 * 1024 ** 3, time: 5400 };
    assert.deepEqual(pbs.requestArguments({ ...request, partition: 'ci', account: 'hpc', exclusive: true }), [
      ...['-l', 'select=2:ncpus=6:mpiprocs=2:ngpus=1:mem=2048mb', '-l', 'walltime=01:30:00', '-l', 'place=excl'],
      ...['-q', 'ci', '-A', 'hpc'],
    ]);
    assert.deepEqual(pbs.requestArguments({ nodes: 3 }), ['-l', 'select=3']);
    assert.deepEqual(pbs.requestArguments({}), []);
  });

  it('are refused where PBS has nothing of the kind', () => {
    for (const request of [{ qos: 'x' }, { constraint: 'x' }, { reservation: 'x' }, { nodes: 2, tasks: 3 }]) {
      assert.throws(() => pbs.requestArguments(request), { code: 'ERR_SCHEDULER_VALUE' });
    }
  });

  for (const [words, seconds] of [
    ['-l walltime=01:30:00', 5400],
    ['-l select=1:ncpus=2,walltime=90', 90],
    ['-lwalltime=10:00', 600],
    ['-l select=2', undefined],
  ] as const) {
    it(`reads ${words} as ${seconds} s`, () => assert.equal(pbs.requestedTime(words.split(' ')), seconds));
  }
});

describe('arguments for PBS', () => {
  leavesOut(PBS_GRAMMAR, {
    'sends the output elsewhere': ['-o x', '-e x', '-j n', '-k n', '-k oe'],
    'renames the job': ['-N x'],
    detaches: ['-f'],
    'runs it twice': ['-r y'],
    'reads directives': ['-C #PBS'],
    'changes the environment': ['-V', '-v A=b'],
  });
  refuses(PBS_GRAMMAR, {
    'sends the output elsewhere': ['-R oe', '-W sandbox=PRIVATE', '-W umask=0022', '-W stageout=x@y:z'],
    'is for a terminal': ['-I', '-X', '-G'],
    'blocks or detaches': ['-W block=true'],
    'makes several jobs': ['-J 0-2', '-t 0-2'],
    'submits nothing': ['--version'],
    'hides the id': ['-z'],
    'replaces the script': ['-S /bin/sh', 'other.sh', '-- /bin/true', '-'],
    'runs it twice': ['-c s'],
    'runs it as somebody else': ['-u root'],
    'changes reservations': ['-W create_resv_from_job=true'],
    'is not known': ['--outp', '-Y'],
  });
  tells(PBS_GRAMMAR, ['-h', '-a 2359']);
  takes(PBS_GRAMMAR, {
    '-l select=2:ncpus=4 -q ci': ['-l', 'select=2:ncpus=4', '-q', 'ci'],
    '-lwalltime=1:0:0 -Ahpc': ['-l', 'walltime=1:0:0', '-A', 'hpc'],
    '-W depend=afterok:12.server': ['-W', 'depend=afterok:12.server'],
    '-P project -p 10': ['-P', 'project', '-p', '10'],
  });
});
