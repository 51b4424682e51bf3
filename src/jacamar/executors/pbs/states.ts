// States of PBS jobs, and what their Exit_status says. Source: qstat(1B), job.h of OpenPBS (JOB_EXEC_*), measured with
// 23.06; of Torque the page on job exit status in its guide.

import type { JobEnd, Phase } from '../batch/scheduler.ts';

/** T: on its way to another server. S and U: suspended, by somebody or by a busy workstation. */
const PHASES: Readonly<Record<string, Phase>> = {
  Q: 'pending',
  H: 'pending',
  W: 'pending',
  T: 'pending',
  M: 'pending',
  R: 'running',
  S: 'running',
  U: 'running',
  B: 'running',
  E: 'ending',
  C: 'ended',
  X: 'ended',
  F: 'ended',
};

export function phaseOf(letter: string): Phase | undefined {
  return PHASES[letter];
}

/** A job that was deleted before it ran. */
const DELETED_SUBSTATE = '91';
const TOO_MUCH_CPU_TIME: JobEnd = { kind: 'failed', note: 'it used more CPU time than it asked for' };
const TOO_MANY_CPUS: JobEnd = { kind: 'failed', note: 'it used more CPUs than it asked for' };
const LIMITS: Readonly<Record<number, JobEnd>> = {
  [-29]: { kind: 'time-limit' },
  [-28]: TOO_MUCH_CPU_TIME,
  [-27]: { kind: 'out-of-memory' },
  [-26]: { kind: 'out-of-memory' },
  [-25]: TOO_MANY_CPUS,
  [-24]: TOO_MANY_CPUS,
};
/** Numbers with another meaning there, in a state that only Torque has. */
const TORQUE_LIMITS: Readonly<Record<number, JobEnd>> = {
  [-10]: { kind: 'out-of-memory' },
  [-11]: { kind: 'time-limit' },
  [-12]: TOO_MUCH_CPU_TIME,
};
const TORQUE_COMPLETE = 'C';

/** What is known of an end. */
interface EndFacts {
  readonly letter: string;
  /** `Exit_status`; a whole job that got a signal has 256 and its number. */
  readonly status: number | undefined;
  readonly substate: string | undefined;
  readonly comment: string | undefined;
}

export function endOf({ letter, status, substate, comment }: EndFacts): JobEnd {
  const note = comment === undefined ? {} : { note: comment };
  if (status === undefined) return { kind: substate === DELETED_SUBSTATE ? 'cancelled' : 'failed', ...note };
  if (status >= 256) return { kind: 'cancelled', signal: status - 256, ...note };
  if (status > 0) return { kind: 'failed', exitCode: status };
  if (status === 0) return { kind: 'completed', exitCode: 0 };
  const limits = letter === TORQUE_COMPLETE ? TORQUE_LIMITS : LIMITS;
  return limits[status] ?? { kind: 'start-failure', note: comment ?? `Exit_status ${status}` };
}

/** A hold that no release can mend: the job could not be started, over and over (its output, its home). */
export function stuckEnd(letter: string, comment: string | undefined): JobEnd | undefined {
  const isStuck = letter === 'H' && /too many failed attempts/i.test(comment ?? '');
  return isStuck ? { kind: 'start-failure', note: comment ?? '' } : undefined;
}

const EPITAPH = /^=>> PBS: job killed: (\w+)/gm;
/** Where it is looked for, in bytes from the end: what is further up the script may have written. */
const EPITAPH_REACH = 4_096;

/** What PBS writes into the output of a job that it kills for a limit. */
export function readEpitaph(output: string): JobEnd | undefined {
  const what = [...output.slice(-EPITAPH_REACH).matchAll(EPITAPH)].at(-1)?.[1];
  if (what === undefined) return undefined;
  if (what === 'walltime') return { kind: 'time-limit' };
  if (what === 'mem' || what === 'vmem') return { kind: 'out-of-memory' };
  return { kind: 'failed', note: `PBS killed it for ${what}` };
}
