// Opens files whose content decides about rights: configuration, scripts of the site, cached keys, the
// runner's own files. A file is trusted when nobody but root and ourselves could have written it.

import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync, type Stats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** Why a file is not trusted, or could not be read. The message names file and rule. */
export class UntrustedFileError extends Error {
  constructor(path: string, rule: string, cause?: unknown) {
    super(`${path}: ${rule}`, { cause });
    this.name = 'UntrustedFileError';
  }
}

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/**
 * Reads a whole trusted file. Owner and mode are those of the open descriptor, and every directory above
 * it must be out of other people's reach, so that the file cannot be exchanged either.
 * @throws {UntrustedFileError} also when it is missing, no regular file, or larger than `limit` bytes
 */
export function readTrustedFile(path: string, limit: number): Buffer {
  const descriptor = openTrustedFile(path);
  try {
    return readLimited(path, descriptor, limit);
  } finally {
    closeSync(descriptor);
  }
}

/** Opens a trusted file for reading; the caller closes the descriptor. */
export function openTrustedFile(path: string): number {
  if (!path.startsWith('/')) throw new UntrustedFileError(path, 'is not an absolute path');
  const real = join(trustedDirectory(path, dirname(path)), basename(path));
  const descriptor = open(real);
  try {
    checkRegular(path, fstatSync(descriptor));
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** True for a program that nobody but root can have put there; it need not be readable, as sudo often is not. */
export function isProgramOfRoot(path: string): boolean {
  try {
    const way = followLinks(path, MOST_LINKS);
    way.slice(0, -1).forEach(checkDirectory);
    const stats = way.at(-1)?.stats;
    return stats?.isFile() === true && stats.uid === 0 && (stats.mode & WRITABLE_BY_OTHERS) === 0;
  } catch {
    return false;
  }
}

/** True when only root or this process can make entries in it. */
export function isClosed(directory: string): boolean {
  return isClosedLevel(levelOf(directory));
}

/** One level of a way from `/`, as it was found. */
interface Level {
  readonly path: string;
  readonly stats: Stats;
}

function isClosedLevel({ stats }: Level): boolean {
  return isOurs(stats) && (stats.mode & WRITABLE_BY_OTHERS) === 0;
}

/** Nobody else may be able to change what is in it; a shared one may be sticky, as /tmp is. */
function checkDirectory({ path, stats }: Level): void {
  if (!stats.isDirectory()) throw new UntrustedFileError(path, 'is not a directory');
  if (!isOurs(stats)) throw new UntrustedFileError(path, `is owned by uid ${stats.uid}, not by root or this process`);
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0 && (stats.mode & STICKY) === 0) {
    throw new UntrustedFileError(path, 'can be written by group or others');
  }
}

function trustedDirectory(path: string, directory: string): string {
  try {
    return resolveTrusted(directory);
  } catch (cause) {
    if (cause instanceof UntrustedFileError) throw cause;
    throw new UntrustedFileError(path, `directory cannot be reached (${errorCode(cause)})`, cause);
  }
}

/** As many links as the kernel follows: path_resolution(7). */
const MOST_LINKS = 40;

/**
 * The real path of a trusted directory. Symbolic links count only where nobody else could have put them: not
 * even in a sticky directory, where anybody can leave a link to what is ours.
 * @throws {UntrustedFileError} a directory, or a link on the way, that others could have put there
 */
export function resolveTrusted(directory: string): string {
  if (!directory.startsWith('/')) throw new UntrustedFileError(directory, 'is not an absolute path');
  const way = followLinks(directory, MOST_LINKS);
  // From the innermost, which is the one that a message should name.
  way.toReversed().forEach(checkDirectory);
  return way.at(-1)?.path ?? '/';
}

/** Every level of the way that a path leads, from `/` on, links followed. */
function followLinks(path: string, linksLeft: number): Level[] {
  if (linksLeft === 0) throw new UntrustedFileError(path, 'leads through too many symbolic links');
  const way: Level[] = [levelOf('/')];
  const parts = path.split('/').filter((part) => part !== '');
  for (const [index, part] of parts.entries()) {
    const parent = way.at(-1) as Level;
    const next = levelOf(join(parent.path, part));
    if (next.stats.isSymbolicLink()) {
      if (!isClosedLevel(parent))
        throw new UntrustedFileError(next.path, 'is a symbolic link in a directory that others can write to');
      return followLinks(join(resolve(parent.path, readlinkSync(next.path)), ...parts.slice(index + 1)), linksLeft - 1);
    }
    way.push(next);
  }
  return way;
}

function levelOf(path: string): Level {
  return { path, stats: lstatSync(path) };
}

/** O_NONBLOCK: a FIFO must not hold us; O_NOFOLLOW: the name itself must be the file. */
function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    const code = errorCode(cause);
    throw new UntrustedFileError(path, code === 'ELOOP' ? 'is a symbolic link' : `cannot be opened (${code})`, cause);
  }
}

function checkRegular(path: string, stats: Stats): void {
  if (!stats.isFile()) throw new UntrustedFileError(path, 'is not a regular file');
  if (!isOurs(stats)) throw new UntrustedFileError(path, `is owned by uid ${stats.uid}, not by root or this process`);
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) throw new UntrustedFileError(path, 'can be written by group or others');
}

function isOurs(stats: Stats): boolean {
  return stats.uid === 0 || stats.uid === process.geteuid?.();
}

/** Reads to the end, whatever size the file had when it was opened. */
function readLimited(path: string, descriptor: number, limit: number): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 * 1024);
    const length = readSync(descriptor, chunk);
    if (length === 0) return Buffer.concat(chunks);
    size += length;
    if (size > limit) throw new UntrustedFileError(path, `is larger than ${limit} bytes`);
    chunks.push(chunk.subarray(0, length));
  }
}

function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
