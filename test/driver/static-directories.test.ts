// static_builds_dir: a build directory for each job, which outlives it for as many days as the site says.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const statics = join(account.home, '.jacamar-ci/static');
const DAY = 24 * 60 * 60;

function wanting(days: number, more: Record<string, unknown> = {}): JobWishes {
  return { options: { general: { static_builds_dir: true, static_min_days: days, ...more } } };
}

/** A whole job; gives its directory. */
async function finished(days: number): Promise<string> {
  const played = await world.play({ ...wanting(days), script: 'echo made >file' });
  assert.equal(played.verdict, 'success', played.jobLog);
  return join(statics, String(played.facts.id));
}

/** As if the end of its job lay that long ago. */
async function age(directory: string, days: number): Promise<void> {
  const then = Date.now() / 1000 - days * DAY;
  await utimes(directory.replace(/([0-9]+)$/, '.$1'), then, then);
}

test('every job works in a directory named after its number, which stays', async () => {
  const played = await world.play({ ...wanting(7), script: ['pwd', 'echo made >file'] });
  const own = join(statics, String(played.facts.id));
  assert.match(played.jobLog, new RegExp(`^${own}/demo/hello$`, 'm'));
  assert.ok(existsSync(join(own, 'demo/hello/file')));
  const { mode, uid } = await lstat(own);
  assert.deepEqual([mode & 0o7777, uid], [0o700, account.uid]);
});

test('two jobs at once, with the same numbers of the runner, have two', async () => {
  const jobs = [await world.stages(wanting(7)), await world.stages(wanting(7))];
  for (const job of jobs) {
    const { stdout } = await job.config();
    assert.equal(JSON.parse(stdout).builds_dir, join(statics, String(job.facts.id)));
  }
  for (const job of jobs) assert.equal((await job.cleanup()).outcome.kind, 'success');
});

test('config that is repeated for a job keeps its directory', async () => {
  const job = await world.stages(wanting(7));
  await job.config();
  await writeFile(join(statics, String(job.facts.id), 'kept'), '');
  assert.equal((await job.config()).outcome.kind, 'success');
  assert.ok(existsSync(join(statics, String(job.facts.id), 'kept')));
  await job.cleanup();
});

test('the cleanup of a job removes what is older than static_min_days, and nothing younger', async () => {
  const [old, young] = [await finished(2), await finished(2)];
  await age(old, 2.1);
  await age(young, 1.9);
  const last = await finished(2);
  assert.deepEqual([existsSync(old), existsSync(young), existsSync(last)], [false, true, true]);
  assert.ok(!(await readdir(statics)).includes(`.${old.slice(statics.length + 1)}`), 'nor is a note left of it');
});

test('static_min_days = 0 keeps them for ever', async () => {
  const old = await finished(0);
  await age(old, 10_000);
  await finished(0);
  assert.ok(existsSync(old));
});

test('a job that still runs keeps its directory, however long ago it began', async () => {
  const running = await (await world.stages({ ...wanting(1), facts: { timeoutSeconds: 10 * DAY } })).configured();
  const directory = join(statics, String(running.facts.id));
  const note = join(statics, `.${running.facts.id}`);
  const long = Date.now() / 1000 - 5 * DAY;
  await utimes(directory, long, long);
  // As if all of it had happened five days earlier.
  const then = (await stat(note)).mtimeMs / 1000 - 5 * DAY;
  await utimes(note, then, then);
  await finished(1);
  assert.ok(existsSync(directory));
  await running.cleanup();
});

test('directories that no job of ours made are left alone', async () => {
  const foreign = join(statics, '12345');
  await mkdir(foreign);
  await utimes(foreign, 0, 0);
  await writeFile(join(statics, 'notes.txt'), '');
  await finished(1);
  assert.ok(existsSync(foreign) && existsSync(join(statics, 'notes.txt')));
});

test('a directory of a job with the same number on another server is not shared', async () => {
  const job = await world.stages(wanting(7));
  await job.config();
  const note = join(statics, `.${job.facts.id}`);
  await writeFile(note, 'https://gitlab.elsewhere.example.com');
  const again = await job.config();
  assert.equal(again.outcome.kind, 'build-failure');
  assert.match(again.stderr, /exists and is of no job of this server/);
  await job.cleanup();
  assert.ok(existsSync(join(statics, String(job.facts.id))));
});

test('below CUSTOM_CI_BUILDS_DIR they lie there', async () => {
  const variables = [{ key: 'CUSTOM_CI_BUILDS_DIR', value: '$HOME/ci' }];
  const job = await world.stages({ ...wanting(7, { custom_build_dir: true }), variables });
  const { stdout } = await job.config();
  assert.equal(JSON.parse(stdout).builds_dir, join(account.home, 'ci/static', String(job.facts.id)));
  await job.cleanup();
});
