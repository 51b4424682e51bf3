// The way from `/` to a directory that the site or a job names. Whoever can exchange something on the way decides
// where a job works, and what its scripts find there; so every step has to be root's or the account's own. Symbolic
// links are taken where those two put them: people keep their CI files on larger file systems that way.

import { lstatSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Directory } from './directory.ts';
import { cannotMake, closedToOwner, dangling, exchangeable, manyLinks, notDirectory, type Place } from './obstacle.ts';

/** Where to, and how. */
export interface Way extends Place {
  /** Of every level that is missing and made. */
  readonly permissions: number;
  /** The site accepts that others could exchange what lies on the way. */
  readonly isShared: boolean;
}

const ROOT = 0;
const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;
const ENTERED_BY_OTHERS = 0o011;
const STICKY = 0o1000;
/** As many as the kernel follows: path_resolution(7). */
const MOST_LINKS = 40;

/**
 * Goes to a directory, and makes what is missing of it, except of what a symbolic link promises: that would be made on
 * the wrong file system while the right one is not mounted.
 * @throws {JobError|SystemFailure} it cannot be reached, made, or trusted
 */
export function openWay(way: Way): Directory {
  return walk(way, { path: way.path, mayBeMissing: partsOf(way.path).length, links: [] });
}

/** The part of the way that is left, from `/` again after each link. */
interface Leg {
  readonly path: string;
  /** How many levels at the end of the path may be made. */
  readonly mayBeMissing: number;
  /** Links that were followed. */
  readonly links: readonly string[];
}

function walk(way: Way, leg: Leg): Directory {
  const parts = partsOf(leg.path);
  let reached = Directory.root();
  let isSafe = way.isShared;
  for (const [index, name] of parts.entries()) {
    using above = reached;
    isSafe ||= isSealed(above);
    if (!isSafe) requireSafe(way, above);
    const target = linkTarget(above, name);
    const rest = parts.slice(index + 1);
    if (target !== undefined) {
      if (!isSafe) requireOurLink(way, above, name);
      return walk(way, follow(way, leg, { link: join(above.path, name), target, rest }));
    }
    const mayBeMissing = rest.length < leg.mayBeMissing;
    reached = mayBeMissing ? makeLevel(way, above, name, way.permissions) : openLinked(way, leg, above, name);
  }
  return reached;
}

interface Found {
  readonly link: string;
  readonly target: string;
  readonly rest: readonly string[];
}

function follow(way: Way, { mayBeMissing, links }: Leg, { link, target, rest }: Found): Leg {
  if (links.length >= MOST_LINKS) throw manyLinks(way);
  return {
    path: resolve(link, '..', target, ...rest),
    mayBeMissing: Math.min(mayBeMissing, rest.length),
    links: [...links, link],
  };
}

/** Opens an entry, and makes it where it is missing; what kept us from that is said for people. */
export function makeLevel(place: Place, above: Directory, name: string, permissions: number): Directory {
  try {
    return above.make(name, permissions);
  } catch (cause) {
    throw unreachable(place, above, name, cause);
  }
}

/** Opens an entry that only exists if a link told the truth. */
function openLinked(way: Way, { path, links }: Leg, above: Directory, name: string): Directory {
  try {
    return above.open(name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw dangling(links.at(-1) ?? way.path, path);
    throw unreachable(way, above, name, cause);
  }
}

function unreachable(place: Place, above: Directory, name: string, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException;
  const path = join(above.path, name);
  if (code === 'ENOTDIR') return notDirectory(path);
  return (code === 'EACCES' ? closedToOwner(above) : undefined) ?? cannotMake(place, path, cause);
}

/** Undefined for anything that is no symbolic link. */
function linkTarget(above: Directory, name: string): string | undefined {
  try {
    return readlinkSync(above.at(name));
  } catch {
    return undefined;
  }
}

/** Nobody else can enter it, so what lies below is out of their reach, whatever it allows. */
function isSealed(directory: Directory): boolean {
  const { uid, mode } = directory.stats;
  return uid === process.geteuid?.() && (mode & ENTERED_BY_OTHERS) === 0;
}

/** Only root, with its group, and the account can rename or remove what is in it; in a sticky one, what is theirs. */
function requireSafe(way: Way, above: Directory): void {
  const { uid, gid, mode } = above.stats;
  if (!isOurs(uid)) throw exchangeable(way, above, `belongs to uid ${uid}`);
  if ((mode & STICKY) !== 0) return;
  if ((mode & WRITABLE_BY_ALL) !== 0) throw exchangeable(way, above, 'can be written by everybody');
  if ((mode & WRITABLE_BY_GROUP) !== 0 && gid !== ROOT) throw exchangeable(way, above, 'can be written by its group');
}

/** In a sticky directory anybody can leave a link. Directories show their owner at the next step. */
function requireOurLink(way: Way, above: Directory, name: string): void {
  const { uid } = lstatSync(above.at(name));
  if (!isOurs(uid)) throw exchangeable(way, above, `holds the symbolic link ${name} of uid ${uid}`);
}

function isOurs(uid: number): boolean {
  return uid === ROOT || uid === process.geteuid?.();
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}
