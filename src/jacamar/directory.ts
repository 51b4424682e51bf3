// An open directory, and its entries by its descriptor. Between two calls somebody may rename or link whatever lies
// on a path; a descriptor stays with its directory. `/proc/self/fd/N/name` is how Node says openat(2), mkdirat(2),
// unlinkat(2), without an addon and on every kernel.

import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { mountNumberOf } from '../contract/mount.ts';

/** Of one entry; as bytes where it may be no UTF-8. */
export type EntryName = string | Buffer;

/** Linux's O_PATH, for which Node has no name: a hold on a directory that need not be readable. */
const O_PATH = 0o10000000;
const HOLD = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * A directory that is held open; `using` closes it. Errors are those of the system calls (`NodeJS.ErrnoException`):
 * ENOTDIR for an entry that is a symbolic link, or anything else but a directory.
 */
export class Directory implements Disposable {
  /** Where it was when it was opened: for messages only. */
  readonly path: string;
  #descriptor: number;
  #mount: string | undefined;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  /** Where every walk begins. */
  static root(): Directory {
    return new Directory('/', openSync('/', HOLD));
  }

  /** Leads calls of node:fs to this directory, wherever it is by now: `readdir`, `chmod`, `statfs`. */
  get here(): string {
    return `/proc/self/fd/${this.#open}`;
  }

  /**
   * Leads calls of node:fs to an entry. They must not follow a link at its end: `mkdir`, `lstat`, `readlink`, `rename`,
   * `unlink`, `rmdir`, `lutimes`, and `open` with O_NOFOLLOW.
   * @throws {TypeError} not the name of one entry
   */
  at(name: string): string;
  at(name: EntryName): EntryName;
  at(name: EntryName): EntryName {
    if (!isEntryName(name)) throw new TypeError(`${JSON.stringify(name.toString())} is no name of an entry`);
    return typeof name === 'string' ? `${this.here}/${name}` : Buffer.concat([Buffer.from(`${this.here}/`), name]);
  }

  /** As they are now. */
  get stats(): Stats {
    return fstatSync(this.#open);
  }

  /** Which mount it is on, as the kernel numbers them. */
  get mount(): string {
    this.#mount ??= mountNumberOf(this.#open);
    return this.#mount;
  }

  /** Names of all entries, in no order. */
  names(): Buffer[] {
    return readdirSync(this.here, { encoding: 'buffer' });
  }

  /** Opens an entry that is a directory. */
  open(name: EntryName): Directory {
    return new Directory(join(this.path, name.toString()), openSync(this.at(name), HOLD));
  }

  /**
   * Opens an entry, and makes it first where it is missing: then with exactly these permissions, whatever umask, access
   * list or set-group-id bit it inherits. What is there already is left as it is; the caller looks at `stats`.
   */
  make(name: string, permissions: number): Directory {
    // First, since mkdir of a mount point or of an entry of somebody else's server can fail with anything.
    const found = this.#find(name);
    if (found !== undefined) return found;
    const isNew = makeEntry(this.at(name), permissions);
    const made = this.open(name);
    if (isNew) made.#allow(permissions);
    return made;
  }

  #find(name: string): Directory | undefined {
    try {
      return this.open(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A number that was closed may be somebody else's by now. */
  get #open(): number {
    if (this.#descriptor < 0) throw new Error(`${this.path} was closed`);
    return this.#descriptor;
  }

  /** Only what is ours: between mkdir and open another may have taken the name. */
  #allow(permissions: number): void {
    const { uid, mode } = this.stats;
    if (uid !== process.geteuid?.() || (mode & 0o777) === permissions) return;
    chmodSync(this.here, (mode & 0o7000) | permissions);
  }
}

/**
 * Reads a small file that should be ours, whatever the user has put in its place: who opens a pipe in the ordinary way
 * waits for its writer. Throws ELOOP for a symbolic link.
 */
export function readNow(path: string): string {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

function makeEntry(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isEntryName(name: EntryName): boolean {
  const text = typeof name === 'string' ? name : name.toString('latin1');
  return text !== '' && text !== '.' && text !== '..' && !/[/\0]/.test(text);
}
