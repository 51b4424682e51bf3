// Takes apart what comes up from jacamar through other programs: output of the job, with messages of ours in it.

import { REPORT_LIMIT } from '../../contract/handoff.ts';
import type { Write } from '../../contract/output.ts';

/** A stream in which marks divide output from messages. */
export class MarkedStream {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Passes everything on that stands before the mark; holds back no more than what may be its beginning. */
  async until(mark: string, write: Write): Promise<void> {
    const bytes = Buffer.from(mark, 'latin1');
    for (;;) {
      const found = this.#rest.indexOf(bytes);
      const end = found >= 0 ? found : this.#rest.length - overlap(this.#rest, bytes);
      if (end > 0) await write(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(found >= 0 ? end + bytes.length : end);
      if (found >= 0) return;
      if (!(await this.#more())) return await this.#endWithout(write);
    }
  }

  /** The rest of the line, read as bytes. */
  async line(): Promise<string> {
    while (!this.#rest.includes('\n')) {
      if (this.#rest.length > REPORT_LIMIT || !(await this.#more())) throw new Error('a message without end');
    }
    const end = this.#rest.indexOf('\n');
    const line = this.#rest.toString('latin1', 0, end);
    this.#rest = this.#rest.subarray(end + 1);
    return line;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done === true) return false;
    this.#rest = Buffer.concat([this.#rest, value as Buffer]);
    return true;
  }

  async #endWithout(write: Write): Promise<never> {
    if (this.#rest.length > 0) await write(this.#rest);
    throw new Error('the end before the mark');
  }
}

/** How many of the last bytes may be the beginning of the mark. */
function overlap(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(mark.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(mark.subarray(0, length))) return length;
  }
  return 0;
}
