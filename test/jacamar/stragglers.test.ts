// What bears the mark of a job and outlived its watchers; here it is started by the test.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { type TestContext, test } from 'node:test';
import { endStragglers, jobMark } from '../../src/jacamar/stragglers.ts';
import { loadBuiltLock } from '../native/built.ts';

const lock = loadBuiltLock();

/** A shell that bears the mark of the job; resolves when it has said "up". */
async function straggler(context: TestContext, id: number, script: string) {
  context.mock.method(process.stderr, 'write', () => true);
  const job = { id, server: 'https://gitlab.example' };
  const child = spawn('bash', ['-c', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: '/usr/bin:/bin', ...jobMark(job) },
  });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  return job;
}

test('what a straggler starts while it is looked for gets the signal to end as well, and need not be killed', async (t) => {
  const sent: number[] = [];
  const recording = {
    ...lock,
    signalProcess: (handle: number, signal: number) => {
      sent.push(signal);
      lock.signalProcess(handle, signal);
    },
  };
  for (let round = 0; round < 5; round++) {
    const script = 'for i in {1..9}; do sleep 300 & done; echo up; while :; do sleep 300 & sleep 0.002; done';
    const job = await straggler(t, 2 ** 40 + round, script);
    await endStragglers(job, recording, false);
  }
  assert.ok(sent.includes(constants.signals.SIGTERM));
  assert.ok(!sent.includes(constants.signals.SIGKILL), 'something had not got it');
});
