// What a full file system and a used-up quota look like, wherever in a program a write meets them.

import { constants } from 'node:os';
import { printable } from './text.ts';

/** Why there is no room: for everybody, or by this account's quota. */
type RoomCode = 'ERR_NO_SPACE' | 'ERR_QUOTA';

/** By number, since Node has no name for EDQUOT. */
const CODES = new Map<number | undefined, RoomCode>([
  [-constants.errno.ENOSPC, 'ERR_NO_SPACE'],
  [-constants.errno.EDQUOT, 'ERR_QUOTA'],
]);
const REASONS: Record<RoomCode, string> = {
  ERR_NO_SPACE: 'no space, or no inode, is left on its file system',
  ERR_QUOTA: 'the disk quota is used up',
};

/** What a write met. */
interface NoRoom {
  readonly code: RoomCode;
  /** For people; no whole sentence. */
  readonly reason: string;
  /** The same with the file, as far as that is known. */
  readonly message: string;
  readonly cause: unknown;
}

/**
 * Looks for ENOSPC and EDQUOT in an error and in its causes.
 * @returns undefined when the error has another reason
 */
export function noRoom(error: unknown): NoRoom | undefined {
  const met = meeting(error);
  if (met === undefined) return undefined;
  const code = CODES.get(met.errno) ?? 'ERR_NO_SPACE';
  const reason = REASONS[code];
  return { code, reason, message: `${fileOf(met)} cannot be written: ${reason}.`, cause: error };
}

/** A path by a descriptor says nothing to anybody. */
function fileOf({ path }: NodeJS.ErrnoException): string {
  return path === undefined || path.startsWith('/proc/self/fd/') ? 'A file of this job' : printable(path);
}

/** The error of the system call, with the path if Node gave one. */
function meeting(error: unknown): NodeJS.ErrnoException | undefined {
  for (let link = error; link instanceof Error; link = link.cause) {
    if (CODES.has((link as NodeJS.ErrnoException).errno)) return link;
  }
  return undefined;
}
