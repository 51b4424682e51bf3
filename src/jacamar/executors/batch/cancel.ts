// Ends a batch job, and knows that it has ended: cancelling is asynchronous everywhere, and a command that reached
// nobody says nothing about the job.

import { COMMAND_LIMIT_MS, type Commands } from './commands.ts';
import { BackOff, type Clock } from './patience.ts';
import type { JobStatus, Scheduler } from './scheduler.ts';

/** What is known of a job that was to end. */
export interface Cancelled {
  /** The scheduler says that it is over, or knows it no more. */
  readonly isOver: boolean;
  readonly status: JobStatus | undefined;
}

/**
 * Cancels, again until the scheduler has heard it, and waits for the end, at most `limitMs` and no longer than commands
 * are open.
 */
export async function cancelJob(
  id: string,
  { scheduler, commands, clock }: { scheduler: Scheduler; commands: Commands; clock: Clock },
  limitMs: number,
): Promise<Cancelled> {
  const deadline = clock.now() + limitMs;
  const backOff = new BackOff(clock, 200, 5_000);
  let hasHeard = false;
  let status: JobStatus | undefined;
  let isEnding = false;
  do {
    const limit = () => Math.min(COMMAND_LIMIT_MS, deadline - clock.now());
    if (!hasHeard) hasHeard = scheduler.readCancelled(await commands.try(scheduler.cancel(id), undefined, limit()));
    if (hasHeard) {
      const { inquired } = await commands.ask(scheduler.details, [id], { limitMs: limit() });
      if (inquired.kind === 'known') {
        status = inquired.jobs.get(id) ?? status;
        if (!inquired.jobs.has(id)) return { isOver: true, status };
        // Slurm calls a job ended for a moment before it begins to end its processes.
        const hasEnded = status?.phase === 'ended';
        if (hasEnded && isEnding) return { isOver: true, status };
        isEnding = hasEnded;
      }
    }
    await backOff.pause(commands.closed, deadline - clock.now());
  } while (clock.now() < deadline && !commands.closed.aborted);
  return { isOver: false, status };
}
