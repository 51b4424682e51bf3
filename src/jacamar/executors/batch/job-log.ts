// What the user reads: the output of the job, and lines of our own between it. All of it takes the same way, since
// nobody keeps the order of two.

import type { Write } from '../../../contract/output.ts';

const NEW_LINE = 0x0a;

export class JobLog {
  readonly #write: Write;
  #lastByte = NEW_LINE;
  #isBroken = false;

  constructor(write: Write) {
    this.#write = write;
  }

  /** The reader has gone away; nothing is written any more. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Resolves when the reader has taken it. */
  async pass(chunk: Uint8Array): Promise<void> {
    if (chunk.length === 0 || this.#isBroken) return;
    this.#lastByte = chunk.at(-1) ?? NEW_LINE;
    await this.#write(chunk).catch(() => {
      this.#isBroken = true;
    });
  }

  /** Lines of our own, never in the middle of one of the job's. */
  async say(...lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const before = this.#lastByte === NEW_LINE ? '' : '\n';
    await this.pass(Buffer.from(`${before}${lines.join('\n')}\n`));
  }
}
