// `jacamar signal`: each number stands for a whole process group, and nothing but an end can be asked for.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, it } from 'node:test';
import { signalGroups } from '../../src/jacamar/signal.ts';
import { eventually } from '../support/eventually.ts';
import { treeOf } from '../support/processes.ts';

const started: ChildProcess[] = [];
afterEach(() => {
  for (const { pid } of started.splice(0)) if (pid !== undefined) signalGroups('SIGKILL', [pid]);
});

/** A shell with a child, both in a group of their own. */
async function family(): Promise<{ parent: number; child: number; ended: Promise<unknown> }> {
  const shell = spawn('sh', ['-c', 'sleep 300 & wait'], { detached: true, stdio: 'ignore' });
  started.push(shell);
  const parent = shell.pid ?? 0;
  const child = await eventually('the child runs', async () => (await treeOf(parent))[1]?.pid);
  return { parent, child, ended: new Promise((resolve) => void shell.once('exit', (_, signal) => resolve(signal))) };
}

describe('a signal to a process', () => {
  it('reaches its whole group, whichever member was named', async () => {
    const { child, ended } = await family();
    assert.equal(signalGroups('SIGTERM', [child]), undefined);
    assert.equal(await ended, 'SIGTERM');
    await eventually('the child is gone', async () => (await treeOf(child)).length === 0);
  });

  it('goes to several at once, those that are gone among them', async () => {
    const [one, two] = [await family(), await family()];
    signalGroups('SIGKILL', [one.parent]);
    await one.ended;
    assert.equal(signalGroups('SIGKILL', [one.parent, two.child]), undefined);
    assert.equal(await two.ended, 'SIGKILL');
  });

  for (const signal of ['SIGSTOP', 'SIGHUP', '9', '']) {
    it(`is refused when it is "${signal}"`, () => {
      assert.match(signalGroups(signal, [process.pid]) ?? '', /only SIGTERM, SIGCONT, SIGKILL are sent$/);
    });
  }

  for (const pid of [0, 1, -1, -5, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`is refused for ${pid}`, () => {
      assert.equal(signalGroups('SIGKILL', [pid]), 'error: that is no number of a process');
    });
  }
});
