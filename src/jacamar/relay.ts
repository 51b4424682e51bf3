// Carries the job's output from our pipes to the runner's: byte for byte, no faster than the runner reads, and
// no longer than the job lives. The job never holds the runner's own pipe, so no daemon can keep it open.

import { write } from 'node:fs';
import { Socket } from 'node:net';

/** How long output may still come when every process of the job is gone, in milliseconds. */
const DRAIN_LIMIT_MS = 5_000;

/** One stream on its way. */
export interface Relay {
  /** Settles when the reader of our output has gone away: nobody wants the rest. */
  readonly broken: Promise<void>;
  readonly isBroken: boolean;
  /** Resolves when all output has been passed on; gives up on a pipe that somebody out of reach holds open. */
  finish(): Promise<void>;
}

/** Reads `from` to its end and writes all of it to `to`. */
export function openRelay(from: number, to: number): Relay {
  const source = new Socket({ fd: from, readable: true, writable: false });
  const broken = Promise.withResolvers<void>();
  let isBroken = false;
  const done = carry(source, to).catch(() => {
    source.destroy();
    isBroken = true;
    broken.resolve();
  });
  return {
    broken: broken.promise,
    get isBroken() {
      return isBroken;
    },
    finish: () => finishWithin(done, source),
  };
}

/** `for await` reads on only when the write before is through: that is the back-pressure. */
async function carry(source: Socket, to: number): Promise<void> {
  for await (const chunk of source) await writeAll(to, chunk as Buffer);
}

async function writeAll(to: number, chunk: Buffer): Promise<void> {
  for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(await writeOnce(to, rest));
}

function writeOnce(to: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(to, bytes, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === 'EAGAIN') setTimeout(() => resolve(0), 5);
      else reject(error);
    });
  });
}

async function finishWithin(done: Promise<void>, source: Socket): Promise<void> {
  const timer = setTimeout(() => source.destroy(), DRAIN_LIMIT_MS);
  await done;
  clearTimeout(timer);
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
