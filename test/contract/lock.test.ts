// Waiting for a lock ends with the lock, with the patience, with a stop, or with an error; never later.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waitForLock } from '../../src/contract/lock.ts';

/** A lock that another holds for so many attempts. */
function heldFor(attempts: number) {
  let left = attempts;
  return { tryLock: () => left-- <= 0 };
}

describe('waiting for a lock', () => {
  it('ends as soon as it is ours', async () => {
    assert.equal(await waitForLock(heldFor(3), 0, { limitMs: 60_000 }), true);
  });

  it('ends without it when patience is over', async () => {
    assert.equal(await waitForLock(heldFor(Number.POSITIVE_INFINITY), 0, { limitMs: 1 }), false);
  });

  it('ends when it is stopped', async () => {
    const stop = AbortSignal.abort('SIGTERM');
    await assert.rejects(
      waitForLock(heldFor(Number.POSITIVE_INFINITY), 0, { limitMs: 60_000, stop }),
      (reason) => reason === 'SIGTERM',
    );
  });

  it('takes a lock that is free even then, since its holder ends with us', async () => {
    assert.equal(await waitForLock(heldFor(0), 0, { limitMs: 0, stop: AbortSignal.abort() }), true);
  });

  it('passes on that a file system has no locks', async () => {
    const error = Object.assign(new Error('no locks'), { code: 'ENOLCK' });
    const lock = {
      tryLock: () => {
        throw error;
      },
    };
    await assert.rejects(waitForLock(lock, 0, { limitMs: 60_000 }), error);
  });
});
