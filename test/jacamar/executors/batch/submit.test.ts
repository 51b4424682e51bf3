// A job is given to the scheduler exactly once.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { JobError, SystemFailure } from '../../../../src/contract/errors.ts';
import type { Clock } from '../../../../src/jacamar/executors/batch/patience.ts';
import type { Scheduler, Submission, Submitted } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { findByName, submit } from '../../../../src/jacamar/executors/batch/submit.ts';
import { FakeCommands } from '../../../support/fake-commands.ts';

const ACCEPTED: Submitted = { kind: 'accepted', id: '42' };
const TRANSIENT: Submitted = { kind: 'transient', why: 'busy' };
const DOUBTFUL: Submitted = { kind: 'doubtful', why: 'connection lost' };

/** A scheduler that answers submissions and look-ups by name in this order; the last answer stays. */
function setUp(submissions: Submitted[], looks: (readonly string[] | 'unavailable' | undefined)[] = [[]], stderr = '') {
  const stop = new AbortController();
  const calls: string[] = [];
  const said: string[] = [];
  let milliseconds = 0;
  const next = <T>(answers: T[]): T => (answers.length > 1 ? answers.shift() : answers[0]) as T;
  const cancels = [true];
  const commands = new FakeCommands(({ program }) => {
    calls.push(program);
    return program === 'submit' ? { stderr } : {};
  });
  const scheduler = {
    title: 'Slurm',
    submit: () => ({ program: 'submit', argv: [] }),
    readSubmitted: () => next(submissions),
    byName: {
      about: () => ({ program: 'find', argv: [] }),
      read: () => next(looks),
      otherwise: { about: () => ({ program: 'find otherwise', argv: [] }), read: () => next(looks) },
    },
    cancel: (id: string) => ({ program: `cancel ${id}`, argv: [] }),
    readCancelled: () => next(cancels),
  } as unknown as Scheduler;
  const clock: Clock = {
    now: () => milliseconds,
    date: () => milliseconds,
    async pause(duration) {
      milliseconds += duration;
    },
  };
  const say = async (line: string) => void said.push(line);
  const by = { scheduler, commands, clock, say, stop: stop.signal, longestPauseMs: 30_000 };
  const given = { name: 'ci-1' } as Submission;
  const act = async () => (await submit(given, by)).id;
  return {
    submit: act,
    take: () => submit(given, by),
    by,
    calls,
    said,
    cancels,
    stop,
    seconds: () => milliseconds / 1_000,
  };
}

it('takes the id that the scheduler gives', async () => {
  const { submit: act, calls } = setUp([ACCEPTED]);
  assert.equal(await act(), '42');
  assert.deepEqual(calls, ['submit']);
});

it('keeps what the command says of a job that it takes, line by line', async () => {
  const { take } = setUp([ACCEPTED], [[]], 'submit: warning: one\r\n\nsubmit: two\n');
  assert.deepEqual((await take()).remarks, ['submit: warning: one', 'submit: two']);
});

it('tries again while the scheduler cannot just now, and says so once', async () => {
  const { submit: act, calls, said } = setUp([TRANSIENT, TRANSIENT, TRANSIENT, ACCEPTED]);
  assert.equal(await act(), '42');
  assert.equal(calls.length, 4);
  assert.deepEqual(said, ['Slurm does not take jobs at the moment, trying again: busy']);
});

it('pauses longer and longer, and gives up after ten minutes as a fault of the site', async () => {
  const { submit: act, calls, seconds } = setUp([TRANSIENT]);
  await assert.rejects(act, (error: SystemFailure) => error.code === 'ERR_SUBMIT' && error.fault === 'site');
  assert.ok(seconds() > 600 && seconds() < 700, String(seconds()));
  assert.ok(calls.length < 40, String(calls.length));
});

it('does not submit again what was taken without a word', async () => {
  const { submit: act, calls } = setUp([DOUBTFUL, ACCEPTED], [['41']]);
  assert.equal(await act(), '41');
  assert.deepEqual(calls, ['submit', 'find']);
});

it('keeps one of two that were taken after all', async () => {
  const { submit: act, calls } = setUp([DOUBTFUL, DOUBTFUL], [[], [], [], [], [], ['41', '42']]);
  assert.equal(await act(), '41');
  assert.deepEqual(calls.slice(-3), ['submit', 'find', 'cancel 42']);
});

it('says that an earlier try may still arrive, when it was in doubt', async () => {
  assert.equal((await setUp([DOUBTFUL, ACCEPTED]).take()).mayHaveCopies, true);
  assert.equal((await setUp([TRANSIENT, ACCEPTED]).take()).mayHaveCopies, false);
  assert.equal((await setUp([DOUBTFUL], [['41']]).take()).mayHaveCopies, false);
});

it('waits for an answer about the name before it submits again', async () => {
  const { submit: act, calls } = setUp([DOUBTFUL, ACCEPTED], [undefined, undefined, []]);
  assert.equal(await act(), '42');
  assert.deepEqual(calls, ['submit', ...Array(7).fill('find'), 'submit']);
});

it('submits in another form where the command does not know the first', async () => {
  const { by, calls } = setUp([{ kind: 'unavailable', why: 'illegal -k value' }, ACCEPTED]);
  const scheduler = { ...by.scheduler, submitOtherwise: () => ({ program: 'older', argv: [] }) };
  assert.equal((await submit({ name: 'ci-1' } as Submission, { ...by, scheduler })).id, '42');
  assert.deepEqual(calls, ['submit', 'older']);
});

it('is refused where the command knows no form', async () => {
  const { submit: act, calls } = setUp([{ kind: 'unavailable', why: 'usage: qsub' }]);
  await assert.rejects(act, (error: JobError) => error.fault === 'user' && /usage: qsub/.test(error.message));
  assert.deepEqual(calls, ['submit']);
});

it('tells a refusal as the fault of the job, and submits nothing more', async () => {
  const { submit: act, calls } = setUp([{ kind: 'refused', why: 'invalid partition specified' }]);
  await assert.rejects(act, (error: JobError) => error.fault === 'user' && /invalid partition/.test(error.message));
  assert.deepEqual(calls, ['submit']);
});

it('cancels what was taken under an id that it cannot watch', async () => {
  const { submit: act, calls } = setUp([{ kind: 'refused', why: 'another cluster', orphan: '42;other' }]);
  await assert.rejects(act, /another cluster/);
  assert.deepEqual(calls, ['submit', 'cancel 42;other']);
});

it('cancels that again until the scheduler has heard it', async () => {
  const { submit: act, calls, cancels } = setUp([{ kind: 'refused', why: 'another cluster', orphan: '42;other' }]);
  cancels.unshift(false, false);
  await assert.rejects(act, /Nothing is left of it/);
  assert.deepEqual(calls, ['submit', 'cancel 42;other', 'cancel 42;other', 'cancel 42;other']);
});

it('names what it could not cancel', async () => {
  const { submit: act, cancels } = setUp([{ kind: 'refused', why: 'another cluster', orphan: '42;other' }]);
  cancels[0] = false;
  await assert.rejects(act, /could not be cancelled: end 42;other/);
});

it('ends when the stage shall', async () => {
  const { submit: act, calls, stop } = setUp([TRANSIENT]);
  stop.abort('SIGTERM');
  await assert.rejects(act, /could not be given to Slurm: busy/);
  assert.deepEqual(calls, ['submit']);
});

it('finds nothing only when the scheduler has said so several times', async () => {
  const { by, calls, seconds } = setUp([], [[]]);
  assert.deepEqual(await findByName('ci-1', by, { limitMs: 60_000, stop: by.stop }), []);
  assert.deepEqual(calls, Array(5).fill('find'));
  assert.ok(seconds() < 20, `${seconds()} s, the last of them for nothing`);
});

it('looks for the name in the next form where the site does not have the first, and stays with it', async () => {
  const { submit: act, calls } = setUp([DOUBTFUL], ['unavailable', [], ['9']]);
  assert.equal(await act(), '9');
  assert.deepEqual(calls, ['submit', 'find', 'find otherwise', 'find otherwise']);
});
