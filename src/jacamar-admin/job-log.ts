// The job log as a user would read it in GitLab: the runner's own lines and the output of the driver, line by line,
// with the values of masked variables and words that look like tokens replaced.
import { StringDecoder } from 'node:string_decoder';
import type { OutputStream } from './driver-call.ts';

/** Where a line of the log comes from. */
export type LineOrigin = 'runner' | OutputStream;

const MASK = '[MASKED]';
/** In UTF-16 units; what is longer becomes several lines. */
const LONGEST_LINE = 4 * 1024 * 1024;

// Prefixes that the runner masks without being told; the rest of the word goes.
const TOKEN_WORDS = /\b((?:glpat|gloas|gldt|glrt|glrtr|glcbt|glptt|glft|glimt|glagent|glsoat|glffct)-)[\w.=-]+/g;

/** A log that grows; whole lines are handed to the listener as they come. */
export class JobLog {
  readonly #secrets: readonly string[];
  readonly #onLine: (line: string, origin: LineOrigin) => void;
  readonly #mostKept: number;
  #lines: string[] = [];
  #length = 0;

  /** @param mostKept how many characters `text` may have, about */
  constructor(
    secrets: readonly string[],
    onLine: (line: string, origin: LineOrigin) => void = () => {},
    mostKept = Number.POSITIVE_INFINITY,
  ) {
    this.#mostKept = mostKept;
    // The longest first, so that a secret which contains another one is masked as a whole.
    this.#secrets = secrets.filter((secret) => secret !== '').toSorted((a, b) => b.length - a.length);
    this.#onLine = onLine;
  }

  /** A line of the runner itself. */
  say(line: string): void {
    this.#append(line, 'runner');
  }

  /** A stream of the driver. Its last, unfinished line is added by `end`. */
  open(origin: OutputStream): { write(chunk: Buffer): void; end(): void } {
    const decoder = new StringDecoder('utf8');
    let waiting = '';
    const take = (text: string) => {
      const [first = '', ...others] = text.split('\n');
      const parts = [waiting + first, ...others];
      waiting = parts.pop() ?? '';
      for (const line of parts) this.#append(line, origin);
      if (waiting.length < LONGEST_LINE) return;
      this.#append(waiting, origin);
      waiting = '';
    };
    return {
      write: (chunk) => take(decoder.write(chunk)),
      end: () => {
        take(decoder.end());
        if (waiting !== '') this.#append(waiting, origin);
        waiting = '';
      },
    };
  }

  /** Everything so far, as far as it is kept. */
  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }

  #append(line: string, origin: LineOrigin): void {
    const masked = this.#secrets.reduce((text, secret) => text.replaceAll(secret, MASK), line);
    const shown = masked.replace(TOKEN_WORDS, `$1${MASK}`);
    if (this.#length < this.#mostKept) this.#lines.push(shown);
    this.#length += shown.length + 1;
    this.#onLine(shown, origin);
  }
}
