// Waiting for a condition instead of for a time: the only way in which the suite lets time pass.

import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_AGAIN_MS = 20;
/** Matters to a test that fails only; a machine that has much else to do must not make one fail. */
const LIMIT_MS = 60_000;

/**
 * Resolves with the first answer that is neither false nor undefined.
 * @throws after `limitMs`, naming what did not happen
 */
export async function eventually<T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
  limitMs = LIMIT_MS,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await look();
    if (answer !== false && answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`did not happen within ${limitMs / 1000} s: ${what}`);
    await sleep(LOOK_AGAIN_MS);
  }
}
