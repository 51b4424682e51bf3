// One question for all jobs of an account.

import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mock, type TestContext, test } from 'node:test';
import { Overview } from '../../../../src/jacamar/executors/batch/overview.ts';
import { CLOCK } from '../../../../src/jacamar/executors/batch/patience.ts';
import type { Inquiry } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { Submissions } from '../../../../src/jacamar/executors/batch/submissions.ts';
import { batchHandoff, submissionEntry } from '../../../support/batch-handoff.ts';
import { FakeCommands } from '../../../support/fake-commands.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

/** Answers are lines `id state`, in the order of the ids; nothing at all is an outage. */
const inquiry: Inquiry = {
  about: (ids) => ({ program: 'queue', argv: ids }),
  read: ({ stdout, exitCode }) => {
    if (exitCode !== 0) return { kind: 'silent', why: 'no answer' };
    const lines = stdout.split('\n').map((line) => line.split(' '));
    return { kind: 'known', jobs: new Map(lines.map(([id = '', state = '']) => [id, { phase: 'pending', state }])) };
  },
};

/** A scheduler in which every job is in the state `state`; it counts how often it is asked. */
function setUp(context: TestContext, { slowMs = 0, tryLock = (): boolean => true, inquiry: asked = inquiry } = {}) {
  mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  context.after(() => mock.timers.reset());
  const base = scratchDirectory(context);
  const submissions = new Submissions(batchHandoff(base), 'slurm');
  const scheduler = { state: 'PENDING', isDown: false, asked: [] as (readonly string[])[] };
  const commands = new FakeCommands(({ argv }) => {
    scheduler.asked.push(argv);
    mock.timers.setTime(Date.now() + slowMs);
    const stdout = argv.map((id) => `${id} ${scheduler.state}`).join('\n');
    return { stdout, exitCode: scheduler.isDown ? 1 : 0 };
  });
  const bounds = { pollIntervalMinMs: 5_000, pollIntervalMaxMs: 60_000 };
  const lock = { tryLock };
  const clock = { ...CLOCK, now: () => Date.now() };
  const watcher = (id: string) => {
    const entry = submissionEntry(base, `ci-${id}`, id);
    submissions.write(entry);
    const overview = new Overview({ inquiry: asked, commands, submissions, bounds, lock, clock });
    return { look: async () => await overview.look(entry), entry };
  };
  return { scheduler, submissions, watcher };
}

/** Lets that many seconds pass, each of them with a look by everybody. */
async function pass(seconds: number, watchers: readonly { look(): Promise<unknown> }[]): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    mock.timers.setTime(Date.now() + 1_000);
    for (const watcher of watchers) await watcher.look();
  }
}

test('a young job is asked for after two seconds', async (t) => {
  const { scheduler, watcher } = setUp(t);
  const one = watcher('1');
  await pass(1, [one]);
  assert.equal(scheduler.asked.length, 0);
  await pass(1, [one]);
  assert.equal(scheduler.asked.length, 1);
  assert.deepEqual((await one.look())?.answer, { kind: 'listed', status: { phase: 'pending', state: 'PENDING' } });
});

test('thirty-two waiting jobs are asked for as rarely as one', async (t) => {
  const alone = setUp(t);
  await pass(600, [alone.watcher('1')]);
  mock.timers.reset();
  const together = setUp(t);
  await pass(
    600,
    Array.from({ length: 32 }, (_, index) => together.watcher(String(index))),
  );
  assert.ok(alone.scheduler.asked.length < 22, String(alone.scheduler.asked.length));
  // The pauses are random, within a fifth.
  assert.ok(
    together.scheduler.asked.length <= alone.scheduler.asked.length * 1.25,
    String(together.scheduler.asked.length),
  );
  assert.equal(together.scheduler.asked.at(-1)?.length, 32);
});

test('an answer is read once, however often those who wait look at it', async (t) => {
  let reads = 0;
  const read: Inquiry['read'] = (...answer) => {
    reads += 1;
    return inquiry.read(...answer);
  };
  const { scheduler, watcher } = setUp(t, { inquiry: { ...inquiry, read } });
  const watchers = [watcher('1'), watcher('2')];
  await pass(600, watchers);
  assert.equal((await watchers[1]?.look())?.answer.kind, 'listed');
  assert.equal(reads, scheduler.asked.length * watchers.length);
});

test('the pauses grow from five seconds to a minute while nothing happens', async (t) => {
  const { watcher } = setUp(t);
  const one = watcher('1');
  const intervals = new Set<number>();
  for (let second = 0; second < 900; second++) {
    await pass(1, [one]);
    intervals.add((await one.look())?.interval ?? 0);
  }
  const grown = [...intervals].filter((interval) => interval > 0);
  assert.equal(grown[0], 5_000);
  assert.equal(grown.at(-1), 60_000);
});

test('a change makes the pauses short again', async (t) => {
  const { scheduler, watcher } = setUp(t);
  const one = watcher('1');
  await pass(300, [one]);
  assert.notEqual((await one.look())?.interval, 5_000);
  scheduler.state = 'RUNNING';
  const intervals: (number | undefined)[] = [];
  for (let second = 0; second < 75; second++) {
    await pass(1, [one]);
    intervals.push((await one.look())?.interval);
  }
  // The next question, which hears of it, may come in the first of these seconds: the pauses are random.
  assert.ok(intervals.includes(5_000), intervals.join(' '));
});

test('reasons to wait that change all the time keep no pause short', async (t) => {
  let answers = 0;
  const read: Inquiry['read'] = (answer, ids) => {
    answers += 1;
    const reason = answers % 2 === 0 ? 'Priority' : 'Resources';
    return { kind: 'known', jobs: new Map(ids.map((id) => [id, { phase: 'pending', state: answer.stdout, reason }])) };
  };
  const { scheduler, watcher } = setUp(t, { inquiry: { ...inquiry, read } });
  await pass(600, [watcher('1')]);
  assert.ok(scheduler.asked.length < 22, String(scheduler.asked.length));
});

test('a new job does not wait for the long pause of the old ones', async (t) => {
  const { scheduler, watcher } = setUp(t);
  const old = watcher('1');
  await pass(600, [old]);
  const young = watcher('2');
  const before = scheduler.asked.length;
  await pass(8, [old, young]);
  assert.ok(scheduler.asked.length > before);
  assert.equal((await young.look())?.answer.kind, 'listed');
});

test('a scheduler that gives no answer is asked less and less, and is no end of a job', async (t) => {
  const { scheduler, watcher } = setUp(t);
  const one = watcher('1');
  scheduler.isDown = true;
  await pass(300, [one]);
  assert.equal((await one.look())?.answer.kind, 'silent');
  assert.ok(scheduler.asked.length < 15, String(scheduler.asked.length));
});

test('a slow scheduler is asked at most a fifth of the time', async (t) => {
  const { watcher } = setUp(t, { slowMs: 8_000 });
  const one = watcher('1');
  await pass(3, [one]);
  assert.equal((await one.look())?.interval, 40_000);
});

test('an ended submission is asked for no more', async (t) => {
  const { scheduler, submissions, watcher } = setUp(t);
  const [one, two] = [watcher('1'), watcher('2')];
  await pass(3, [one, two]);
  submissions.remove(two.entry);
  await pass(30, [one]);
  assert.deepEqual(scheduler.asked.at(-1), ['1']);
});

test('a site without the first form of the question is asked in the next one, once found by all', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  t.after(() => mock.timers.reset());
  const asked: string[] = [];
  const commands = () =>
    new FakeCommands(({ program, argv }) => {
      asked.push(program);
      return program === 'newer' ? { exitCode: 2 } : { stdout: argv.map((id) => `${id} R`).join('\n') };
    });
  const newer: Inquiry = {
    about: (ids) => ({ program: 'newer', argv: ids }),
    read: () => ({ kind: 'unavailable', why: 'usage' }),
    otherwise: inquiry,
  };
  const base = scratchDirectory(t);
  const submissions = new Submissions(batchHandoff(base), 'pbs');
  const bounds = { pollIntervalMinMs: 5_000, pollIntervalMaxMs: 60_000 };
  const parts = () => ({ inquiry: newer, commands: commands(), submissions, bounds, lock: { tryLock: () => true } });
  const watchers = ['1', '2'].map((id) => {
    const entry = submissionEntry(base, `ci-${id}`, id);
    submissions.write(entry);
    const overview = new Overview({ ...parts(), clock: CLOCK });
    return { look: () => overview.look(entry) };
  });
  await pass(60, watchers);
  assert.deepEqual(asked.slice(0, 2), ['newer', 'queue']);
  assert.ok(asked.length > 4 && asked.slice(2).every((program) => program === 'queue'), asked.join(' '));
  assert.equal((await watchers[1]?.look())?.answer.kind, 'listed');
});

test('a file system without locks costs more questions, and no job its end', async (t) => {
  const { scheduler, watcher } = setUp(t, {
    tryLock: () => {
      throw Object.assign(new Error('no locks available'), { code: 'ENOLCK' });
    },
  });
  const one = watcher('1');
  await pass(120, [one]);
  assert.equal((await one.look())?.answer.kind, 'listed');
  assert.ok(scheduler.asked.length < 15, String(scheduler.asked.length));
});

test('an answer that cannot be written down serves the one that asked, and is not asked for every second', async (t) => {
  const { scheduler, submissions, watcher } = setUp(t);
  const one = watcher('1');
  mkdirSync(join(submissions.directory, 'answer'));
  await pass(300, [one]);
  assert.equal((await one.look())?.answer.kind, 'listed');
  assert.ok(scheduler.asked.length < 15, String(scheduler.asked.length));
});

test('a job whose records were removed is asked for all the same', async (t) => {
  const { scheduler, submissions, watcher } = setUp(t);
  const one = watcher('1');
  await pass(60, [one]);
  rmSync(submissions.directory, { recursive: true });
  scheduler.state = 'GONE';
  await pass(300, [one]);
  assert.deepEqual((await one.look())?.answer, { kind: 'listed', status: { phase: 'pending', state: 'GONE' } });
  assert.ok(scheduler.asked.length < 20, String(scheduler.asked.length));
});

test('somebody who was stopped with the lock in his hands holds up the others for two minutes only', async (t) => {
  const { scheduler, watcher } = setUp(t, { tryLock: () => false });
  const one = watcher('1');
  await pass(100, [one]);
  assert.equal(scheduler.asked.length, 0);
  await pass(60, [one]);
  assert.equal((await one.look())?.answer.kind, 'listed');
});
