// Places the runner's script where the user's shell can read it, and nobody else.

import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { JobError, SystemFailure } from '../contract/errors.ts';
import { writeFully } from '../contract/program.ts';

/**
 * Writes the script whole or not at all: a half script could do anything.
 * @returns its path
 * @throws {JobError} the account's quota is used up
 * @throws {SystemFailure} no space, or another fault of the file system
 */
export function placeScript(directory: string, runStage: string, script: Uint8Array): string {
  const path = join(directory, `${runStage}.bash`);
  const temporary = join(directory, `.${runStage}.${process.pid}`);
  try {
    writeWhole(temporary, script);
    renameSync(temporary, path);
    return path;
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw unplaced(path, cause);
  }
}

/** Errors of close(2) count too: NFS reports a full disk there. */
function writeWhole(path: string, script: Uint8Array): void {
  rmSync(path, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(path, flags, 0o700);
  try {
    writeFully(descriptor, script);
    fsyncSync(descriptor);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
}

function unplaced(path: string, cause: unknown): JobError | SystemFailure {
  const { code, message } = cause as NodeJS.ErrnoException;
  const text = `The job's script cannot be written to ${path}`;
  if (code === 'EDQUOT')
    return new JobError({ code: 'ERR_QUOTA', message: `${text}: your disk quota is used up.`, cause });
  const why = code === 'ENOSPC' ? 'no space is left on that file system' : message;
  const told = `${text}: ${why}. This is a fault of the host, not of the job.`;
  return new SystemFailure({ code: 'ERR_SCRIPT_PLACE', message: told, publicMessage: told, cause });
}
