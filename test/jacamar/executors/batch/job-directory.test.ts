// The files through which we and the wrapper know of each other.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { JobDirectory } from '../../../../src/jacamar/executors/batch/job-directory.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

function setUp(context: TestContext) {
  const directory = new JobDirectory(scratchDirectory(context), 'ci-1');
  mkdirSync(directory.path);
  return { directory, started: join(directory.path, 'started'), text: `${directory.nonce}\nnode1\n` };
}

it('tell where the job began', (t) => {
  const { directory, started, text } = setUp(t);
  assert.equal(directory.look().startedOn, undefined);
  writeFileSync(started, text);
  assert.equal(directory.look().startedOn, 'node1');
});

it('are regular files: a pipe that a script put there would hold us up for ever', (t) => {
  const { directory, started, text } = setUp(t);
  execFileSync('mkfifo', [started]);
  const writer = spawn('sh', ['-c', `printf '${text}' >"$1"`, 'sh', started]);
  t.after(() => writer.kill('SIGKILL'));
  assert.equal(directory.look().startedOn, undefined);
});
