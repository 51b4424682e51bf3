// Carries the job's output from our pipes to the runner's: byte for byte, no faster than the runner reads, and
// no longer than the job lives. The job never holds the runner's own pipe, so no daemon can keep it open.

import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { openOutput, type Write } from '../contract/output.ts';

/** How long `finish` waits for the end of a pipe that somebody still holds open. */
export interface Patience {
  /** Without a byte, in milliseconds. */
  readonly silenceMs: number;
  /** In all. */
  readonly totalMs: number;
}

/** Every process of the job is gone: only somebody out of reach can hold the pipe, or write to it. */
const WHEN_ALL_ARE_GONE: Patience = { silenceMs: 5_000, totalMs: 10_000 };
/** What was written before is no more than a pipe can hold (pipe(7), pipe-max-size), in bytes. */
const LARGEST_PIPE = 1024 * 1024;

const LOOK_AGAIN_MS = 50;

/** One stream on its way. */
export class Relay {
  readonly #source: Socket;
  readonly #done: Promise<void>;
  readonly #begun = Promise.withResolvers<void>();
  readonly #broken = Promise.withResolvers<void>();
  #isDone = false;
  #isBroken = false;
  #isWriting = false;

  /** Reads `from` to its end and writes all of it to `to`. */
  constructor(from: number, to: number) {
    this.#source = new Socket({ fd: from, readable: true, writable: false });
    this.#done = this.#carry(openOutput(to));
  }

  /** Settles with the first output. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** Settles when the reader of our output has gone away: nobody wants the rest. */
  get broken(): Promise<void> {
    return this.#broken.promise;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /**
   * Waits until all output has been passed on, however slowly it is read; the time for which the runner is what we wait
   * for does not count. See `Patience` for a pipe without end.
   */
  async finish({ silenceMs, totalMs }: Patience = WHEN_ALL_ARE_GONE): Promise<void> {
    const source = this.#source;
    const most = source.bytesRead + LARGEST_PIPE;
    for (let [silent, waited, read] = [0, 0, -1]; !this.#isDone; read = source.bytesRead) {
      await Promise.race([this.#done, delay(LOOK_AGAIN_MS)]);
      if (source.bytesRead > most) source.destroy(); // somebody else's; what has been read is passed on
      if (this.#isWriting) silent = 0;
      else {
        waited += LOOK_AGAIN_MS;
        silent = source.bytesRead === read ? silent + LOOK_AGAIN_MS : 0;
        if (silent >= silenceMs || waited >= totalMs) break;
      }
    }
    source.destroy();
  }

  /** Reads on only when the write before is through: that is the back-pressure. Resolves at the end of the source. */
  #carry(write: Write): Promise<void> {
    const source = this.#source;
    const passOn = async () => {
      for (let chunk = source.read(); chunk !== null; chunk = source.read()) {
        if (!(await this.#pass(chunk, write))) source.destroy();
      }
    };
    let passing = Promise.resolve();
    source.on('readable', () => {
      passing = passing.then(passOn);
    });
    // An error of the source is its end: we have destroyed it, or nothing more can be read.
    source.on('error', () => source.destroy());
    return new Promise((resolve) => {
      const end = () => {
        this.#isDone = true;
        resolve();
      };
      // It may come while the last bytes are still on their way.
      source.once('end', () => void passing.then(end));
      source.once('close', () => void passing.then(end));
    });
  }

  async #pass(chunk: Buffer, write: Write): Promise<boolean> {
    this.#begun.resolve();
    this.#isWriting = true;
    try {
      await write(chunk);
    } catch {
      this.#isBroken = true;
      this.#broken.resolve();
    }
    this.#isWriting = false;
    return !this.#isBroken;
  }
}

/** A short text that arrives on a pipe. */
export interface Reader {
  soFar(): string;
  /** Resolves when the text holds this; never, if it does not come. */
  until(pattern: RegExp): Promise<void>;
  /** All of it, if the pipe ends; what has arrived, if somebody holds it open. Closes the pipe. */
  finish(): Promise<string>;
}

/** How long to wait for the end of a pipe whose writers should be gone, in milliseconds. */
const END_OF_PIPE_MS = 200;

/** Keeps the first few KiB. */
export function openReader(from: number): Reader {
  const source = new Socket({ fd: from, readable: true, writable: false });
  let text = '';
  source.on('data', (chunk) => {
    if (text.length < 4096) text += chunk.toString('latin1');
  });
  source.on('error', () => source.destroy());
  const closed = new Promise<void>((resolve) => source.once('close', () => resolve()));
  return {
    soFar: () => text,
    until: (pattern) =>
      new Promise((resolve) => {
        const look = () => void (pattern.test(text) && resolve());
        source.on('data', look);
        look();
      }),
    async finish() {
      await Promise.race([closed, delay(END_OF_PIPE_MS)]);
      source.destroy();
      return text;
    },
  };
}
