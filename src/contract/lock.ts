// The typed face of the unprivileged addon (native/lock): advisory locks, the processes of a job, limits, quotas.
// What stands here is exported by the addon one for one, under the same names; a test compares the two.

import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SystemFailure } from './errors.ts';

/** Limits of getrlimit(2). */
type Resource = 'stack' | 'openFiles' | 'realTime';

/** One kind of what a quota counts; a limit of 0 is none. */
export interface QuotaUsage {
  readonly used: number;
  /** May be exceeded until `graceEnds`. */
  readonly soft: number;
  readonly hard: number;
  /** Seconds since 1970; 0 while the soft limit holds. */
  readonly graceEnds: number;
}

/** Failures are Errors as Node's own, plus the step that failed. */
export interface Lock {
  /**
   * flock(2), exclusive, without waiting; `false` if another open file holds it. The lock belongs to the open
   * file: it ends when the last descriptor of it is closed, those of children included.
   */
  tryLock(fd: number): boolean;
  unlock(fd: number): void;
  /** From now on descendants whose parent ended become children of this process instead of init's. */
  becomeSubreaper(): void;
  /** Takes the exit status of an adopted orphan; `false` while it runs. Throws ECHILD for anyone else's. */
  reap(pid: number): boolean;
  /**
   * Whether any child is left, zombies included. Says no only when there is none and none can come: a subreaper
   * gets an orphan in the same moment in which its parent ends.
   */
  hasChildren(): boolean;
  /**
   * A descriptor that stands for this very process, and for no later one with the same pid: pidfd_open(2). Throws
   * ESRCH when it is gone and reaped, ENOSYS before Linux 5.3.
   */
  openProcess(pid: number): number;
  signalProcess(process: number, signal: number): void;
  /** In bytes, a number of descriptors, or microseconds; 2^64-1 is no limit. */
  getLimit(resource: Resource): { readonly soft: bigint; readonly hard: bigint };
  /** Of this process, and of what it starts from now on. Throws EINVAL beyond the hard limit. */
  setSoftLimit(resource: Resource, soft: bigint): void;
  /** Hard limit, and with it the soft one where that is larger. Only root can take it back; throws EPERM upwards. */
  lowerLimit(resource: Resource, hard: bigint): void;
  /** Read end, write end, close-on-exec. */
  pipe(): [number, number];
  /**
   * The quota of an account or group on the file system of an open file: quotactl(2). Ours and those of our groups are
   * all that the kernel tells us. Throws ESRCH, ENOSYS and others where there is none.
   * @param device source of the mount, for kernels before 5.14
   */
  getQuota(
    directory: number,
    device: string,
    type: 'user' | 'group',
    id: number,
  ): { readonly bytes: QuotaUsage; readonly files: QuotaUsage };
  /** _exit(2): at once, without taking the runtime apart first. */
  exit(code: number): never;
}

/** Loads the addon from beside the installed runtime: `<prefix>/lib/lock.node`. */
export function loadLock(): Lock {
  const file = join(dirname(process.execPath), '../lib/lock.node');
  const module = { exports: {} };
  try {
    process.dlopen(module, file);
  } catch (cause) {
    throw new SystemFailure({ code: 'ERR_ADDON_LOAD', message: `cannot load the addon ${file}`, cause });
  }
  return module.exports as Lock;
}

/** How long somebody waits for a lock, in milliseconds, and what ends the waiting earlier. */
interface Patience {
  readonly limitMs: number;
  readonly stop?: AbortSignal;
}

const LOOK_AGAIN_MS = 10;

/**
 * Waits until the lock of an open file is ours.
 * @returns false when another open file held it for all of that time
 * @throws the reason of `stop`, or the error of flock(2): some file systems have no locks
 */
export async function waitForLock(
  lock: Pick<Lock, 'tryLock'>,
  descriptor: number,
  { limitMs, stop }: Patience,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!lock.tryLock(descriptor)) {
    stop?.throwIfAborted();
    if (performance.now() > deadline) return false;
    await delay(LOOK_AGAIN_MS);
  }
  return true;
}
