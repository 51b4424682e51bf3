// Processes as /proc shows them, and signals that reach them and no others.

import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Lock } from './lock.ts';
import { identityOf, type ProcessIdentity } from './process-identity.ts';
import { printable } from './text.ts';

/** One process. */
export interface ProcessEntry extends ProcessIdentity {
  readonly parent: number;
  readonly name: string;
  /** Ended, with no thread left. */
  readonly isZombie: boolean;
}

type SignalLock = Pick<Lock, 'openProcess' | 'signalProcess'>;

const LOOK_AGAIN_MS = 20;
/** How often to look for what was started while we looked; the processes that start things are stopped by then. */
const MOST_LOOKS = 10;

/** Signals each that is still there and may be signalled; whether that was enough the next look tells. */
export function signalEach(processes: readonly ProcessIdentity[], signal: NodeJS.Signals, lock: SignalLock): void {
  for (const identity of processes) {
    try {
      signalSurely(identity, signal, lock);
    } catch {
      // ended meanwhile, or a set-user-id program
    }
  }
}

/**
 * SIGTERM to all that `look` finds, stopped first: a shell that is about to start its next command would have done so
 * before it gets the signal to end, and that command would run on.
 * @returns all of them
 */
export function terminate(look: () => readonly ProcessEntry[], lock: SignalLock): ProcessEntry[] {
  const stopped = new Map<number, ProcessEntry>();
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const fresh = look().filter(({ pid }) => !stopped.has(pid));
    if (fresh.length === 0) break;
    signalEach(fresh, 'SIGSTOP', lock);
    for (const entry of fresh) stopped.set(entry.pid, entry);
  }
  const all = [...stopped.values()];
  signalEach(all, 'SIGTERM', lock);
  // A stopped process acts on SIGTERM only when it goes on.
  signalEach(all, 'SIGCONT', lock);
  return all;
}

/**
 * Signals this process and no later one with its pid: a descriptor holds it while its start time is compared. An
 * older kernel has no such descriptor; then the comparison comes right before the signal.
 */
function signalSurely({ pid, startTime }: ProcessIdentity, signal: NodeJS.Signals, lock: SignalLock): void {
  const handle = openIfPossible(pid, lock);
  try {
    if (!isStillThere({ pid, startTime })) return;
    if (handle === undefined) process.kill(pid, signal);
    else lock.signalProcess(handle, constants.signals[signal]);
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

/** ESRCH goes to the caller; whatever else stands in the way (ENOSYS, no descriptor left) need not. */
function openIfPossible(pid: number, lock: SignalLock): number | undefined {
  try {
    return lock.openProcess(pid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') throw error;
    return undefined;
  }
}

/** For the job log: `name (pid)`. */
export function describe({ name, pid }: ProcessEntry): string {
  return `${printable(name)} (${pid})`;
}

/** Calls `act` until it says that nothing is left to do, or the time is over. */
export async function repeat(deadline: () => number, act: () => boolean): Promise<void> {
  while (performance.now() < deadline() && act()) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}

/**
 * `root` and everything below it. Only what is still there counts as a parent: while /proc was read its number may have
 * passed to another, whose children are not ours. Those of one that has ended have passed on, and the next look finds them.
 */
export function below(all: readonly ProcessEntry[], root: number): Set<ProcessEntry> {
  const byParent = Map.groupBy(all, ({ parent }) => parent);
  const childrenOf = (entry: ProcessEntry) => {
    const children = byParent.get(entry.pid) ?? [];
    return children.length > 0 && isStillThere(entry) ? children : [];
  };
  const found = new Set<ProcessEntry>();
  for (let level = all.filter(({ pid }) => pid === root); level.length > 0; ) {
    for (const entry of level) found.add(entry);
    level = level.flatMap(childrenOf).filter((entry) => !found.has(entry));
  }
  return found;
}

function isStillThere({ pid, startTime }: ProcessIdentity): boolean {
  return identityOf(pid).startTime === startTime;
}

/** Every process of the host that may be seen. */
export function allProcesses(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => parseStat(name) ?? []);
}

/**
 * The process of that number, if it is there. proc_pid_stat(5): pid (name) state ppid pgrp …, the number of threads in field 20, the start time in field 22; the
 * name may hold blanks and parentheses. A process whose first thread alone has ended looks like a zombie.
 */
export function parseStat(directory: string): ProcessEntry | undefined {
  try {
    const text = readFileSync(`/proc/${directory}/stat`, 'latin1');
    const end = text.lastIndexOf(')');
    const fields = text.slice(end + 2).split(' ');
    const [state, parent] = fields;
    return {
      pid: Number(directory),
      parent: Number(parent),
      name: text.slice(text.indexOf('(') + 1, end),
      startTime: fields[19] ?? '',
      isZombie: state === 'X' || (state === 'Z' && Number(fields[17]) <= 1),
    };
  } catch {
    return undefined;
  }
}
