// A value that must not be seen. Its text, JSON and inspected forms are all a mask, so that it cannot
// reach a log, an error text or a command line by accident.

import { inspect } from 'node:util';

const MASK = '[masked]';

/** Wraps a token or another secret; only {@link Secret.reveal} gives it back. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value in clear. Every use is worth a second look in review. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}
