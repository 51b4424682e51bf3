// Waiting: a clock that can be replaced, and pauses that grow.

import { setTimeout as delay } from 'node:timers/promises';

/** What is needed of time. */
export interface Clock {
  /** Milliseconds that only grow, from any beginning. */
  now(): number;
  /** Milliseconds since 1970, which may jump. */
  date(): number;
  /** Waits, at most until `stop` is aborted; never throws. */
  pause(milliseconds: number, stop?: AbortSignal): Promise<void>;
}

export const CLOCK: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  async pause(milliseconds, stop) {
    await delay(milliseconds, undefined, stop === undefined ? {} : { signal: stop }).catch(() => {});
  },
};

/** Of each pause, either way, so that many jobs do not come back in step. */
const JITTER = 0.2;

/** Longer and longer pauses. */
export class BackOff {
  readonly #clock: Clock;
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #growth: number;
  #nextMs: number;

  constructor(clock: Clock, firstMs: number, longestMs: number, growth = 2) {
    this.#clock = clock;
    this.#firstMs = firstMs;
    this.#nextMs = firstMs;
    this.#longestMs = Math.max(firstMs, longestMs);
    this.#growth = growth;
  }

  /** The next pause is as short as the first. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Also ends when `stop` is aborted. */
  async pause(stop?: AbortSignal, atMostMs = Number.POSITIVE_INFINITY): Promise<void> {
    const now = Math.max(0, Math.min(jittered(this.#nextMs), atMostMs));
    this.#nextMs = Math.min(this.#nextMs * this.#growth, this.#longestMs);
    await this.#clock.pause(now, stop);
  }
}

export function jittered(milliseconds: number): number {
  return milliseconds * (1 + (Math.random() * 2 - 1) * JITTER);
}
