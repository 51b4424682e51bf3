// Watching a job to its end, with a scheduler made of words and a clock that only moves when somebody waits.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Commands } from '../../../../src/jacamar/executors/batch/commands.ts';
import { JobDirectory } from '../../../../src/jacamar/executors/batch/job-directory.ts';
import { JobLog } from '../../../../src/jacamar/executors/batch/job-log.ts';
import { Overview } from '../../../../src/jacamar/executors/batch/overview.ts';
import type { Clock } from '../../../../src/jacamar/executors/batch/patience.ts';
import type {
  EndLog,
  Inquired,
  Inquiry,
  JobStatus,
  Scheduler,
} from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { Submissions } from '../../../../src/jacamar/executors/batch/submissions.ts';
import { Tail } from '../../../../src/jacamar/executors/batch/tail.ts';
import type { OwnStop } from '../../../../src/jacamar/executors/batch/verdict.ts';
import { type Ending, type Seen, watch } from '../../../../src/jacamar/executors/batch/watch.ts';
import { batchHandoff, submissionEntry } from '../../../support/batch-handoff.ts';
import { FakeCommands } from '../../../support/fake-commands.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

const ID = '7';
const PENDING: JobStatus = { phase: 'pending', state: 'PENDING' };
const RUNNING: JobStatus = { phase: 'running', state: 'RUNNING', restarts: 0 };
const COMPLETED: JobStatus = { phase: 'ended', state: 'COMPLETED', end: { kind: 'completed', exitCode: 0 } };
const CANCELLED: JobStatus = { phase: 'ended', state: 'CANCELLED', end: { kind: 'cancelled' } };
const OUTAGE = { kind: 'silent', why: 'cannot reach the controller' } as const;

/** What each question is answered with; `undefined` in place of a status: not known. */
interface World {
  overview: JobStatus | undefined | typeof OUTAGE;
  details: JobStatus | undefined | typeof OUTAGE;
  history: JobStatus | undefined | typeof OUTAGE;
  cancelled: number;
  asked: number;
  seconds(): number;
  /** Things that happen at a second of the job's life. */
  at(second: number, act: () => void): void;
  exit(code: number): void;
  started(): void;
  again(): void;
  stop(reason: string): void;
  seen: Seen[];
  /** What the scheduler writes into a file of the job. */
  write(text: string): void;
  end(options?: { comment?: (seen: Seen) => OwnStop | undefined; endLog?: EndLog }): Promise<Ending>;
}

function world(context: TestContext): World {
  const base = scratchDirectory(context);
  const directory = new JobDirectory(base, 'ci-1');
  mkdirSync(directory.path);
  const marker = (name: string, text: string) =>
    writeFileSync(join(directory.path, name), `${directory.nonce}\n${text}`);
  const stop = new AbortController();
  const plans: { second: number; act: () => void }[] = [];
  let milliseconds = 0;
  const clock: Clock = {
    now: () => milliseconds,
    date: () => 1_000_000 + milliseconds,
    async pause(duration) {
      milliseconds += duration;
      for (const plan of plans.filter(({ second }) => second * 1_000 <= milliseconds)) {
        plans.splice(plans.indexOf(plan), 1);
        plan.act();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  const here: World = {
    ...{ overview: PENDING, details: undefined, history: undefined, cancelled: 0, asked: 0, seen: [] },
    seconds: () => milliseconds / 1_000,
    at: (second, act) => void plans.push({ second, act }),
    exit: (code) => marker('exit', `${code} regular file 0\nstarted ''\nbegun\nended ${code}\n`),
    started: () => marker('started', 'node1\n'),
    again: () => marker('again', 'node2\n'),
    stop: (reason) => stop.abort(reason),
    write: (text) => writeFileSync(join(directory.path, 'end'), text),
    async end({ comment = () => undefined, endLog } = {}) {
      const submissions = new Submissions(batchHandoff(base), 'slurm');
      const entry = submissionEntry(base, 'ci-1', ID, clock.date());
      submissions.write(entry);
      const { history, ...forgetful } = schedulerOf(here);
      const scheduler =
        endLog === undefined || history === undefined ? ({ ...forgetful, history } as Scheduler) : forgetful;
      const commands = commandsOf(here);
      const bounds = { pollIntervalMinMs: 5_000, pollIntervalMaxMs: 60_000 };
      const lock = { tryLock: () => true };
      const log = new JobLog(async () => {});
      const tail = new Tail(directory.output, 1024 * 1024, log);
      context.after(() => tail.close());
      return await watch({
        ...{ entry, scheduler, commands, directory, log, tail, clock, endLog, stop: stop.signal },
        overview: new Overview({ inquiry: scheduler.overview, commands, submissions, bounds, lock, clock }),
        patience: { nfsTimeoutMs: 30_000, killTimeoutMs: 30_000 },
        comment: async (seen) => {
          here.seen.push(seen);
          return comment(seen);
        },
      });
    },
  };
  return here;
}

type Source = 'overview' | 'details' | 'history';

function schedulerOf(here: World): Scheduler {
  const inquiry = (name: Source): Inquiry => ({
    about: () => ({ program: name, argv: [] }),
    read: () => read(here[name]),
  });
  const only = {
    ...{ overview: inquiry('overview'), details: inquiry('details'), history: inquiry('history') },
    title: 'Slurm',
    cancelLimitMs: 20_000,
    cancel: () => ({ program: 'cancel', argv: [] }),
    readCancelled: () => here.overview !== OUTAGE,
  };
  return only as unknown as Scheduler; // nothing else of it is needed to watch
}

function read(answer: World[Source]): Inquired {
  if (answer === OUTAGE) return OUTAGE;
  const found = answer as JobStatus | undefined;
  return { kind: 'known', jobs: new Map(found === undefined ? [] : [[ID, found]]) };
}

function commandsOf(here: World): Commands {
  return new FakeCommands(({ program }) => {
    if (program === 'cancel') here.cancelled += 1;
    else here.asked += 1;
    return {};
  });
}

describe('a job that ends', () => {
  it('is noticed by its marker within four seconds, whenever the scheduler is asked next', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = COMPLETED;
    here.at(300, () => here.exit(0));
    const ending = await here.end();
    assert.ok(here.seconds() < 304, String(here.seconds()));
    assert.equal(ending.exit?.progress.scriptCode, 0);
    assert.equal(ending.status?.state, 'COMPLETED');
  });

  it('is looked for rarely while nothing happens, and often when something does', async (t) => {
    const here = world(t);
    const looks = (from: number, to: number) =>
      here.seen.filter(({ elapsedMs }) => elapsedMs >= from * 1_000 && elapsedMs < to * 1_000).length;
    here.details = COMPLETED;
    here.at(300, () => here.started());
    here.at(310, () => here.exit(0));
    await here.end();
    assert.ok(looks(200, 290) <= 40, `${looks(200, 290)} looks in 90 s`);
    assert.ok(looks(300, 308) >= 4, `${looks(300, 308)} looks in 8 s`);
  });

  it('is reported by its marker after a minute when the scheduler goes on calling it running', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = RUNNING;
    here.at(10, () => here.exit(3));
    const ending = await here.end();
    assert.ok(here.seconds() > 69 && here.seconds() < 90, String(here.seconds()));
    assert.equal(ending.exit?.progress.scriptCode, 3);
  });

  it('and is put back into the queue before that is told has not ended, and is cancelled', async (t) => {
    const here = world(t);
    here.overview = { phase: 'ended', state: 'NODE_FAIL', end: { kind: 'node-failure' } };
    here.details = { ...PENDING, restarts: 1 };
    const ending = await here.end();
    assert.equal(ending.ownStop, 'requeued');
    assert.ok(here.cancelled > 0);
  });

  it('in an outage is judged by the word of the scheduler that comes a little later', async (t) => {
    const here = world(t);
    here.overview = OUTAGE;
    here.details = OUTAGE;
    here.exit(0);
    here.at(20, () => {
      here.details = { phase: 'ended', state: 'OUT_OF_MEMORY', end: { kind: 'out-of-memory' } };
    });
    const ending = await here.end();
    assert.equal(ending.status?.end?.kind, 'out-of-memory');
  });

  it('in an outage that began while it waited is not taken for one that waits again', async (t) => {
    const here = world(t);
    here.details = OUTAGE;
    here.at(10, () => here.exit(0));
    here.at(40, () => {
      here.details = COMPLETED;
    });
    assert.equal((await here.end()).ownStop, undefined);
    assert.equal(here.cancelled, 0);
  });

  it('is known by its marker when the scheduler has forgotten it', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.at(10, () => here.exit(7));
    const ending = await here.end();
    assert.equal(ending.exit?.progress.scriptCode, 7);
    assert.equal(ending.lost, undefined);
  });

  it('without a marker is given the time that a network file system needs', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.started();
    here.at(20, () => {
      here.overview = COMPLETED;
      here.details = COMPLETED;
    });
    here.at(40, () => here.exit(0));
    const ending = await here.end();
    assert.equal(ending.exit?.progress.scriptCode, 0);
  });

  it('without a marker in the end is told as the scheduler tells it', async (t) => {
    const here = world(t);
    here.started();
    here.overview = COMPLETED;
    here.details = COMPLETED;
    const ending = await here.end();
    assert.equal(ending.exit, undefined);
    assert.equal(ending.status?.state, 'COMPLETED');
    assert.ok(here.seconds() >= 30);
  });

  it('before it ran is told at once, since no marker can come', async (t) => {
    const here = world(t);
    here.at(10, () => {
      here.overview = CANCELLED;
      here.details = CANCELLED;
    });
    await here.end();
    assert.ok(here.seconds() < 25, String(here.seconds()));
  });
});

describe('a job that is not listed', () => {
  it('is not lost after one answer', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.at(20, () => {
      here.overview = undefined;
    });
    here.at(50, () => {
      here.overview = RUNNING;
      here.details = COMPLETED;
    });
    here.at(300, () => here.exit(0));
    assert.equal((await here.end()).lost, undefined);
  });

  it('is lost when no source knows it for several rounds, and the evidence is told', async (t) => {
    const here = world(t);
    here.overview = undefined;
    const ending = await here.end();
    assert.equal(here.cancelled, 1, 'in case that the scheduler finds it again');
    assert.match(ending.lost?.join('\n') ?? '', /not listed in [0-9]+ answers.*\n.*none\n.*files of the job/s);
    assert.ok(here.seconds() > 2.5 * 5 + 30, String(here.seconds()));
  });

  it('is not lost while a second source gives no answer', async (t) => {
    const here = world(t);
    here.overview = undefined;
    here.details = OUTAGE;
    here.at(1_200, () => here.exit(0));
    assert.equal((await here.end()).lost, undefined);
  });

  it('is found in the history', async (t) => {
    const here = world(t);
    here.started();
    here.overview = undefined;
    here.history = { phase: 'ended', state: 'TIMEOUT', end: { kind: 'time-limit' } };
    const ending = await here.end();
    assert.equal(ending.lost, undefined);
    assert.equal(ending.status?.state, 'TIMEOUT');
  });
});

describe('a scheduler that gives no answer', () => {
  it('for ten minutes is no end of the job', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.at(10, () => {
      here.overview = OUTAGE;
      here.details = OUTAGE;
    });
    here.at(610, () => {
      here.overview = RUNNING;
      here.details = COMPLETED;
    });
    here.at(900, () => here.exit(0));
    const ending = await here.end();
    assert.equal(ending.exit?.progress.scriptCode, 0);
    assert.ok(here.seen.some(({ silence }) => silence === OUTAGE.why));
    assert.equal(here.seen.at(-1)?.silence, undefined);
  });

  it('does not hide the end of the job', async (t) => {
    const here = world(t);
    here.overview = OUTAGE;
    here.details = OUTAGE;
    here.at(100, () => here.exit(0));
    const ending = await here.end();
    assert.equal(ending.exit?.progress.scriptCode, 0);
    assert.ok(here.seconds() < 180, String(here.seconds()));
  });
});

describe('a job that is begun again', () => {
  for (const [how, act] of [
    ['by its own word', (here: World) => here.again()],
    ['by the count of the scheduler', (here: World) => Object.assign(here, { overview: { ...PENDING, restarts: 1 } })],
    ['by that count alone', (here: World) => Object.assign(here, { overview: { ...RUNNING, restarts: 1 } })],
    ['waiting again after it ran', (here: World) => Object.assign(here, { overview: PENDING })],
  ] as const) {
    it(`is cancelled: ${how}`, async (t) => {
      const here = world(t);
      here.overview = RUNNING;
      here.started();
      here.details = CANCELLED;
      here.at(30, () => act(here));
      const ending = await here.end();
      assert.equal(ending.ownStop, 'requeued');
      assert.equal(here.cancelled, 1);
    });
  }

  it('is none that the scheduler could only start at the second attempt', async (t) => {
    const here = world(t);
    here.details = { ...COMPLETED, restarts: 1 };
    here.at(10, () => {
      here.overview = { ...RUNNING, restarts: 1 };
    });
    here.at(20, () => here.started());
    here.at(60, () => here.exit(0));
    const ending = await here.end();
    assert.equal(ending.ownStop, undefined);
    assert.equal(ending.exit?.progress.scriptCode, 0);
    assert.equal(here.cancelled, 0);
  });

  it('is cancelled although its first run has left a result', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = { ...PENDING, restarts: 1 };
    here.at(10, () => here.exit(143));
    const ending = await here.end();
    assert.equal(ending.ownStop, 'requeued');
    assert.ok(here.seconds() < 40, String(here.seconds()));
  });

  for (const [how, answer] of [
    ['is silent', OUTAGE],
    ['does not list it', undefined],
  ] as const) {
    it(`is none that began while the scheduler ${how}`, async (t) => {
      const here = world(t);
      here.at(10, () => {
        here.started();
        here.overview = answer;
        here.details = OUTAGE;
      });
      here.at(200, () => here.exit(0));
      here.at(210, () => {
        here.details = COMPLETED;
      });
      const ending = await here.end();
      assert.equal(ending.ownStop, undefined);
      assert.equal(here.cancelled, 0);
    });
  }

  it('is not seen in an answer from before it ran', async (t) => {
    const here = world(t);
    here.overview = PENDING;
    here.details = COMPLETED;
    here.at(4, () => {
      here.started();
      here.overview = RUNNING;
    });
    here.at(60, () => here.exit(0));
    assert.equal((await here.end()).ownStop, undefined);
  });
});

describe('an end that we want', () => {
  it('comes at once when the stage shall end, and is known to have come', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = RUNNING;
    here.at(30, () => here.stop('SIGTERM'));
    here.at(35, () => {
      here.details = CANCELLED;
    });
    const ending = await here.end();
    assert.equal(ending.ownStop, 'stopped');
    assert.equal(ending.isPerhapsAlive, false);
    assert.equal(here.cancelled, 1);
  });

  it('is tried again and again while the scheduler does not hear it, and left to cleanup in the end', async (t) => {
    const here = world(t);
    here.overview = OUTAGE;
    here.details = OUTAGE;
    here.at(30, () => here.stop('SIGTERM'));
    const ending = await here.end();
    assert.ok(here.cancelled > 3);
    assert.equal(ending.isPerhapsAlive, true);
    assert.ok(here.seconds() < 60, String(here.seconds()));
  });

  it('comes when a limit says so', async (t) => {
    const here = world(t);
    here.details = CANCELLED;
    const ending = await here.end({ comment: ({ answers }) => (answers >= 3 ? 'never-starts' : undefined) });
    assert.equal(ending.ownStop, 'never-starts');
    assert.equal(here.cancelled, 1);
  });

  it('has not come while the scheduler calls the job ended and then ending again', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = CANCELLED;
    here.at(30, () => here.stop('SIGTERM'));
    here.at(30.1, () => {
      here.details = { ...RUNNING, phase: 'ending', state: 'COMPLETING' };
    });
    here.at(36, () => {
      here.details = CANCELLED;
    });
    const ending = await here.end();
    assert.equal(ending.status?.state, 'CANCELLED');
    assert.ok(here.seconds() >= 36, String(here.seconds()));
  });

  it('waits for the last word of a job that ran, as long as a network file system may need', async (t) => {
    const here = world(t);
    here.overview = RUNNING;
    here.details = CANCELLED;
    here.started();
    here.at(20, () => here.exit(143));
    const ending = await here.end({ comment: ({ elapsedMs }) => (elapsedMs > 5_000 ? 'budget' : undefined) });
    assert.equal(ending.exit?.progress.scriptCode, 143);
    assert.equal(ending.ownStop, 'budget');
  });

  it('comes for a job that will never go on, and is told as what made it so', async (t) => {
    const here = world(t);
    here.overview = { ...PENDING, stuck: { kind: 'start-failure', note: 'too many failed attempts' } };
    here.details = CANCELLED;
    const ending = await here.end();
    assert.equal(here.cancelled, 1);
    assert.equal(ending.status?.end?.kind, 'start-failure');
  });

  it('comes for a job that is several', async (t) => {
    const here = world(t);
    here.overview = { ...PENDING, isSeveral: true };
    here.details = CANCELLED;
    assert.equal((await here.end()).ownStop, 'several-jobs');
  });
});

describe('a file in which the scheduler tells the end', () => {
  const endLog: EndLog = {
    fileName: () => 'end',
    isCertain: true,
    read: (text) => (text === 'out of time' ? { kind: 'time-limit' } : undefined),
    isSkipped: () => false,
  };

  it('says how a job ended that nobody knows any more', async (context) => {
    const here = world(context);
    here.started();
    here.overview = RUNNING;
    here.at(20, () => {
      here.overview = undefined;
      here.write('out of time');
    });
    const { status, lost } = await here.end({ endLog });
    assert.deepEqual([status?.phase, status?.end?.kind, lost], ['ended', 'time-limit', undefined]);
  });

  it('is waited for when the script has ended, as long as a file may come late', async (context) => {
    const here = world(context);
    here.exit(143);
    here.overview = undefined;
    here.at(10, () => here.write('out of time'));
    const { status, exit } = await here.end({ endLog });
    assert.deepEqual([status?.end?.kind, exit?.shellCode], ['time-limit', 143]);
  });

  it('is not waited for without end, and not at all where not every job has one', async (context) => {
    for (const [isCertain, least] of [
      [true, 30],
      [false, 0],
    ] as const) {
      const here = world(context);
      here.exit(0);
      const { status } = await here.end({ endLog: { ...endLog, isCertain } });
      assert.equal(status?.end, undefined);
      assert.ok(here.seconds() >= least && here.seconds() < least + 5, `${here.seconds()} s`);
    }
  });
});
