// Passes the growing output file of a batch job on to the runner: byte for byte, no faster than it reads, and no more
// than the runner would keep. Its log has a limit, and behind it the end is lost, where the error stands; so near that
// limit only the end is kept, and given out when the job is over.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { JobLog } from './job-log.ts';

const CHUNK = 256 * 1024;
/** Of the limit, what the beginning may take; other stages and our own lines need room too. */
const HEAD_SHARE = 0.7;
const TAIL_SHARE = 0.1;
const MOST_TAIL = 256 * 1024;

/** What was left out. */
export interface Gap {
  readonly bytes: number;
  readonly size: number;
}

export class Tail {
  readonly #path: string;
  readonly #log: JobLog;
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #buffer = Buffer.alloc(CHUNK);
  #descriptor: number | undefined;
  #position = 0;
  #isFullTold = false;

  /** @param limit of the runner's log, in bytes */
  constructor(path: string, limit: number, log: JobLog) {
    this.#path = path;
    this.#log = log;
    this.#headLimit = Math.floor(limit * HEAD_SHARE);
    this.#tailLimit = Math.min(Math.floor(limit * TAIL_SHARE), MOST_TAIL);
  }

  /** Bytes read so far. */
  get position(): number {
    return this.#position;
  }

  /** The rest is passed on at the end, as far as it fits. */
  get isFull(): boolean {
    return this.#position >= this.#headLimit;
  }

  /** Passes on what is new. */
  async pump(): Promise<void> {
    while (!this.#log.isBroken && !this.isFull) {
      const chunk = this.#read(this.#position, Math.min(CHUNK, this.#headLimit - this.#position));
      if (chunk.length === 0) return this.close();
      this.#position += chunk.length;
      await this.#log.pass(chunk);
    }
    if (this.isFull && !this.#isFullTold && this.size() > this.#position + this.#tailLimit) await this.#tellFull();
  }

  async #tellFull(): Promise<void> {
    this.#isFullTold = true;
    await this.#log.say('[The job log is nearly full. Of what follows only the end is shown, when the job is over.]');
  }

  /** Size of the file now, in bytes; 0 while it cannot be read. */
  size(): number {
    this.close();
    return this.#try((descriptor) => fstatSync(descriptor).size) ?? 0;
  }

  /**
   * Passes on the end of a file that has grown too long, behind `announce`.
   * @returns what was left out, if anything
   */
  async finish(announce: (gap: Gap) => string): Promise<Gap | undefined> {
    await this.pump();
    const size = this.size();
    const from = Math.max(this.#position, size - this.#tailLimit);
    const gap = from > this.#position ? { bytes: from - this.#position, size } : undefined;
    if (gap !== undefined) await this.#log.say(announce(gap));
    for (let position = from; position < size; ) {
      const chunk = this.#read(position, Math.min(CHUNK, size - position));
      if (chunk.length === 0) break;
      position += chunk.length;
      await this.#log.pass(chunk);
    }
    this.#position = size;
    return gap;
  }

  #read(position: number, length: number): Buffer {
    const read = (descriptor: number) => readSync(descriptor, this.#buffer, 0, length, position);
    const count = length <= 0 ? 0 : (this.#try(read) ?? 0);
    // A copy, since the writer may hold on to what it gets.
    return Buffer.from(this.#buffer.subarray(0, count));
  }

  /**
   * Lets go of the file, so that the next look opens it. Only then a client of NFS asks its server for what is new:
   * while a file stays open it may believe for a minute that it has not grown (nfs(5), acregmax).
   */
  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }

  /** A file server that is out of order, or lost the file (ESTALE), costs output, never the job. */
  #try(act: (descriptor: number) => number): number | undefined {
    try {
      this.#descriptor ??= openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
      return act(this.#descriptor);
    } catch {
      this.close();
      return undefined; // not there yet, or gone, or to be opened again
    }
  }
}
