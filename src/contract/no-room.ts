// What a full file system and a used-up quota look like, wherever in a program a write meets them.

import { constants } from 'node:os';
import { printable } from './text.ts';

/** Why there is no room: for everybody, or by this account's quota. */
type NoRoom = 'ERR_NO_SPACE' | 'ERR_QUOTA';

/** By number, since Node has no name for EDQUOT. */
const CODES = new Map<number | undefined, NoRoom>([
  [-constants.errno.ENOSPC, 'ERR_NO_SPACE'],
  [-constants.errno.EDQUOT, 'ERR_QUOTA'],
]);
const REASONS: Record<NoRoom, string> = {
  ERR_NO_SPACE: 'no space, or no inode, is left on its file system',
  ERR_QUOTA: 'the disk quota is used up',
};

/**
 * What an error is made of that a write met, or one of its causes did: ENOSPC, EDQUOT.
 * @returns undefined when the error has another reason
 */
export function noRoom(error: unknown): { code: NoRoom; message: string; cause: unknown } | undefined {
  const met = meeting(error);
  if (met === undefined) return undefined;
  const code = CODES.get(met.errno) ?? 'ERR_NO_SPACE';
  const what = met.path === undefined ? 'A file of this job' : printable(met.path);
  return { code, message: `${what} cannot be written: ${REASONS[code]}.`, cause: error };
}

/** The error of the system call, with the path if Node gave one. */
function meeting(error: unknown): NodeJS.ErrnoException | undefined {
  for (let link = error; link instanceof Error; link = link.cause) {
    if (CODES.has((link as NodeJS.ErrnoException).errno)) return link;
  }
  return undefined;
}
