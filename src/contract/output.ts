// Writes to descriptors that somebody else may leave full for a long time, without holding up the process.

import { fstatSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { writeFully } from './program.ts';

/** Resolves when the bytes are out; the next write waits for it, and that is the back-pressure. */
export type Write = (chunk: Uint8Array) => Promise<void>;

/**
 * Opens a stream of output. A write that blocks in libuv's thread pool would keep the process from ending for as
 * long as nobody reads. Files and terminals do not block for long.
 */
export function openOutput(to: number): Write {
  const stats = fstatSync(to);
  if (!stats.isFIFO() && !stats.isSocket()) return async (chunk) => writeFully(to, chunk);
  const sink = new Socket({ fd: to, readable: false, writable: true });
  sink.on('error', () => {}); // reaches the writer by the callback
  return (chunk) =>
    new Promise((resolve, reject) => {
      sink.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
}

const TRY_AGAIN_MS = 10;

/** Writes a short text to a descriptor that a stream of ours may have used before: libuv takes each only once. */
export async function writePatiently(descriptor: number, text: string): Promise<void> {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    const written = writeWhatFits(descriptor, rest);
    rest = rest.subarray(written);
    if (written === 0) await delay(TRY_AGAIN_MS);
  }
}

/** How many of the bytes a descriptor that does not block takes now. */
export function writeWhatFits(descriptor: number, bytes: Uint8Array): number {
  try {
    return writeSync(descriptor, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    return 0;
  }
}
