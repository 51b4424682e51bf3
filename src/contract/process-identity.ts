// Names a process so that another one with the same pid, later, is not taken for it.

import { readFileSync } from 'node:fs';

/** A process by pid and start time, the latter in clock ticks since boot; empty: gone, or hidden (hidepid). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

export function identityOf(pid: number): ProcessIdentity {
  try {
    return { pid, startTime: startTimeOf(readFileSync(`/proc/${pid}/stat`, 'latin1')) };
  } catch {
    return { pid, startTime: '' };
  }
}

/** False only when the process is surely gone: a hidden one may still be there. */
export function mayBeAlive({ pid, startTime }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = identityOf(pid).startTime;
  return startTime === '' || now === '' || now === startTime;
}

/** Field 22 of proc_pid_stat(5); the name in field 2 may hold blanks and parentheses, so count after its end. */
function startTimeOf(stat: string): string {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}
