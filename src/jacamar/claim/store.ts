// A directory of claims on numbers. A claim is the file `<number>.<turn>.json` with the highest turn. A turn is made by
// link(2): of several at the same time one succeeds, over NFS as well. It is never made twice, and giving a number back
// only changes what its turn says; so whoever decided on what he saw a while ago finds his turn taken, or a higher
// one afterwards. No two jobs have one number at a time, whether or not the file system has locks that work.

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { slotName } from '../../contract/directories.ts';
import { SystemFailure } from '../../contract/errors.ts';
import { noRoom } from '../../contract/no-room.ts';
import { writeFully } from '../../contract/program.ts';
import { readNow } from '../directory.ts';
import { limitSchema, ownerSchema } from './owner.ts';

export const claimSchema = v.object({
  server: v.string(),
  jobId: v.number(),
  project: v.string(),
  owner: ownerSchema,
  /** Milliseconds since 1970. */
  since: v.number(),
  ...limitSchema.entries,
});
/** What a job says of itself when it takes a number. */
export type Claim = v.InferOutput<typeof claimSchema>;

/** What became of a number last. */
export interface Turn {
  readonly slot: number;
  readonly turn: number;
  /** Absent: the number is free. */
  readonly claim?: Claim;
}

/** Gone; a directory; a symbolic link. */
const NO_CLAIM = new Set(['ENOENT', 'EISDIR', 'ELOOP']);
const FREE = '{"free":true}';
/** After this time nobody is still writing a file, in milliseconds. */
const ABANDONED_MS = 3_600_000;

export class ClaimStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Every number that was ever taken, in their order. */
  turns(): Turn[] {
    const found = [...this.#highest()].toSorted(([one], [other]) => one - other);
    return found.map(([slot, turn]) => this.#read(slot, turn));
  }

  /**
   * Takes the number after `last`, which was seen to be free or dead.
   * @returns false when somebody else was quicker
   * @throws {SystemFailure} the file system cannot do it
   */
  take(last: Pick<Turn, 'slot' | 'turn'>, claim: Claim): boolean {
    const mine = { slot: last.slot, turn: last.turn + 1 };
    const path = this.#file(mine);
    if (!this.#createSomehow(path, JSON.stringify(claim))) return false;
    if (this.#highest().get(mine.slot) !== mine.turn) {
      rmSync(path, { force: true });
      return false;
    }
    this.#forgetBefore(mine);
    return true;
  }

  /** Gives a number back. If somebody has taken it meanwhile, nothing changes for him. */
  free(turn: Turn): void {
    const path = this.#file(turn);
    try {
      renameSync(this.#writeTemporary(FREE), path);
    } catch (error) {
      if (noRoom(error) === undefined) throw error;
      // An empty file is no claim, either. This one may have been followed by other turns, and be gone.
      if (existsSync(path)) truncateSync(path);
    }
  }

  #file({ slot, turn }: Pick<Turn, 'slot' | 'turn'>): string {
    return join(this.directory, `${slotName(slot)}.${turn}.json`);
  }

  /** Where there is no directory yet nobody has claimed anything. */
  #names(): string[] {
    return existsSync(this.directory) ? readdirSync(this.directory) : [];
  }

  #highest(turns = this.#names().flatMap(parseName)): Map<number, number> {
    const highest = new Map<number, number>();
    for (const { slot, turn } of turns) {
      if (turn > (highest.get(slot) ?? 0)) highest.set(slot, turn);
    }
    return highest;
  }

  /** What cannot be understood was never a claim of ours; what is gone has been followed by another turn. */
  #read(slot: number, turn: number): Turn {
    try {
      return { slot, turn, claim: v.parse(claimSchema, JSON.parse(readNow(this.#file({ slot, turn })))) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined || NO_CLAIM.has(code)) return { slot, turn };
      throw error;
    }
  }

  /** Who removes build directories, because no room is left, needs some for his claim. */
  #createSomehow(path: string, content: string): boolean {
    try {
      return this.#create(path, content);
    } catch (error) {
      if (noRoom(error) === undefined) throw error;
      this.#forgetFollowed();
      return this.#create(path, content);
    }
  }

  #create(path: string, content: string): boolean {
    const temporary = this.#writeTemporary(content);
    try {
      linkSync(temporary, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw noLinks(this.directory, error);
      // An answer of the NFS server was lost and the call repeated: open(2), O_EXCL.
      return lstatSync(temporary).nlink === 2;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  #writeTemporary(content: string): string {
    const path = join(this.directory, `.${randomUUID()}`);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const descriptor = openSync(path, flags, 0o600);
    try {
      writeFully(descriptor, content);
      fsyncSync(descriptor);
      return path;
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(descriptor);
    }
  }

  /** The turn before ours stays: who lists the directory at this moment must not miss both. */
  #forgetBefore({ slot, turn }: Pick<Turn, 'slot' | 'turn'>): void {
    const names = this.#names();
    this.#forget(names.flatMap(parseName).filter((each) => each.slot === slot && each.turn < turn - 1));
    for (const name of names.filter((each) => each.startsWith('.'))) this.#removeAbandoned(join(this.directory, name));
  }

  /** All but the last turn of each number. Who listed at such a moment finds his own turn not to be the highest. */
  #forgetFollowed(): void {
    const turns = this.#names().flatMap(parseName);
    const highest = this.#highest(turns);
    this.#forget(turns.filter(({ slot, turn }) => turn !== highest.get(slot)));
  }

  #forget(turns: readonly Pick<Turn, 'slot' | 'turn'>[]): void {
    for (const each of turns) rmSync(this.#file(each), { force: true });
  }

  #removeAbandoned(path: string): void {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() === true && Date.now() - stats.mtimeMs > ABANDONED_MS) rmSync(path, { force: true });
  }
}

function parseName(name: string): { slot: number; turn: number }[] {
  const [, slot, turn] = name.match(/^([0-9]{3,9})\.([1-9][0-9]{0,14})\.json$/) ?? [];
  return slot === undefined || turn === undefined ? [] : [{ slot: Number(slot), turn: Number(turn) }];
}

function noLinks(directory: string, cause: unknown): SystemFailure {
  const { code } = cause as NodeJS.ErrnoException;
  const message = `no claim on a build directory can be made in ${directory}: link(2) fails there (${code})`;
  return new SystemFailure({ code: 'ERR_CLAIM', message, publicMessage: message, cause });
}
