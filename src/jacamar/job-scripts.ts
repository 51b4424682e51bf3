// The directory in which the scripts of one job lie, from its first run stage to its cleanup. A note in `jobs` says
// whose it is, so that the scripts of a job whose programs and runner were killed are removed by the next job.

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as v from 'valibot';
import { scriptsDirectory, slotName } from '../contract/directories.ts';
import type { Handoff } from '../contract/handoff.ts';
import { tell } from '../contract/program.ts';
import { claimSchema } from './claim/store.ts';
import { claimFor, isLive, isOf } from './claim.ts';
import { type Directory, readNow } from './directory.ts';
import { describeRemains, NOTHING_LEFT, type Patience, type Removal, removeBelow } from './removal.ts';
import { removeRepositoryAccess } from './repository-access.ts';
import { makePrivate, openBelow } from './workspace.ts';

const PRIVATE = 0o700;
const NOTE = /^[A-Za-z0-9_-]+\.[0-9]+\.[0-9]+\.json$/;

const noteSchema = v.object({
  /** Below `scripts`. */
  directory: v.pipe(v.string(), v.check(isWay)),
  owner: claimSchema,
  /** Cleanup has begun, and left something. */
  isOver: v.boolean(),
});
type Note = v.InferOutput<typeof noteSchema>;

/** Makes the directory, and the note before it: what is made can be found again. */
export function openScripts(handoff: Handoff, slot: number): void {
  using notes = openNotes(handoff);
  write(notes, nameFor(handoff, slot), { directory: levelsOf(handoff, slot), owner: claimFor(handoff), isOver: false });
  makePrivate(handoff, directoryOf(handoff, slot));
}

/** Removes the scripts of the job, or with `general.retain_logs` what is secret among them. */
export async function removeScripts(handoff: Handoff, slot: number, patience: Patience): Promise<void> {
  using notes = openNotes(handoff);
  const name = nameFor(handoff, slot);
  const note = { directory: levelsOf(handoff, slot), owner: claimFor(handoff), isOver: true };
  const removal = await removeNoted(handoff, note, patience);
  if (removal.isWhole) return rmSync(notes.at(name), { force: true });
  tellRemains(handoff, [removal]);
  try {
    write(notes, name, note);
  } catch {
    // Without room for it the note stays as it is, and the next job waits for the end of our runner.
  }
}

/** Removes the scripts of jobs of this account that can never be cleaned up any more. */
export async function removeDeadScripts(handoff: Handoff, patience: Patience): Promise<void> {
  using notes = openNotes(handoff);
  const removals: Removal[] = [];
  for (const name of notes.names().map(String).filter(isNote)) {
    const note = read(notes, name);
    if (note === undefined || isOf(note.owner, handoff.job) || !isDead(note)) continue;
    const removal = await removeNoted(handoff, note, patience);
    if (removal.isWhole) rmSync(notes.at(name), { force: true });
    removals.push(removal);
    if (removal.isOutOfTime) break;
  }
  const whole = removals.filter(({ isWhole }) => isWhole).length;
  if (whole > 0) tell(`Removed the scripts of ${whole} job(s) that ended without cleanup.`);
  tellRemains(handoff, removals);
}

/** Whether a job with this number may still run scripts. */
export function mayBeAtWork(handoff: Handoff, jobId: number): boolean {
  using notes = openNotes(handoff);
  const names = notes.names().map(String).filter(isNote);
  const found = names.filter((name) => name.endsWith(`.${jobId}.json`)).map((name) => read(notes, name));
  return found.some((note) => note !== undefined && !isDead(note));
}

function isDead({ owner, isOver }: Note): boolean {
  return isOver || !isLive(owner);
}

async function removeNoted(handoff: Handoff, { directory }: Note, patience: Patience): Promise<Removal> {
  const path = join(handoff.base, 'scripts', directory);
  if (handoff.settings.retainLogs) {
    removeRepositoryAccess(path);
    return NOTHING_LEFT;
  }
  using scripts = openBelow(handoff, join(handoff.base, 'scripts'), PRIVATE);
  return await removeBelow(scripts, directory.split('/'), patience);
}

function tellRemains({ base }: Handoff, removals: readonly Removal[]): void {
  const remains = removals.flatMap(describeRemains);
  if (remains.length === 0) return;
  tell(`Some scripts of earlier jobs could not be removed from ${join(base, 'scripts')}:\n  ${remains.join('\n  ')}`);
}

function openNotes(handoff: Handoff): Directory {
  return openBelow(handoff, join(handoff.base, 'jobs'), PRIVATE);
}

/** Where they lie. */
export function directoryOf({ base, job }: Handoff, slot: number): string {
  return scriptsDirectory(base, { ...job, slot, jobId: job.id });
}

function levelsOf(handoff: Handoff, slot: number): string {
  return relative(join(handoff.base, 'scripts'), directoryOf(handoff, slot));
}

function nameFor({ job }: Handoff, slot: number): string {
  return `${job.runner}.${slotName(slot)}.${job.id}.json`;
}

function isWay(directory: string): boolean {
  return directory.split('/').every((level) => level !== '' && level !== '.' && level !== '..');
}

function isNote(name: string): boolean {
  return NOTE.test(name);
}

/** Undefined for what nobody finished writing. */
function read(notes: Directory, name: string): Note | undefined {
  try {
    return v.parse(noteSchema, JSON.parse(readNow(notes.at(name))));
  } catch {
    return undefined;
  }
}

function write(notes: Directory, name: string, note: Note): void {
  // Not by the process alone: other hosts and containers have the same numbers.
  const temporary = notes.at(`.${name}.${process.pid}`);
  try {
    writeFileSync(temporary, JSON.stringify(note), { mode: 0o600 });
    renameSync(temporary, notes.at(name));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
