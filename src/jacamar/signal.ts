// Signals to processes of the calling user, on behalf of a jacamar-auth that may not send them itself.

import { groupOf } from '../contract/process-identity.ts';

/** SIGCONT, because a stopped process acts on SIGTERM only when it goes on. */
const SIGNALS = ['SIGTERM', 'SIGCONT', 'SIGKILL'] as const;

/**
 * Signals the process group of each. The kernel lets us reach our own processes only.
 * @returns what is wrong, if anything is; a process that is gone already needs no signal
 */
export function signalGroups(signal: string, processes: readonly number[]): string | undefined {
  if (!isSignal(signal)) return `error: signal ${signal}: only ${SIGNALS.join(', ')} are sent`;
  if (!processes.every((pid) => Number.isSafeInteger(pid) && pid > 1)) return 'error: that is no number of a process';
  const groups = new Set(processes.map(groupOf).filter((group) => group > 1));
  const complaints = [...groups].map((group) => signalGroup(signal, group));
  return complaints.find((complaint) => complaint !== undefined);
}

function isSignal(name: string): name is (typeof SIGNALS)[number] {
  return SIGNALS.some((signal) => signal === name);
}

function signalGroup(signal: NodeJS.Signals, group: number): string | undefined {
  try {
    process.kill(-group, signal);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ESRCH' ? undefined : `error: process group ${group} cannot be signalled (${code})`;
  }
}
