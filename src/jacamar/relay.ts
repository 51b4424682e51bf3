// Carries the job's output from our pipes to the runner's: byte for byte, no faster than the runner reads, and
// no longer than the job lives. The job never holds the runner's own pipe, so no daemon can keep it open.

import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { openOutput, type Write } from '../contract/output.ts';

/** How long a pipe may stay open and silent when every process of the job is gone, in milliseconds. */
const SILENCE_LIMIT_MS = 5_000;

/** One stream on its way. */
export class Relay {
  readonly #source: Socket;
  readonly #done: Promise<void>;
  readonly #broken = Promise.withResolvers<void>();
  #isBroken = false;
  #isWriting = false;

  /** Reads `from` to its end and writes all of it to `to`. */
  constructor(from: number, to: number) {
    this.#source = new Socket({ fd: from, readable: true, writable: false });
    this.#done = this.#carry(openOutput(to)).catch(() => {
      this.#isBroken = true;
      this.#broken.resolve();
    });
  }

  /** Settles when the reader of our output has gone away: nobody wants the rest. */
  get broken(): Promise<void> {
    return this.#broken.promise;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /**
   * Waits until all output has been passed on, however slowly it is read. Gives up only on a pipe that is held
   * open by somebody out of reach and stays silent.
   */
  async finish(): Promise<void> {
    let isDone = false;
    void this.#done.then(() => {
      isDone = true;
    });
    for (let silentFor = 0; !isDone && silentFor < SILENCE_LIMIT_MS; ) {
      const before = this.#source.bytesRead;
      await Promise.race([this.#done, delay(100)]);
      silentFor = this.#isWriting || this.#source.bytesRead > before ? 0 : silentFor + 100;
    }
    this.#source.destroy();
  }

  /** `for await` reads on only when the write before is through: that is the back-pressure. */
  async #carry(write: Write): Promise<void> {
    for await (const chunk of this.#source) {
      this.#isWriting = true;
      await write(chunk as Buffer);
      this.#isWriting = false;
    }
  }
}

/** A short text that arrives on a pipe. */
export interface Reader {
  /** Resolves at the end of the pipe. */
  readonly closed: Promise<void>;
  /** What has arrived; closes the pipe. */
  finish(): Promise<string>;
}

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
    closed,
    async finish() {
      source.destroy();
      await closed;
      return text;
    },
  };
}
