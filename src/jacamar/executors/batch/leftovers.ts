// Batch jobs that nobody watches any more: of a stage that was killed, ended at cleanup, and of a job whose runner died
// with it, ended by the next job of the account.

import { join } from 'node:path';
import type { Lock } from '../../../contract/lock.ts';
import { tell } from '../../../contract/program.ts';
import { cancelJob } from './cancel.ts';
import type { Commands } from './commands.ts';
import { withdraw } from './job-directory.ts';
import type { Clock } from './patience.ts';
import type { Scheduler } from './scheduler.ts';
import type { Entry, Submissions } from './submissions.ts';
import { findByName } from './submit.ts';
import { takeTurn } from './turn.ts';

/** How long to wait for the end of one, in milliseconds. */
const LIMIT_MS = 60_000;

export interface Leftovers {
  readonly scheduler: Scheduler;
  readonly commands: Commands;
  readonly submissions: Submissions;
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

/** Ends those for which no cleanup will come. One that is slow to end is enough for one of the jobs that start beside it. */
export async function endOrphans(by: Leftovers & { readonly lock: Pick<Lock, 'tryLock'> }): Promise<void> {
  using turn = takeTurn(join(by.submissions.directory, 'leftovers'), by.lock);
  if (turn !== undefined) await endLeftovers(by.submissions.orphans(), by);
}

/** Ends these submissions. One stays on record for as long as its job may live. */
export async function endLeftovers(entries: readonly Entry[], by: Leftovers): Promise<void> {
  await Promise.allSettled(entries.map((entry) => endLeftover(entry, by)));
}

async function endLeftover(entry: Entry, by: Leftovers): Promise<void> {
  note(entry, by.submissions);
  // It may be taken only now, from a command that was killed while it waited.
  if (entry.directory !== undefined) withdraw(entry.directory);
  const known = entry.id === undefined ? [] : [entry.id];
  const isOnly = known.length > 0 && entry.mayHaveCopies !== true;
  const named = isOnly ? [] : await findByName(entry.name, by, { limitMs: LIMIT_MS, stop: by.stop });
  const ids = [...new Set([...known, ...named])];
  const ends = await Promise.all(ids.map(async (id) => await endJob(id, by)));
  if (ends.every(Boolean)) by.submissions.remove(entry);
}

/** Whether it is over. */
async function endJob(id: string, by: Leftovers): Promise<boolean> {
  const { isOver } = await cancelJob(id, by, LIMIT_MS);
  const { title } = by.scheduler;
  if (isOver) tell(`Ended the ${title} job ${id}, which a killed stage had left.`);
  else tell(`The ${title} job ${id}, which a killed stage has left, could not be ended; your next job tries again.`);
  return isOver;
}

/** That it is nobody's any more. A full disk keeps no job alive. */
function note(entry: Entry, submissions: Submissions): void {
  try {
    submissions.write({ ...entry, isAbandoned: true });
  } catch {
    // The record stays as it is, and says the same once our runner has ended.
  }
}
