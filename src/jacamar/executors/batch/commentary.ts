// What is told and decided at each look at a job: what is new goes to the job log, and limits that nobody else keeps
// end it early.

import type { Handoff } from '../../../contract/handoff.ts';
import { judgeBudget, lastMinutes } from './budget.ts';
import type { Commands } from './commands.ts';
import type { JobLog } from './job-log.ts';
import { narrate, type Seen as Told } from './narrator.ts';
import type { Clock } from './patience.ts';
import type { JobStatus, Scheduler } from './scheduler.ts';
import type { OwnStop } from './verdict.ts';
import type { Seen } from './watch.ts';

/** So many answers in a row must say that a job can never start: an administrator may be about to change that. */
const NEVER_LIMIT = 3;

/** One job's. */
export interface Commented {
  readonly scheduler: Scheduler;
  readonly handoff: Handoff;
  readonly commands: Pick<Commands, 'count'>;
  readonly id: string;
  /** Wall time asked for, in seconds. */
  readonly requestedTime: number | undefined;
  readonly log: JobLog;
  readonly clock: Clock;
}

/** Seconds until the CI job times out. */
export function remainingSeconds({ job }: Handoff, clock: Clock): number {
  return job.startedAt / 1000 + job.timeoutSeconds - clock.date() / 1000;
}

export class Commentary {
  readonly #of: Commented;
  #told: Told | undefined;
  #answers = 0;
  #never = 0;
  #neverSince = Number.POSITIVE_INFINITY;
  #remaining: number | undefined;
  #isStartJudged = false;
  /** On the process's own clock, in milliseconds: no change of the date ends a job. */
  readonly #timeout: number;

  constructor(of: Commented) {
    this.#of = of;
    this.#timeout = of.clock.now() + remainingSeconds(of.handoff, of.clock) * 1000;
  }

  /** Returns why the job shall end, if it shall. */
  async look(seen: Seen): Promise<OwnStop | undefined> {
    const status = this.#statusOf(seen);
    this.#countNever(seen, status);
    const told = this.#toTell(seen, status);
    const last = this.#countDown(status);
    await this.#of.log.say(...narrate(this.#told, told), ...this.#startWarning(status), ...last.lines);
    this.#told = told;
    if (last.isTimeToCancel) return 'budget';
    if (this.#neverStarts()) return 'never-starts';
    const { maxPendingMs = Number.POSITIVE_INFINITY } = this.#of.handoff.settings.batch;
    const isWaiting = (status === undefined || status.phase === 'pending') && seen.startedOn === undefined;
    return isWaiting && seen.elapsedMs > maxPendingMs ? 'max-pending' : undefined;
  }

  /** The job says itself that it runs, long before the scheduler is asked again. */
  #statusOf({ status, startedOn }: Seen): JobStatus | undefined {
    if (startedOn === undefined || (status !== undefined && status.phase !== 'pending')) return status;
    return { ...status, phase: 'running', state: this.#of.scheduler.runningState, nodes: startedOn };
  }

  #countNever({ answers, silence }: Seen, status: JobStatus | undefined): void {
    if (answers === this.#answers || silence !== undefined) return;
    this.#answers = answers;
    const isNever = status?.phase === 'pending' && this.#reasonOf(status)?.isNever === true;
    this.#never = isNever ? this.#never + 1 : 0;
    this.#neverSince = isNever ? Math.min(this.#neverSince, this.#of.clock.now()) : Number.POSITIVE_INFINITY;
  }

  #neverStarts(): boolean {
    const { clock, scheduler } = this.#of;
    return this.#never >= NEVER_LIMIT && clock.now() - this.#neverSince >= scheduler.neverAfterMs;
  }

  #toTell({ elapsedMs, silence }: Seen, status: JobStatus | undefined): Told {
    const { scheduler, id, clock, commands } = this.#of;
    return {
      ...{
        scheduler: scheduler.title,
        runningState: scheduler.runningState,
        id,
        status,
        silence,
        reason: this.#reasonOf(status),
        calls: commands.count,
      },
      waited: elapsedMs / 1000,
      now: clock.date(),
      never: { count: this.#never, limit: NEVER_LIMIT },
    };
  }

  #reasonOf(status: JobStatus | undefined): ReturnType<Scheduler['reason']> | undefined {
    return status?.reason === undefined ? undefined : this.#of.scheduler.reason(status.reason);
  }

  #countDown(status: JobStatus | undefined): ReturnType<typeof lastMinutes> {
    const { handoff, clock, scheduler } = this.#of;
    if (status?.phase === 'ending' || status?.phase === 'ended') return { lines: [], isTimeToCancel: false };
    const remaining = (this.#timeout - clock.now()) / 1000;
    const before = this.#remaining;
    this.#remaining = remaining;
    const isPending = status?.phase !== 'running';
    const timeout = handoff.job.timeoutSeconds;
    return lastMinutes({ isPending, remaining, before, timeout, cancelSeconds: scheduler.cancelLimitMs / 1000 });
  }

  /** Once, when the scheduler has said for the first time when the job may start. */
  #startWarning(status: JobStatus | undefined): string[] {
    if (this.#isStartJudged || status?.phase !== 'pending' || status.expectedStart === undefined) return [];
    this.#isStartJudged = true;
    const { handoff, clock, requestedTime } = this.#of;
    const decision = judgeBudget({
      policy: handoff.settings.batch.budget,
      remaining: (this.#timeout - clock.now()) / 1000,
      requested: requestedTime ?? status.timeLimit,
      startsIn: (status.expectedStart - clock.date()) / 1000,
    });
    return decision.kind === 'fits' ? [] : [decision.text];
  }
}
