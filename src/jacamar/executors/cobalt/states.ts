// States of Cobalt jobs, which are also why they wait. Source: qstat and the queue manager (cqm.py).

import type { Phase, Reason } from '../batch/scheduler.ts';

const PHASES: Readonly<Record<string, Phase>> = {
  queued: 'pending',
  hold: 'pending',
  user_hold: 'pending',
  admin_hold: 'pending',
  dep_hold: 'pending',
  dep_fail: 'pending',
  maxrun_hold: 'pending',
  preempted: 'pending',
  starting: 'pending',
  ready: 'pending',
  running: 'running',
  preempting: 'running',
  exiting: 'ending',
  killing: 'ending',
  done: 'ending',
};

/** Older versions write blanks. */
export function phaseOf(state: string): Phase | undefined {
  const word = state.replaceAll(' ', '_');
  return Object.hasOwn(PHASES, word) ? PHASES[word] : undefined;
}

const REASONS: Readonly<Record<string, string>> = {
  queued: 'it waits for nodes, or Cobalt has not looked at it yet',
  starting: 'its nodes are made ready',
  ready: 'its nodes are made ready',
  hold: 'it is held; "qrls" lets it go',
  user_hold: 'it is held; "qrls" lets it go',
  admin_hold: 'an administrator holds it',
  dep_hold: 'it depends on something that has not come true yet',
  maxrun_hold: 'its owner has as many running jobs as the queue allows',
  preempted: 'a more important job took its place',
};

export function cobaltReason(word: string): Reason {
  const name = word.replaceAll(' ', '_');
  if (name === 'dep_fail') return { text: 'it depends on a job that has failed', isNever: true };
  return {
    text: (Object.hasOwn(REASONS, name) ? REASONS[name] : undefined) ?? 'Cobalt gives this reason',
    isNever: false,
  };
}
