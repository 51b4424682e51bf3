// The build directories that an account has, with size and last use. Found by their names below the base, measured by
// descriptors. What a user chose with CUSTOM_CI_BUILDS_DIR lies elsewhere and is not looked for.

import { randomUUID } from 'node:crypto';
import { existsSync, lstatSync, opendirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { Directory, type EntryName } from './directory.ts';
import type { Patience } from './removal.ts';

/** Where a build directory is, and what says whether it is in use. */
export interface BuildDirectory {
  /** Levels below the base, the last one the directory itself. */
  readonly levels: readonly string[];
  /** Of numbered directories: where the claim on the number is, below the base. */
  readonly claim?: { readonly levels: readonly string[]; readonly slot: number };
  /** Of static directories: the file beside it that says how long it is needed. */
  readonly note?: string;
}

/** What is in a directory. */
export interface Measure {
  readonly bytes: number;
  readonly entries: number;
  /** The newest modification of anything in it, in milliseconds since 1970. */
  readonly lastUse: number;
  /** False when time was over, or something could not be looked into. */
  readonly isWhole: boolean;
}

const SLOT = /^[0-9]{3,6}$/;
const JOB = /^[0-9]+$/;
/** Moved aside by a removal that did not come to its end. */
export const ASIDE = /^\.(?:removing|surplus)-/;

/**
 * Opens the account's base, which may be a link; undefined when it has none.
 * @throws {Error} it is somebody else's, or cannot be entered
 */
export function openBase(base: string): Directory | undefined {
  if (!existsSync(base)) return undefined;
  const opened = openWay(Directory.root(), levelsOf(realpathSync(base)));
  const { uid } = opened.stats;
  if (uid === process.geteuid?.()) return opened;
  opened.close();
  throw new Error(`${base} belongs to uid ${uid}`);
}

/** Consumes `top`. */
function openWay(top: Directory, levels: readonly string[]): Directory {
  let reached = top;
  for (const level of levels) {
    using above = reached;
    reached = above.open(level);
  }
  return reached;
}

/** All of them: numbered ones of single runners and shared ones, static ones, and what lies aside. */
export function findBuildDirectories(base: Directory): BuildDirectory[] {
  const builds = directoriesIn(base, ['builds']);
  const runners = builds.filter((name) => !SLOT.test(name) && !ASIDE.test(name));
  return [
    ...numbered(['builds'], builds, ['claims', 'shared']),
    ...runners.flatMap((runner) => {
      const levels = ['builds', runner];
      return numbered(levels, directoriesIn(base, levels), ['claims', `runner-${runner}`]);
    }),
    ...directoriesIn(base, ['static'])
      .filter((name) => JOB.test(name))
      .map((name) => ({ levels: ['static', name], note: `.${name}` })),
  ];
}

function numbered(above: readonly string[], names: readonly string[], claims: readonly string[]): BuildDirectory[] {
  const slots = names.filter((name) => SLOT.test(name));
  const aside = names.filter((name) => ASIDE.test(name));
  return [
    ...slots.map((name) => ({ levels: [...above, name], claim: { levels: claims, slot: Number(name) } })),
    ...aside.map((name) => ({ levels: [...above, name] })),
  ];
}

/** What a directory is called from the moment on when its removal begins. */
export function asideName(name: string): string {
  return `.removing-${name}-${randomUUID()}`;
}

/** True for what nobody needs any more: its removal was begun. */
export function isAside({ levels }: BuildDirectory): boolean {
  return ASIDE.test(levels.at(-1) ?? '');
}

/** Acts in the directory some levels down. @throws the error of the system call */
export function within<T>(top: Directory, levels: readonly string[], act: (directory: Directory) => T): T {
  const [level, ...rest] = levels;
  if (level === undefined) return act(top);
  using next = top.open(level);
  return within(next, rest, act);
}

function directoriesIn(base: Directory, levels: readonly string[]): string[] {
  try {
    return within(base, levels, (directory) =>
      directory
        .names()
        .map(String)
        // What a job's cleanup is just removing is gone by the time it is looked at.
        .filter((name) => lstatSync(directory.at(name), { throwIfNoEntry: false })?.isDirectory()),
    );
  } catch {
    return []; // it has none, or closed them to itself
  }
}

function levelsOf(path: string): string[] {
  return path.split('/').filter((level) => level !== '');
}

const BREATH = 1_000;
/** Two descriptors are open for each level. */
const DEEPEST = 100;

/** Adds up what is in a directory, on its own file system only. */
export async function measure(base: Directory, directory: BuildDirectory, patience: Patience): Promise<Measure> {
  const sum = new Sum(patience);
  await sum.addBelow(base, directory.levels);
  return sum.measure;
}

class Sum {
  readonly #patience: Patience;
  #bytes = 0;
  #entries = 0;
  #lastUse = 0;
  #isWhole = true;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  get measure(): Measure {
    return { bytes: this.#bytes, entries: this.#entries, lastUse: this.#lastUse, isWhole: this.#isWhole };
  }

  async addBelow(above: Directory, levels: readonly string[]): Promise<void> {
    const [level = '', ...rest] = levels;
    if (rest.length === 0) return await this.#addEntry(above, level, 0);
    using next = above.open(level);
    await this.addBelow(next, rest);
  }

  async #addEntry(parent: Directory, name: EntryName, depth: number): Promise<void> {
    try {
      const stats = lstatSync(parent.at(name));
      const { blocks, nlink, mtimeMs } = stats;
      const isDirectory = stats.isDirectory();
      this.#entries += 1;
      // A file of several names counts once, in parts, without a list of all that were seen.
      this.#bytes += (blocks * 512) / (isDirectory ? 1 : nlink);
      this.#lastUse = Math.max(this.#lastUse, mtimeMs);
      if (isDirectory) await this.#addDirectory(parent, name, depth + 1);
    } catch {
      this.#isWhole = false;
    }
  }

  async #addDirectory(parent: Directory, name: EntryName, depth: number): Promise<void> {
    using directory = parent.open(name);
    if (directory.mount !== parent.mount) return;
    if (depth > DEEPEST) throw new Error('too deep');
    const stream = opendirSync(directory.here, { encoding: 'buffer' as BufferEncoding, bufferSize: 1024 });
    try {
      for (let entry = stream.readSync(); entry !== null; entry = stream.readSync()) {
        if (await this.#isOver()) return;
        await this.#addEntry(directory, entry.name as EntryName, depth);
      }
    } finally {
      stream.closeSync();
    }
  }

  async #isOver(): Promise<boolean> {
    if (this.#entries % BREATH === 0) {
      await breathe();
      this.#patience.onProgress?.(this.#entries);
    }
    const { deadline, stop } = this.#patience;
    if (stop?.aborted !== true && performance.now() <= deadline) return false;
    this.#isWhole = false;
    return true;
  }
}

/** For messages. */
export function pathOf(base: Directory, { levels }: BuildDirectory): string {
  return join(base.path, ...levels);
}
