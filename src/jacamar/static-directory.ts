// Build directories that belong to one job and outlive it (`general.static_builds_dir`). Beside each lies a small file,
// `.<job id>`: it says whose the directory is, and its time of modification since when it is not needed any more. The
// time of the directory itself changes with what the job does in it.

import { closeSync, constants, lstatSync, lutimesSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataPermissions, staticDirectory } from '../contract/directories.ts';
import { JobError } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import { tell } from '../contract/program.ts';
import { printable } from '../contract/text.ts';
import { type Directory, readNow } from './directory.ts';
import { mayBeAtWork } from './job-scripts.ts';
import { describeRemains, type Patience, removeEntry } from './removal.ts';
import { openBelow } from './workspace.ts';

/** How long after its timeout a job may still be busy cleaning up, in milliseconds. */
const CLEANUP_TIME_MS = 60 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/**
 * Takes the directory of this number for the job; it may have it already, when config is repeated.
 * @throws {JobError} it belongs to a job of another server with the same number, or to nobody we know
 */
export function takeStaticDirectory(handoff: Handoff): void {
  const { job } = handoff;
  using directories = openStatic(handoff);
  const note = noteOf(job.id);
  const isNew = !exists(directories, String(job.id)) && writeNote(directories, note, job.server);
  if (!isNew && readNote(directories, note) !== job.server) throw taken(directories, job.id);
  keepUntil(directories, note, Date.now() + job.timeoutSeconds * 1000 + CLEANUP_TIME_MS);
}

/** From now on the days count. */
export function leaveStaticDirectory(handoff: Handoff): void {
  using directories = openStatic(handoff);
  const note = noteOf(handoff.job.id);
  if (readNote(directories, note) === handoff.job.server) keepUntil(directories, note, Date.now());
}

/** Removes what has not been needed for as long as the site wants it kept. */
export async function removeOldStaticDirectories(handoff: Handoff, patience: Patience): Promise<void> {
  const { staticMinDays: days } = handoff.settings;
  if (days === 0) return;
  using directories = openStatic(handoff);
  const notes = directories.names().map(String).filter(isNote);
  const isOld = (note: string) => lstatSync(directories.at(note)).mtimeMs + days * DAY_MS < Date.now();
  for (const note of notes.filter(isOld)) {
    // The clock may have been set since that job began.
    if (mayBeAtWork(handoff, Number(note.slice(1)))) continue;
    const removal = await removeEntry(directories, note.slice(1), patience);
    if (removal.isWhole) rmSync(directories.at(note), { force: true });
    else tell(`${printable(join(directories.path, note.slice(1)))} stays:\n  ${describeRemains(removal).join('\n  ')}`);
    if (removal.isOutOfTime) return;
  }
}

function openStatic(handoff: Handoff): Directory {
  return openBelow(handoff, staticDirectory(handoff), dataPermissions(handoff.settings));
}

function noteOf(jobId: number): string {
  return `.${jobId}`;
}

function isNote(name: string): boolean {
  return /^\.[0-9]+$/.test(name);
}

function exists(directory: Directory, name: string): boolean {
  return lstatSync(directory.at(name), { throwIfNoEntry: false }) !== undefined;
}

/** False when there is one. */
function writeNote(directory: Directory, note: string, server: string): boolean {
  if (exists(directory, note)) return false;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(directory.at(note), flags, 0o600);
  try {
    writeFileSync(descriptor, server);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

function readNote(directory: Directory, note: string): string | undefined {
  return exists(directory, note) ? readNow(directory.at(note)) : undefined;
}

function keepUntil(directory: Directory, note: string, time: number): void {
  lutimesSync(directory.at(note), time / 1000, time / 1000);
}

function taken(directory: Directory, jobId: number): JobError {
  const path = printable(`${directory.path}/${jobId}`);
  return new JobError({
    code: 'ERR_STATIC_DIRECTORY',
    message: `${path} exists and is of no job of this server; remove it, or start the job again, which gets another number.`,
  });
}
