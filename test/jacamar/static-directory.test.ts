// Which static directories the cleanup of another job removes.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Handoff } from '../../src/contract/handoff.ts';
import { identityOf, type ProcessIdentity } from '../../src/contract/process-identity.ts';
import { openScripts } from '../../src/jacamar/job-scripts.ts';
import { removeOldStaticDirectories, takeStaticDirectory } from '../../src/jacamar/static-directory.ts';
import { makeBuildsDirectory } from '../../src/jacamar/workspace.ts';
import { scratchDirectory } from '../support/scratch.ts';

test('a job that began before the clock was set by years keeps its directory while its runner lives', async (context) => {
  const base = scratchDirectory(context);
  const job = { server: 's', projectPath: 'g/p', runner: 'r', concurrent: 0, timeoutSeconds: 3600 };
  const settings = { sharedParents: true, staticBuildsDir: true, staticMinDays: 1 };
  const handoffOf = (id: number, runnerProcess: ProcessIdentity) =>
    ({ base, account: { home: base }, job: { ...job, id }, runnerProcess, settings }) as unknown as Handoff;
  const living = handoffOf(1, identityOf(process.pid));
  const dead = handoffOf(2, { pid: spawnSync('true').pid, startTime: '1' });
  for (const handoff of [living, dead]) {
    takeStaticDirectory(handoff);
    makeBuildsDirectory(handoff, 0);
    openScripts(handoff, 0);
    utimesSync(join(base, `static/.${handoff.job.id}`), 1, 1);
  }
  await removeOldStaticDirectories(handoffOf(3, identityOf(process.pid)), { deadline: Number.POSITIVE_INFINITY });
  assert.deepEqual(
    ['1', '2'].map((id) => existsSync(join(base, 'static', id))),
    [true, false],
  );
});
