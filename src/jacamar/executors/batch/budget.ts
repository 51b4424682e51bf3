// The CI job has a timeout of its own, and time in the queue counts. Whether the wall time that a submission asks for
// fits into what is left, and what is said and done when the end comes near. No clock here: all times are seconds.

import { durationText } from './durations.ts';

/** What is known when the job is submitted. */
export interface BudgetFacts {
  readonly policy: 'off' | 'warn' | 'refuse';
  /** Until the timeout of the CI job. */
  readonly remaining: number;
  /** Wall time asked for; absent when nothing asks for it, Infinity for no limit. */
  readonly requested?: number | undefined;
  /** Until the scheduler expects to start the job. */
  readonly startsIn?: number | undefined;
}

export type BudgetDecision =
  | { readonly kind: 'fits' }
  | { readonly kind: 'warn'; readonly text: string }
  | { readonly kind: 'refuse'; readonly text: string };

/** Refuses by wall time alone: when a job starts is no more than a guess, and mostly a pessimistic one. */
export function judgeBudget({ policy, remaining, requested, startsIn }: BudgetFacts): BudgetDecision {
  if (policy === 'off') return { kind: 'fits' };
  const left = `${durationText(remaining)} are left of this CI job`;
  if (requested !== undefined && requested > remaining) {
    const asked = Number.isFinite(requested) ? durationText(requested) : 'no limit';
    const text = `The wall time asked for (${asked}) does not fit: ${left}. ${ADVICE}`;
    return { kind: policy, text };
  }
  if (startsIn === undefined || startsIn <= 0) return { kind: 'fits' };
  const runs = requested === undefined || !Number.isFinite(requested) ? 0 : requested;
  if (startsIn + runs <= remaining) return { kind: 'fits' };
  const needs = runs === 0 ? '' : ` and may take ${durationText(runs)}`;
  const text = `The job is expected to start in ${durationText(startsIn)}${needs}, but ${left}. ${ADVICE}`;
  return { kind: 'warn', text };
}

const ADVICE = 'Ask for less (SCHEDULER_TIME), or give the CI job more time ("timeout" in .gitlab-ci.yml).';

/** Notices come when so much is left, in seconds. */
const NOTICES = [600, 300, 120] as const;
/** For what the runner does after the script, in seconds. */
const MARGIN = 15;
/** Of a short CI job no more than this part is given up for an orderly end. */
const LARGEST_RESERVE = 0.1;

/** One look at the clock. */
export interface Countdown {
  readonly isPending: boolean;
  /** Until the timeout of the CI job, now and at the look before; absent at the first. */
  readonly remaining: number;
  readonly before?: number | undefined;
  /** Timeout of the CI job. */
  readonly timeout: number;
  /** How long the scheduler may need to end a job. */
  readonly cancelSeconds: number;
}

export interface LastMinutes {
  readonly lines: readonly string[];
  /** Now, so that the job ends in an orderly way, before the runner ends us. */
  readonly isTimeToCancel: boolean;
}

/** What to say and to do; a CI job that is short from its start is told nothing but the end. */
export function lastMinutes(countdown: Countdown): LastMinutes {
  const { isPending, remaining, before, timeout, cancelSeconds } = countdown;
  const reserve = Math.min(cancelSeconds + MARGIN, timeout * LARGEST_RESERVE);
  const end = `The CI job times out in ${durationText(remaining)}`;
  if (remaining <= reserve) {
    return { lines: [`${end}: the batch job is cancelled now, so that it ends in order.`], isTimeToCancel: true };
  }
  const isNoticed = NOTICES.some((notice) => {
    return notice > reserve && before !== undefined && before > notice && remaining <= notice;
  });
  if (!isNoticed) return { lines: [], isTimeToCancel: false };
  const what = isPending ? 'waits in the queue' : 'runs';
  const text = `${end}, and the batch job still ${what}. It is cancelled ${durationText(reserve)} before that.`;
  return { lines: [text], isTimeToCancel: false };
}
