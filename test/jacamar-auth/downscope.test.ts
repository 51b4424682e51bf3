// What jacamar-auth signals, and when it does so no more. The child is a name only: its end is told by a fake.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lock } from '../../src/contract/lock.ts';
import type { Credentials } from '../../src/jacamar-auth/credentials.ts';
import { MECHANISMS, runJacamar } from '../../src/jacamar-auth/downscope.ts';
import { loadBuiltCredentials } from '../native/built.ts';

const CHILD = 2 ** 30;
const account = { name: 'alice', uid: process.getuid?.() ?? 0, gid: 1, groups: [], home: '/', shell: '/bin/sh' };

test('the group of a jacamar that has been waited for is not signalled, however long the rest of its job takes to end', async () => {
  const [ours] = loadBuiltCredentials().socketPair();
  const signalled: number[] = [];
  const killTimeoutMs = 50;
  const begun = performance.now();
  const credentials = {
    wait: () => ({ exitCode: 1 }),
    signal: (pid: number) => void signalled.push(pid),
  } as unknown as Credentials;
  // Something that does not die, for longer than kill_timeout.
  const isLeft = () => performance.now() < begun + 10 * killTimeoutMs;
  const lock = { becomeSubreaper() {}, reap: () => false, hasChildren: isLeft } as unknown as Lock;
  const errand = {
    downscope: { mechanism: MECHANISMS.setuid, jacamar: '/bin/jacamar', account, noNewPrivileges: false },
    waiting: { pid: CHILD, channel: ours },
    stageArguments: [],
    handoff: () => Buffer.alloc(0),
    output: 1,
    keepProcesses: false,
    killTimeoutMs,
    stop: AbortSignal.abort('SIGTERM'),
    onStart() {},
  } as const;
  await assert.rejects(runJacamar(errand, credentials, lock), { code: 'ERR_JACAMAR_DIED' });
  assert.ok(!isLeft());
  assert.deepEqual(signalled, []);
});
