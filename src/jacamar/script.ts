// Places the runner's script where the user's shell can read it, and nobody else.

import { closeSync, constants, fstatSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SystemFailure } from '../contract/errors.ts';
import { noRoom } from '../contract/no-room.ts';
import { writeFully } from '../contract/program.ts';

/**
 * Writes the script whole or not at all: a half script could do anything.
 * @returns its path
 * @throws {SystemFailure} no space, a quota that is used up, or another fault of the file system
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
    if (fstatSync(descriptor).size !== script.length) throw new Error('the file system kept only a part of it');
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
}

function unplaced(path: string, cause: unknown): SystemFailure {
  const why = noRoom(cause)?.reason ?? (cause as Error).message;
  const text = `The job's script cannot be written to ${path}: ${why}. This is a fault of the host, not of the job.`;
  return new SystemFailure({ code: 'ERR_SCRIPT_PLACE', message: text, publicMessage: text, cause });
}
