// Finding the build directories of an account while its jobs come and go.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findBuildDirectories } from '../../src/jacamar/build-directories.ts';
import { openDirectory } from '../support/open-directory.ts';
import { scratchDirectory } from '../support/scratch.ts';

const LOOKS = 3_000;

test('directories that go while they are looked for hide no others', (context) => {
  // Hooks are called in their order: nothing is made any more when the directory goes.
  context.after(async () => {
    process.kill(-(cleanups.pid ?? Number.NaN), 'SIGKILL');
    await once(cleanups, 'exit');
  });
  const path = scratchDirectory(context);
  const builds = join(path, 'builds');
  mkdirSync(join(builds, '000'), { recursive: true });
  const churn = 'while :; do mkdir .removing-a b; rmdir .removing-a b; done 2>/dev/null';
  const cleanups = spawn('bash', ['-c', churn], { cwd: builds, stdio: 'ignore', detached: true });
  using base = openDirectory(path);
  const isFound = () => findBuildDirectories(base).some(({ levels }) => levels.join('/') === 'builds/000');
  const vain = Array.from({ length: LOOKS }, isFound).filter((found) => !found);
  assert.equal(vain.length, 0);
});
