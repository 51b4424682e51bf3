// Claims are made one after the other, under flock(2), so that each job gets the lowest number and nobody tries twice.
// Where that lock cannot be had they are made all the same: a claim excludes others by itself (store.ts). But it is
// said, since a lock that does not work is worth mending for everything else that people run there.

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Lock, waitForLock } from '../../contract/lock.ts';
import { type Mount, mountOf } from '../../contract/mount.ts';

/** What keeps a lock from ordering the claims of all jobs. */
export interface LockTrouble {
  readonly code: 'ERR_LOCK_FILE' | 'ERR_LOCK_UNSUPPORTED' | 'ERR_LOCK_LOCAL' | 'ERR_LOCK_BUSY';
  readonly message: string;
}

export interface Order {
  readonly directory: string;
  readonly lock: Pick<Lock, 'tryLock'>;
  readonly stop: AbortSignal;
}

/** Longer than anybody needs for a claim, unless he was stopped or his file server hangs. */
const LOCK_WAIT_MS = 10_000;

/**
 * Acts under the lock of the directory, or without it when that cannot be.
 * @throws the reason of `stop`, while waiting
 */
export async function inOrder<T>(order: Order, act: (trouble: LockTrouble | undefined) => T): Promise<T> {
  const descriptor = open(order.directory);
  if (typeof descriptor !== 'number') return act(descriptor);
  try {
    return act(await take(descriptor, order));
  } finally {
    closeSync(descriptor);
  }
}

/** The file is the user's own, who may have put anything there. */
function open(directory: string): number | LockTrouble {
  const path = join(directory, 'lock');
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const descriptor = openSync(path, flags, 0o600);
    if (fstatSync(descriptor).isFile()) return descriptor;
    closeSync(descriptor);
    return { code: 'ERR_LOCK_FILE', message: `${path} is no regular file` };
  } catch (error) {
    return { code: 'ERR_LOCK_FILE', message: `${path} cannot be opened (${codeOf(error)})` };
  }
}

async function take(descriptor: number, { directory, lock, stop }: Order): Promise<LockTrouble | undefined> {
  try {
    if (await waitForLock(lock, descriptor, { limitMs: LOCK_WAIT_MS, stop })) return localOnly(mountOf(descriptor));
    const message = `another process has held the lock of ${directory} for ${LOCK_WAIT_MS / 1000} s`;
    return { code: 'ERR_LOCK_BUSY', message };
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return { code: 'ERR_LOCK_UNSUPPORTED', message: `flock fails in ${directory} (${codeOf(error)})` };
  }
}

/** Options under which a lock is taken, but other hosts do not see it: nfs(5), mount.lustre(8). */
const LOCAL_LOCKS: Record<string, readonly string[]> = {
  nfs: ['nolock', 'local_lock=flock', 'local_lock=all'],
  nfs4: ['local_lock=flock', 'local_lock=all'],
  lustre: ['localflock'],
};

/** What is to be said of locks on this mount. */
export function localOnly(mount: Mount | undefined): LockTrouble | undefined {
  const option = mount?.options.find((each) => LOCAL_LOCKS[mount.type]?.includes(each));
  if (mount === undefined || option === undefined) return undefined;
  const message = `${mount.source} (${mount.type}) is mounted with ${option}: other hosts do not see locks of this one`;
  return { code: 'ERR_LOCK_LOCAL', message };
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
