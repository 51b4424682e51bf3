// A process is known by pid and start time: a later one with the same pid is another.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { identityOf, mayBeAlive } from '../../src/contract/process-identity.ts';
import { scratchDirectory } from '../support/scratch.ts';

describe('the identity of a process', () => {
  it('is its pid and a number that stays the same', () => {
    const mine = identityOf(process.pid);
    assert.match(mine.startTime, /^[1-9][0-9]*$/);
    assert.deepEqual(identityOf(process.pid), mine);
    assert.ok(mayBeAlive(mine));
  });

  it('is read past a name full of parentheses and blanks', async (context) => {
    const program = join(scratchDirectory(context), ') R 1 (x) 7');
    copyFileSync('/bin/sleep', program);
    const before = Number(identityOf(process.pid).startTime);
    const child = spawn(program, ['1000'], { stdio: 'ignore' });
    context.after(() => child.kill('SIGKILL'));
    await new Promise((resolve) => child.once('spawn', resolve));
    const { startTime } = identityOf(child.pid ?? 0);
    assert.ok(Number(startTime) >= before, startTime);
  });

  it('of a process that ended is not alive', async () => {
    const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    const identity = identityOf(child.pid ?? 0);
    assert.ok(mayBeAlive(identity));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    assert.equal(mayBeAlive(identity), false);
    assert.deepEqual(identityOf(identity.pid), { pid: identity.pid, startTime: '' });
  });

  it('with another start time is another process', () => {
    assert.equal(mayBeAlive({ pid: process.pid, startTime: '1' }), false);
  });

  it('without a start time may still be alive: the system may hide it', () => {
    assert.equal(mayBeAlive({ pid: process.pid, startTime: '' }), true);
  });
});
