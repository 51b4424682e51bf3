// What counts as descent, when numbers of processes pass to others while /proc is read.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { identityOf } from '../../src/contract/process-identity.ts';
import { below, type ProcessEntry } from '../../src/contract/processes.ts';

const entry = (pid: number, parent: number, startTime = '1'): ProcessEntry => ({
  pid,
  parent,
  startTime,
  name: 'sleep',
  isZombie: false,
});

test('what was started by a later process with the number of one of ours is not below us', () => {
  const other = spawn('sleep', ['300']);
  try {
    const { pid, startTime } = identityOf(other.pid ?? 0);
    const us = entry(process.pid, 1, identityOf(process.pid).startTime);
    const child = entry(2 ** 30, pid);
    const numbers = (ours: ProcessEntry) => [...below([us, ours, child], us.pid)].map((each) => each.pid);
    assert.deepEqual(numbers(entry(pid, us.pid, startTime)), [us.pid, pid, child.pid]);
    assert.deepEqual(numbers(entry(pid, us.pid, String(Number(startTime) - 1))), [us.pid, pid]);
  } finally {
    other.kill();
  }
});
