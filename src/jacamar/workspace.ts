// The directories of a job: made 0700, owned by the user, checked at every stage. All of it happens with the
// user's own rights, so a trick with links can only hurt whoever plays it.

import { lstatSync, mkdirSync, rmdirSync, rmSync, type Stats, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { cacheDirectory, scriptsDirectory, slotName, slotsDirectory } from '../contract/directories.ts';
import { JobError, SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import { makeDirectories } from '../contract/make-directories.ts';
import { printable } from '../contract/text.ts';

const OPEN_TO_OTHERS = 0o077;

/**
 * Makes what is missing of the base, builds, cache, claims and scripts directories, and checks what is there.
 * The base itself may be a symbolic link: people keep their CI files on larger file systems that way.
 * @throws {JobError} the user's own directory is open to others, or is no directory
 * @throws {SystemFailure} it is somebody else's, or cannot be made
 */
export function openWorkspace({ base }: Handoff): void {
  makeBase(base);
  checkDirectory(base, statSync(base));
  for (const directory of ['builds', 'claims', 'scripts'].map((name) => join(base, name)))
    makeDirectory(base, directory);
  makeDirectory(base, cacheDirectory(base));
}

/** Makes `directory` and every level between it and `base`; none may be a link. */
export function makeDirectory(base: string, directory: string): void {
  let path = base;
  for (const part of relative(base, directory).split('/')) {
    path = join(path, part);
    make(path);
    checkDirectory(path, lstatSync(path));
  }
}

/** The build directory of a slot; what is in it belongs to the runner's scripts. */
export function makeBuildsDirectory({ base, job, settings }: Handoff, slot: number): void {
  makeDirectory(base, join(slotsDirectory(base, job.runner, settings.limitBuildDir), slotName(slot)));
}

/** Where the scripts of this job lie. */
export function scriptsOf({ base, job }: Handoff, slot: number): string {
  const directory = scriptsDirectory(base, { ...job, slot, jobId: job.id });
  makeDirectory(base, directory);
  return directory;
}

/** Removes the scripts of this job and the levels above that became empty. */
export function removeScripts({ base, job }: Handoff, slot: number): void {
  const directory = scriptsDirectory(base, { ...job, slot, jobId: job.id });
  rmSync(directory, { recursive: true, force: true });
  removeEmptyLevels(join(base, 'scripts'), dirname(directory));
}

function removeEmptyLevels(top: string, directory: string): void {
  if (directory === top) return;
  try {
    rmdirSync(directory);
  } catch {
    return; // another job of the same project still needs it
  }
  removeEmptyLevels(top, dirname(directory));
}

function makeBase(base: string): void {
  try {
    makeDirectories(base, 0o700);
  } catch (cause) {
    throw cannotMake(base, cause);
  }
}

function make(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotMake(path, cause);
  }
}

function cannotMake(path: string, cause: unknown): SystemFailure {
  const { code, message } = cause as NodeJS.ErrnoException;
  const text = `The directory ${printable(path)} cannot be made: ${REASONS[code ?? ''] ?? message}.`;
  return new SystemFailure({ code: 'ERR_DIRECTORY', message: text, publicMessage: text, cause });
}

/** What people can do something about, in words. */
const REASONS: Record<string, string> = {
  ENOSPC: 'no space is left on its file system',
  EDQUOT: 'your disk quota is used up',
  EACCES: 'you may not write to the directory above it (an administrator can make it, or set auth.root_dir_creation)',
  EROFS: 'its file system is read-only',
  ENOENT: 'the directory above it does not exist',
  ENOTDIR: 'something above it is no directory',
};

function checkDirectory(path: string, stats: Stats): void {
  if (!stats.isDirectory()) throw unacceptable(path, 'is not a directory; move it away');
  if (stats.uid !== process.getuid?.()) {
    const text = `${printable(path)} is owned by uid ${stats.uid}, not by you; an administrator has to mend that.`;
    throw new SystemFailure({ code: 'ERR_DIRECTORY_OWNER', message: text, publicMessage: text });
  }
  if ((stats.mode & OPEN_TO_OTHERS) === 0) return;
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  throw unacceptable(path, `has mode ${mode} and must be yours alone; run: chmod 700 '${printable(path)}'`);
}

function unacceptable(path: string, rule: string): JobError {
  return new JobError({ code: 'ERR_DIRECTORY_MODE', message: `${printable(path)} ${rule}` });
}
