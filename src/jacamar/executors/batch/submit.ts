// Gives a job to the scheduler exactly once, also where its answer gets lost: every job has a name that nothing else
// bears, and after a doubtful answer that name is looked for before anything is submitted again.

import { JobError, SystemFailure } from '../../../contract/errors.ts';
import { printable } from '../../../contract/text.ts';
import type { Commands } from './commands.ts';
import { BackOff, type Clock } from './patience.ts';
import type { Command, Scheduler, Submission, Submitted } from './scheduler.ts';

/** A submission may wait in a busy controller for long, in milliseconds. */
const SUBMIT_LIMIT_MS = 120_000;
/** How long a scheduler may be out of order before the job is given up, in milliseconds. */
const OUTAGE_LIMIT_MS = 10 * 60_000;
/** So many, a quarter of a minute in all: a job that was taken just before an outage may be listed a little later. */
const LOOKS_FOR_NAME = 5;
/** How long to try to cancel what was taken under a useless id, in milliseconds. */
const CANCEL_LIMIT_MS = 60_000;

export interface Submitter {
  readonly scheduler: Scheduler;
  readonly commands: Commands;
  readonly stop: AbortSignal;
  readonly clock: Clock;
  /** Longest pause between two tries, in milliseconds. */
  readonly longestPauseMs: number;
  /** A line for the job log. */
  say(line: string): Promise<void>;
}

/** A job that the scheduler has. */
export interface Taken {
  /** The scheduler's own. */
  readonly id: string;
  /** Lines that the command said besides: warnings of the scheduler, or of the site's own plugin. Foreign text. */
  readonly remarks: readonly string[];
  /** An earlier try was not found by its name, and could arrive still. */
  readonly mayHaveCopies: boolean;
}

/**
 * Submits, and again for as long as the scheduler says that it cannot just now.
 * @returns the job that it took
 * @throws {JobError} the scheduler refuses the request
 * @throws {SystemFailure} the scheduler did not work for ten minutes, or the stage shall end
 */
export async function submit(submission: Submission, by: Submitter): Promise<Taken> {
  const { clock } = by;
  const backOff = new BackOff(clock, 2_000, by.longestPauseMs);
  const deadline = clock.now() + OUTAGE_LIMIT_MS;
  let mayHaveCopies = false;
  for (let told = ''; ; ) {
    const submitted = await attempt(submission, by);
    if (submitted.kind === 'accepted') return { ...submitted, mayHaveCopies };
    if (submitted.kind === 'refused') throw await refused(submitted, by);
    mayHaveCopies ||= submitted.kind === 'doubtful';
    const why = printable(submitted.why);
    if (clock.now() > deadline || by.stop.aborted) throw unavailable(by.scheduler, why);
    if (why !== told) await by.say(`${by.scheduler.title} does not take jobs at the moment, trying again: ${why}`);
    told = why;
    await backOff.pause(by.stop);
  }
}

type Accepted = Omit<Taken, 'mayHaveCopies'> & { readonly kind: 'accepted' };
type Attempted = Exclude<Submitted, { kind: 'accepted' }> | Accepted;

/** One try. After a doubtful answer it is looked for: it was taken, or may be tried again, still in doubt. */
async function attempt(submission: Submission, by: Submitter): Promise<Attempted> {
  const { scheduler, stop } = by;
  const ask = (command: Command) => answerTo(command, by);
  const first = await ask(scheduler.submit(submission));
  const other = first.kind === 'unavailable' ? scheduler.submitOtherwise?.(submission) : undefined;
  const submitted = other === undefined ? first : await ask(other);
  if (submitted.kind === 'unavailable') return { ...submitted, kind: 'refused' };
  if (submitted.kind !== 'doubtful') return submitted;
  await by.say(`${scheduler.title} did not say whether it took the job; looking for it by its name.`);
  const [id, ...others] = await findByName(submission.name, by, { limitMs: OUTAGE_LIMIT_MS, stop });
  // Two of them when the scheduler took longer over an earlier try than we looked for it.
  for (const copy of others) await cancelUnwatched(copy, by);
  return id === undefined ? submitted : { kind: 'accepted', id, remarks: [] };
}

/** Not ended by a stop: a job that is submitted all the same has to be known, to be cancelled. */
async function answerTo(command: Command, { scheduler, commands }: Submitter): Promise<Attempted> {
  const answer = await commands.run(command, undefined, SUBMIT_LIMIT_MS);
  const submitted = scheduler.readSubmitted(answer);
  if (submitted.kind !== 'accepted') return submitted;
  const remarks = answer.stderr.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  return { ...submitted, remarks };
}

/**
 * The ids of the jobs of that name; none when the scheduler surely has none.
 * @throws {SystemFailure} it gives no answer, or the stage shall end before it does
 */
export async function findByName(
  name: string,
  { scheduler, commands, clock }: Pick<Submitter, 'scheduler' | 'commands' | 'clock'>,
  { limitMs, stop }: { readonly limitMs: number; readonly stop: AbortSignal },
): Promise<readonly string[]> {
  const backOff = new BackOff(clock, 1_000, 60_000);
  const deadline = clock.now() + limitMs;
  let search = scheduler.byName;
  for (let looks = 0; ; ) {
    const found = search.read(await commands.try(search.about(name)), name);
    if (found === 'unavailable' && search.otherwise !== undefined) {
      search = search.otherwise;
      continue;
    }
    if (Array.isArray(found)) {
      looks += 1;
      if (found.length > 0 || looks === LOOKS_FOR_NAME) return found;
    }
    if (stop.aborted || clock.now() > deadline) throw unavailable(scheduler, 'no answer about jobs by name');
    await backOff.pause(stop);
  }
}

async function refused(
  { why, orphan }: Submitted & { kind: 'refused' },
  { scheduler, commands, clock }: Submitter,
): Promise<JobError> {
  const { title } = scheduler;
  const isLeft = orphan !== undefined && !(await cancelUnwatched(orphan, { scheduler, commands, clock }));
  const left = isLeft ? `It could not be cancelled: end ${printable(orphan)} yourself.` : 'Nothing is left of it.';
  const message =
    `${title} refuses this job: ${printable(why)}\nChange the SCHEDULER_ variables of the job. ` +
    `${orphan === undefined ? 'Nothing was submitted.' : left}`;
  return new JobError({ code: 'ERR_SUBMIT_REFUSED', message });
}

/** Of such a job no id is on record, so nobody would try again later. */
async function cancelUnwatched(
  id: string,
  { scheduler, commands, clock }: Pick<Submitter, 'scheduler' | 'commands' | 'clock'>,
): Promise<boolean> {
  const backOff = new BackOff(clock, 1_000, 10_000);
  const deadline = clock.now() + CANCEL_LIMIT_MS;
  while (!scheduler.readCancelled(await commands.run(scheduler.cancel(id)))) {
    if (clock.now() > deadline || commands.closed.aborted) return false;
    await backOff.pause(commands.closed);
  }
  return true;
}

function unavailable({ title }: Scheduler, why: string): SystemFailure {
  const message = `The job could not be given to ${title}: ${why}. This is no fault of the job.`;
  return new SystemFailure({ code: 'ERR_SUBMIT', message, publicMessage: message });
}
