// Names a process so that another one with the same pid, later, is not taken for it.

import { readFileSync } from 'node:fs';

/** A process by pid and start time, the latter in clock ticks since boot; empty: gone, or hidden (hidepid). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: readStat(pid)?.startTime ?? '' };
}

/**
 * The process on whose behalf we were called: the runner. It starts each call as the leader of a process group of its
 * own, so whatever else of that group stands between us and it, such as a wrapper script, lives no longer than the call.
 */
export function callingRunner(): ProcessIdentity {
  const leader = readStat(groupOf(process.pid))?.parent ?? 0;
  return identityOf(leader > 0 ? leader : process.ppid);
}

/** False only when the process has surely ended: a hidden one may still be there. */
export function mayBeAlive({ pid, startTime }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = readStat(pid);
  if (now === undefined) return true;
  return now.state !== 'Z' && (startTime === '' || now.startTime === startTime);
}

/** The process group of a process. Of one that is gone or hidden, the one that it may have led. */
export function groupOf(pid: number): number {
  return readStat(pid)?.group ?? pid;
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startTime: string;
}

/** proc_pid_stat(5); the name in the second field may hold blanks and parentheses, so count after its end. */
function readStat(pid: number): Stat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      group: Number(fields[2]),
      startTime: fields[19] ?? '',
    };
  } catch {
    return undefined;
  }
}
