// Removes a directory with everything in it, or as much as can be: by descriptors, so that nothing that is renamed or
// linked meanwhile leads elsewhere; never into a link, another file system or a directory of somebody else; within a
// time, since nobody can be told anything while a cleanup hangs. What stays behind is named.

import { chmodSync, opendirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { printable } from '../contract/text.ts';
import type { Directory, EntryName } from './directory.ts';

/** How long to work at most. */
export interface Patience {
  /** As performance.now() counts, in milliseconds. */
  readonly deadline: number;
  readonly stop?: AbortSignal;
  /** Called now and then, with the number of entries that are gone. */
  readonly onProgress?: (removed: number) => void;
}

/** What became of a removal. */
export interface Removal {
  readonly removed: number;
  /** What is in the way, as `path: reason`; no more than a few of them. */
  readonly obstacles: readonly string[];
  readonly obstacleCount: number;
  readonly isOutOfTime: boolean;
  /** Nothing is left. */
  readonly isWhole: boolean;
}

/**
 * Removes a directory in one that is held open. One that is not there is removed already; a link in its place goes, and
 * what it leads to stays.
 */
export async function removeEntry(parent: Directory, name: EntryName, patience: Patience): Promise<Removal> {
  const remover = new Remover(patience);
  await remover.remove(parent, name);
  return remover.result;
}

/** The same for one some levels down; levels above it that became empty go with it. */
export async function removeBelow(top: Directory, levels: readonly string[], patience: Patience): Promise<Removal> {
  const [level = '', ...rest] = levels;
  if (rest.length === 0) return await removeEntry(top, level, patience);
  try {
    using next = top.open(level);
    return await removeBelow(next, rest, patience);
  } catch (error) {
    return failure(top, level, error);
  } finally {
    removeIfEmpty(top, level);
  }
}

function removeIfEmpty(top: Directory, level: string): void {
  try {
    rmdirSync(top.at(level));
  } catch {
    // still needed by something else
  }
}

/** What a removal comes to when there is nothing to remove. */
export const NOTHING_LEFT: Removal = {
  removed: 0,
  obstacles: [],
  obstacleCount: 0,
  isOutOfTime: false,
  isWhole: true,
};

function failure(parent: Directory, name: EntryName, error: unknown): Removal {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING_LEFT;
  return { ...NOTHING_LEFT, obstacles: [describeObstacle(parent, name, error)], obstacleCount: 1, isWhole: false };
}

function describeObstacle(parent: Directory, name: EntryName, error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return `${printable(join(parent.path, name.toString()))}: ${REASONS[code] ?? message}`;
}

/** The reasons why a removal is not whole, for people. */
export function describeRemains({ obstacles, obstacleCount, isOutOfTime }: Removal): string[] {
  const more = obstacleCount - obstacles.length;
  return [
    ...obstacles,
    ...(more > 0 ? [`and ${more} more`] : []),
    ...(isOutOfTime ? ['the time for it was over; the next one goes on with it'] : []),
  ];
}

const MOST_OBSTACLES = 5;
/** Entries between two looks at the clock, and at what else this process is asked to do. */
const BREATH = 500;
/** Two descriptors are open for each level. */
const DEEPEST = 100;
const OWNER_MAY_ALL = 0o700;

const REASONS: Record<string, string> = {
  EPERM: 'may not be removed; is it immutable (lsattr), or in a directory that is?',
  EACCES: 'may not be removed',
  EBUSY: 'is a mount point, or in use',
  EROFS: 'lies on a read-only file system',
};

class Remover {
  readonly #patience: Patience;
  readonly #obstacles: string[] = [];
  #obstacleCount = 0;
  #removed = 0;
  #steps = 0;
  #hoisted = 0;
  #isOutOfTime = false;
  /** What the removal began with. */
  #top: Directory | undefined;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  get result(): Removal {
    return {
      removed: this.#removed,
      obstacles: this.#obstacles,
      obstacleCount: this.#obstacleCount,
      isOutOfTime: this.#isOutOfTime,
      isWhole: this.#obstacleCount === 0 && !this.#isOutOfTime,
    };
  }

  /** @returns whether the entry is gone */
  async remove(parent: Directory, name: EntryName, depth = 0): Promise<boolean> {
    try {
      const opened = this.#enter(parent, name, depth);
      if (opened === undefined) return depth > 0;
      using directory = opened;
      this.#top ??= directory;
      return await this.#empty(directory, () => rmdirSync(parent.at(name)), depth);
    } catch (error) {
      // A link, or a file, that somebody has put in its place.
      if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return this.#unlink(parent, name);
      return this.#isGone(parent, name, error);
    }
  }

  /** Undefined when there is no directory to empty: it was moved up, or is not ours to enter. */
  #enter(parent: Directory, name: EntryName, depth: number): Directory | undefined {
    const directory = parent.open(name);
    try {
      const refusal = refusalOf(parent, directory);
      if (refusal !== undefined) throw new Error(refusal);
      if ((directory.stats.mode & OWNER_MAY_ALL) !== OWNER_MAY_ALL) chmodSync(directory.here, OWNER_MAY_ALL);
      if (depth < DEEPEST) return directory;
      this.#hoisted += 1;
      renameSync(parent.at(name), this.#top?.at(`.deep-${process.pid}-${this.#hoisted}`) ?? '');
    } catch (error) {
      directory.close();
      throw error;
    }
    directory.close();
    return undefined;
  }

  /** Again and again, since some file systems leave entries out of a list from which something is removed meanwhile. */
  async #empty(directory: Directory, removeItself: () => void, depth: number): Promise<boolean> {
    for (;;) {
      const { gone, stuck } = await this.#pass(directory, depth);
      if (this.#isOutOfTime || stuck > 0) return false;
      try {
        removeItself();
        this.#removed += 1;
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || gone === 0) throw error;
      }
    }
  }

  async #pass(directory: Directory, depth: number): Promise<{ gone: number; stuck: number }> {
    let [gone, stuck] = [0, 0];
    for (const { name, isDirectory } of entriesOf(directory)) {
      if (await this.#isOver()) break;
      const isGone = isDirectory ? await this.remove(directory, name, depth + 1) : this.#unlink(directory, name);
      if (isGone) gone += 1;
      else stuck += 1;
    }
    return { gone, stuck };
  }

  #unlink(directory: Directory, name: EntryName): boolean {
    try {
      unlinkSync(directory.at(name));
      this.#removed += 1;
      return true;
    } catch (error) {
      return this.#isGone(directory, name, error);
    }
  }

  #isGone(parent: Directory, name: EntryName, error: unknown): boolean {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    this.#obstacleCount += 1;
    if (this.#obstacles.length < MOST_OBSTACLES) this.#obstacles.push(describeObstacle(parent, name, error));
    return false;
  }

  async #isOver(): Promise<boolean> {
    this.#steps += 1;
    if (this.#steps % BREATH === 0) {
      await breathe();
      this.#patience.onProgress?.(this.#removed);
    }
    const { deadline, stop } = this.#patience;
    this.#isOutOfTime ||= stop?.aborted === true || performance.now() > deadline;
    return this.#isOutOfTime;
  }
}

/** A bind mount has the device of what is mounted, and a subvolume the mount of what it lies in. */
function refusalOf(parent: Directory, directory: Directory): string | undefined {
  if (directory.mount !== parent.mount) return 'is a mount point, and what is mounted there is left alone';
  const { dev, uid } = directory.stats;
  if (dev !== parent.stats.dev) return 'is another file system or subvolume, and left alone';
  if (uid !== process.geteuid?.()) return `belongs to uid ${uid}`;
  return undefined;
}

/** One after the other, so that a directory of millions takes no more memory than one of ten. */
function* entriesOf(directory: Directory): Generator<{ name: EntryName; isDirectory: boolean }> {
  const stream = opendirSync(directory.here, { encoding: 'buffer' as BufferEncoding, bufferSize: 1024 });
  try {
    for (let entry = stream.readSync(); entry !== null; entry = stream.readSync()) {
      yield { name: entry.name as EntryName, isDirectory: entry.isDirectory() };
    }
  } finally {
    stream.closeSync();
  }
}
