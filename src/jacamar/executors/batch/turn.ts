// Something that one job of an account on this host does for all of them, while the others do without: a lock for
// which nobody waits.

import { closeSync, constants, openSync } from 'node:fs';
import type { Lock } from '../../../contract/lock.ts';

/**
 * Takes the turn, until it is disposed of or this process ends. Where no lock can be had, because files are out of order or
 * the file system has none, it is everybody's.
 * @returns undefined when it is somebody else's
 */
export function takeTurn(path: string, lock: Pick<Lock, 'tryLock'>): Disposable | undefined {
  const descriptor = open(path);
  const close = () => {
    if (descriptor !== undefined) closeSync(descriptor);
  };
  if (descriptor === undefined || isFree(descriptor, lock)) return { [Symbol.dispose]: close };
  close();
  return undefined;
}

function open(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  } catch {
    return undefined;
  }
}

function isFree(descriptor: number, lock: Pick<Lock, 'tryLock'>): boolean {
  try {
    return lock.tryLock(descriptor);
  } catch {
    return true;
  }
}
