// Batch jobs that nobody watches any more.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { endLeftovers, endOrphans } from '../../../../src/jacamar/executors/batch/leftovers.ts';
import type { Clock } from '../../../../src/jacamar/executors/batch/patience.ts';
import type { Scheduler } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { type Entry, entryFor, Submissions } from '../../../../src/jacamar/executors/batch/submissions.ts';
import { BEGUN } from '../../../../src/jacamar/executors/batch/wrapper.ts';
import { loadBuiltLock } from '../../../native/built.ts';
import { batchHandoff } from '../../../support/batch-handoff.ts';
import { FakeCommands } from '../../../support/fake-commands.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

/** A scheduler with these jobs, by name; when it is down it hears nothing. */
function setUp(context: TestContext) {
  const handoff = batchHandoff(scratchDirectory(context));
  const submissions = new Submissions(handoff, 'slurm');
  const here = { jobs: new Map<string, string>(), cancelled: [] as string[], isDown: false };
  const commands = new FakeCommands(({ program, argv: [argument = ''] }) => {
    if (here.isDown) return { exitCode: 1 };
    if (program === 'cancel') here.cancelled.push(argument);
    if (program === 'cancel') for (const [name, id] of here.jobs) if (id === argument) here.jobs.delete(name);
    return { stdout: program === 'find' ? (here.jobs.get(argument) ?? '') : '' };
  });
  const scheduler = {
    title: 'Slurm',
    byName: {
      about: (name: string) => ({ program: 'find', argv: [name] }),
      read: ({ stdout, exitCode }: { stdout: string; exitCode: number }) =>
        exitCode === 0 ? stdout.split('\n').filter((line) => line !== '') : undefined,
    },
    cancel: (id: string) => ({ program: 'cancel', argv: [id] }),
    readCancelled: ({ exitCode }: { exitCode: number }) => exitCode === 0,
    details: {
      about: () => ({ program: 'details', argv: [] }),
      read: ({ exitCode }: { exitCode: number }) =>
        exitCode === 0 ? { kind: 'known', jobs: new Map() } : { kind: 'silent', why: 'down' },
    },
  } as unknown as Scheduler;
  let milliseconds = 0;
  const clock: Clock = {
    now: () => milliseconds,
    date: () => milliseconds,
    async pause(duration) {
      milliseconds += duration;
    },
  };
  const by = { scheduler, commands, submissions, clock, stop: new AbortController().signal };
  const entry = (name: string, changes: Partial<Entry> = {}) => ({
    ...entryFor(handoff, { name, submittedAt: 0 }),
    ...changes,
  });
  const orphans = () => endOrphans({ ...by, lock: loadBuiltLock() });
  return { here, submissions, entry, orphans, end: (entries: readonly Entry[]) => endLeftovers(entries, by) };
}

it('are ended, and are on record no more', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '42');
  submissions.write(entry('ci-1', { id: '42' }));
  await end(submissions.all());
  assert.equal(here.jobs.size, 0);
  assert.deepEqual(submissions.all(), []);
});

it('are found by their name when we died before the scheduler answered', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '42');
  submissions.write(entry('ci-1'));
  await end(submissions.all());
  assert.equal(here.jobs.size, 0);
  assert.deepEqual(submissions.all(), []);
});

it('run nothing when the scheduler takes them only now', async (t) => {
  const { submissions, entry, end } = setUp(t);
  const directory = scratchDirectory(t);
  submissions.write(entry('ci-1', { directory }));
  await end(submissions.all());
  assert.ok(existsSync(join(directory, BEGUN)));
});

it('are ended on a full disk, too', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '42');
  submissions.write(entry('ci-1', { id: '42' }));
  const entries = submissions.all();
  t.mock.method(submissions, 'write', () => {
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  });
  await end(entries);
  assert.equal(here.jobs.size, 0);
});

it('are all ended that bear the name, when the scheduler took a job twice', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '42\n43');
  submissions.write(entry('ci-1'));
  await end(submissions.all());
  assert.deepEqual(here.cancelled, ['42', '43']);
});

it('are all ended that may bear the name, beside the one whose number is known', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '43');
  submissions.write(entry('ci-1', { id: '42', mayHaveCopies: true }));
  await end(submissions.all());
  assert.deepEqual(here.cancelled, ['42', '43']);
});

it('stay on record while the scheduler hears nothing, for the next job to end', async (t) => {
  const { here, submissions, entry, end } = setUp(t);
  here.jobs.set('ci-1', '42');
  here.isDown = true;
  submissions.write(entry('ci-1', { id: '42' }));
  assert.deepEqual(submissions.orphans(), []);
  await end(submissions.all());
  here.isDown = false;
  assert.equal(submissions.orphans().length, 1);
  await end(submissions.orphans());
  assert.equal(here.jobs.size, 0);
});

it('are left alone while another job is ending them', async (t) => {
  const { here, submissions, entry, orphans } = setUp(t);
  here.jobs.set('ci-1', '42');
  submissions.write(entry('ci-1', { id: '42', isAbandoned: true }));
  await Promise.all([orphans(), orphans(), orphans()]);
  assert.deepEqual(here.cancelled, ['42']);
  here.jobs.set('ci-2', '43');
  submissions.write(entry('ci-2', { id: '43', isAbandoned: true }));
  await orphans();
  assert.deepEqual(here.cancelled, ['42', '43']);
});

it('are those whose runner is gone, or whose host has started anew, and no others', (t) => {
  const { submissions, entry } = setUp(t);
  const { claim } = entry('ci-lives');
  const gone = { ...claim.owner, process: { pid: 2 ** 22 + 1, startTime: '1' } };
  submissions.write(entry('ci-lives'));
  submissions.write(entry('ci-no-runner', { claim: { ...claim, owner: gone } }));
  submissions.write(entry('ci-old-host', { claim: { ...claim, owner: { ...claim.owner, bootId: 'before' } } }));
  submissions.write(entry('ci-other-host', { claim: { ...claim, owner: { ...claim.owner, host: 'x', bootId: 'y' } } }));
  const names = submissions.orphans().map(({ name }) => name);
  assert.deepEqual(names.sort(), ['ci-no-runner', 'ci-old-host']);
});
