// The directory in which jacamar-auth keeps what must outlive one call: cached keys and one record per job.
// In root mode only root can reach it; under a service account it is as trustworthy as that account.

import { closeSync, constants, existsSync, fstatSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SystemFailure } from '../contract/errors.ts';
import { makeDirectories } from '../contract/make-directories.ts';
import { writeFully } from '../contract/program.ts';
import { resolveTrusted } from './trusted-file.ts';

/**
 * Makes `parts` below the state directory, each 0700 and out of other people's reach.
 * @throws {SystemFailure} it cannot be made, or somebody else could write to it
 */
export function stateDirectory(root: string, ...parts: string[]): string {
  const directory = join(root, ...parts);
  try {
    return makeTrusted(directory);
  } catch (cause) {
    throw new SystemFailure({
      code: 'ERR_STATE_DIRECTORY',
      message: `state directory ${directory} cannot be used: ${(cause as Error).message} (auth.state_dir)`,
      cause,
    });
  }
}

/** What is there is checked before anything is made in it, and what we made as well: somebody may have been faster. */
function makeTrusted(directory: string): string {
  if (!existsSync(directory)) makeDirectories(join(makeTrusted(dirname(directory)), basename(directory)), 0o700);
  return resolveTrusted(directory);
}

/** A name for what is remembered of a server; two servers never share one. */
export function fileNameOf(serverUrl: string): string {
  return encodeURIComponent(serverUrl);
}

/**
 * Puts a whole file in place or none: temporary name, fsync, rename.
 * @param isForThisBoot means nothing after a crash of the host, so nobody need wait until it is on disk
 */
export function replaceFile(path: string, content: string, isForThisBoot = false): void {
  const temporary = join(dirname(path), `.${process.pid}.${process.hrtime.bigint()}`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(temporary, flags, 0o600);
  try {
    writeFully(descriptor, content);
    if (!isForThisBoot) fsyncSync(descriptor);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** Opens a file of ours to lock it. */
export function openLockFile(path: string): number {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (!fstatSync(descriptor).isFile()) {
    closeSync(descriptor);
    throw new SystemFailure({ code: 'ERR_LOCK_FILE', message: `${path} is not a regular file` });
  }
  return descriptor;
}
