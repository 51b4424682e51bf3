// general.file_lock_debug: a file of the user's that says, line by line, what became of his claims. It only grows.

import { closeSync, constants, existsSync, fstatSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { writeFully } from '../../contract/program.ts';
import { printable } from '../../contract/text.ts';

export type Journal = (line: string) => void;

export function journalIn(base: string, isWanted: boolean): Journal {
  return isWanted ? (line) => append(fileIn(base), line) : () => {};
}

/** For a program without configuration: goes on with a file that is there. */
export function journalFoundIn(base: string): Journal {
  return journalIn(base, existsSync(fileIn(base)));
}

function fileIn(base: string): string {
  return join(base, 'lock.log');
}

/** One write with O_APPEND each: lines of several jobs do not mix. What helps to find faults must cause none. */
function append(path: string, line: string): void {
  const flags =
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    const descriptor = openSync(path, flags, 0o600);
    try {
      const stamp = `${new Date().toISOString()} ${hostname()} ${process.pid}`;
      if (fstatSync(descriptor).isFile()) writeFully(descriptor, `${stamp} ${printable(line)}\n`);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // full, read-only, or something else stands there
  }
}
