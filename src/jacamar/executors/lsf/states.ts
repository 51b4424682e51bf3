// States of LSF jobs, and how one ended: the exit reasons are TERM_… words. Source: the documents of LSF 10.1.

import type { EndKind, JobEnd, Phase } from '../batch/scheduler.ts';

/** UNKWN: its host is silent, which is no end. ZOMBI: it was given up on a host that stays silent. */
const PHASES: Readonly<Record<string, Phase>> = {
  PEND: 'pending',
  PSUSP: 'pending',
  WAIT: 'pending',
  PROV: 'pending',
  RUN: 'running',
  USUSP: 'running',
  SSUSP: 'running',
  UNKWN: 'running',
  DONE: 'ended',
  EXIT: 'ended',
  ZOMBI: 'ended',
};

export function phaseOf(state: string): Phase | undefined {
  return Object.hasOwn(PHASES, state) ? PHASES[state] : undefined;
}

const TERMS: readonly (readonly [RegExp, EndKind])[] = [
  [/^TERM_RUNLIMIT/, 'time-limit'],
  [/^TERM_(?:MEMLIMIT|SWAP)/, 'out-of-memory'],
  [/^TERM_(?:OWNER|ADMIN|FORCE_OWNER|FORCE_ADMIN|REMOVE_HUNG_JOB|ORPHAN_SYSTEM)/, 'cancelled'],
  [/^TERM_(?:PREEMPT|LOAD|RC_RECLAIM|WINDOW|DEADLINE|CHKPNT)/, 'preempted'],
  [/^TERM_CWD_NOTEXIST|^TERM_PRE_EXEC_FAIL/, 'start-failure'],
  [/^TERM_ZOMBIE/, 'node-failure'],
];
const WORD = /^TERM_\w+/;

/**
 * @param code absent for a job that never ran
 * @param reason `TERM_OWNER: job killed by owner`
 */
export function endOf(state: string, code: number | undefined, reason: string | undefined): JobEnd {
  if (state === 'DONE') return { kind: 'completed', exitCode: 0 };
  if (state === 'ZOMBI') return { kind: 'node-failure' };
  const kind = TERMS.find(([pattern]) => pattern.test(reason ?? ''))?.[1] ?? (code ? 'failed' : 'cancelled');
  return {
    kind,
    // A code of its own above 128 cannot be told from a signal: the wrapper's word settles it.
    ...(code === undefined || code === 0 ? {} : { exitCode: code }),
    ...(kind === 'cancelled' ? byWhom(reason) : {}),
    ...(reason === undefined ? {} : { note: reason }),
  };
}

function byWhom(reason = ''): Pick<JobEnd, 'by'> {
  const word = WORD.exec(reason)?.[0] ?? '';
  if (word.endsWith('ADMIN')) return { by: 'an administrator of LSF' };
  return word.endsWith('OWNER') ? { by: 'its owner' } : {};
}
