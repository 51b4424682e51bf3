// What can be wrong with a directory, in words, and whose fault it is: the user's when he can mend it or chose the
// place himself, the site's otherwise.

import { JobError, SystemFailure } from '../contract/errors.ts';
import { noRoom } from '../contract/no-room.ts';
import { printable } from '../contract/text.ts';
import type { Directory } from './directory.ts';

/** A directory that has to be there. */
export interface Place {
  readonly path: string;
  readonly chosenBy: 'site' | 'job';
  /** It lies in the account's home directory, where jacamar-auth makes nothing. */
  readonly isInHome?: boolean;
}

/** What people can do something about, in words. */
const REASONS: Record<string, string> = {
  EACCES: 'you may not write to the directory above it',
  EPERM: 'you may not write to the directory above it',
  EROFS: 'its file system is read-only',
  ENOENT: 'the directory above it does not exist',
  ENAMETOOLONG: 'its name is too long',
};
/** These end when the job names another place; all others are faults of the host. */
const ENDS_ELSEWHERE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENAMETOOLONG', 'EINVAL']);

export function cannotMake(place: Place, path: string, cause: unknown): JobError | SystemFailure {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const forSite = place.isInHome
    ? ' (your home directory is missing, or not yours; an administrator has to mend that)'
    : ' (an administrator can make it, or set auth.root_dir_creation)';
  const advice = code === 'EACCES' ? advise(place, forSite) : '';
  const text = `The directory ${printable(path)} cannot be made: ${noRoom(cause)?.reason ?? REASONS[code] ?? message}${advice}.`;
  return obstacle(place, {
    code: 'ERR_DIRECTORY',
    text,
    isMendable: false,
    isOfHost: !ENDS_ELSEWHERE.has(code),
    cause,
  });
}

export function notDirectory(path: string): JobError {
  return mendable('ERR_DIRECTORY_MODE', `${printable(path)} is not a directory; move it away`);
}

/** Made on the file system below, it would hide there once the right one is mounted. */
export function dangling(link: string, path: string): JobError {
  const [from, to] = [printable(link), printable(path)];
  const text = `${from} leads to ${to}, which does not exist; run: mkdir -p -m 700 '${to}'`;
  return mendable('ERR_DIRECTORY_LINK', text);
}

export function manyLinks({ path }: Place): JobError {
  return mendable('ERR_DIRECTORY_LINK', `${printable(path)} leads through too many symbolic links.`);
}

export function notOwned(place: Place, path: string, uid: number): JobError | SystemFailure {
  const advice = advise(place, '; an administrator has to mend that');
  const text = `${printable(path)} is owned by uid ${uid}, not by you${advice}.`;
  return obstacle(place, { code: 'ERR_DIRECTORY_OWNER', text, isMendable: false });
}

/** The most that others may do with a directory: nothing; its group may read; all may read. */
export type MostPermissions = 0o700 | 0o750 | 0o755;

/** In words, and what the user types to get there. */
function ruleOf(most: MostPermissions): { rule: string; mode: string } {
  if (most === 0o700) return { rule: 'must be yours alone', mode: '700' };
  if (most === 0o750) return { rule: 'must not be open to more than reading by your group', mode: '750' };
  return { rule: 'must not be writable by others', mode: 'go-w' };
}

export function openToOthers(path: string, mode: number, most: MostPermissions): JobError {
  const { rule, mode: wanted } = ruleOf(most);
  const name = printable(path);
  return mendable('ERR_DIRECTORY_MODE', `${name} has mode ${octal(mode)} and ${rule}; run: chmod ${wanted} '${name}'`);
}

/** What its owner may do with a directory of which anything is to be made. */
const OWNER_MAY_ALL = 0o700;

/** Undefined unless the directory is the account's own and closed to it: a job may do that to whatever is its account's. */
export function closedToOwner({ path, stats: { uid, mode } }: Pick<Directory, 'path' | 'stats'>): JobError | undefined {
  if (uid !== process.geteuid?.() || (mode & OWNER_MAY_ALL) === OWNER_MAY_ALL) return undefined;
  const name = printable(path);
  return mendable(
    'ERR_DIRECTORY_MODE',
    `${name} has mode ${octal(mode)} and is closed to yourself; run: chmod u+rwx '${name}'`,
  );
}

/** Others could put something else in the place of what lies below. */
export function exchangeable(place: Place, above: Directory, why: string): JobError | SystemFailure {
  const isOwn = above.stats.uid === process.geteuid?.();
  const path = printable(above.path);
  const advice = isOwn ? `; run: chmod go-w '${path}'` : advise(place, '; an administrator has to mend that');
  const text = `Others could exchange ${printable(place.path)}: ${path} ${why}${advice}.`;
  return obstacle(place, { code: 'ERR_DIRECTORY_SHARED', text, isMendable: isOwn });
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

function advise({ chosenBy }: Place, forSite: string): string {
  return chosenBy === 'site' ? forSite : '; choose another directory';
}

interface Parts {
  readonly code: string;
  readonly text: string;
  readonly isMendable: boolean;
  readonly isOfHost?: boolean;
  readonly cause?: unknown;
}

function obstacle({ chosenBy }: Place, { code, text, isMendable, isOfHost = false, cause }: Parts) {
  const isOfJob = isMendable || (chosenBy === 'job' && !isOfHost);
  if (isOfJob) return new JobError({ code, message: text, cause });
  return new SystemFailure({ code, message: text, publicMessage: text, cause });
}

function mendable(code: string, message: string): JobError {
  return new JobError({ code, message });
}
