// Our end of the way to jacamar: one socket pair where we start it ourselves, two pipes where sudo or su stands
// between. Those may replace what they inherit by pipes of their own (sudo does to log), so nothing but bytes down
// its standard input and up its standard output gets through for certain.

import { randomBytes } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeGreeting, frame, GREETING_MARK, type Greeting, REPORT_LIMIT, stopWord } from '../../contract/handoff.ts';
import { openOutput, type Write, writeWhatFits } from '../../contract/output.ts';
import type { Credentials } from '../credentials.ts';
import { MarkedStream } from './marked-stream.ts';

/** Both ends, when nothing has been started yet. */
export interface Ends {
  /** What becomes 0, 1 and 2 of the program that is started. */
  readonly stdio: readonly [number, number, number];
  /**
   * Takes our end into use and closes theirs. To be called when the program has been started: what is needed for it
   * is loaded meanwhile.
   */
  open(): Channel;
}

/** It stays open while jacamar runs: its closing tells jacamar that we are gone. */
export interface Channel {
  /** Sent along in the handoff. */
  readonly reportMark: string | undefined;
  /** What jacamar says of itself; undefined at the end of its output. Without pipes it is not asked. */
  readonly greeting: Promise<Greeting | undefined>;
  send(handoff: Buffer): void;
  stop(reason: string): void;
  /** The report of a jacamar that has ended, as far as one comes before the patience in milliseconds is over. */
  report(patience: number): Promise<Buffer>;
}

export function socketEnds(output: 1 | 2, credentials: Pick<Credentials, 'socketPair'>): Ends {
  const [ours, theirs] = credentials.socketPair();
  return {
    stdio: [theirs, output, 2],
    open() {
      closeSync(theirs);
      return openSocketChannel(ours);
    },
  };
}

/**
 * The channel to a jacamar that has the other end of this socket, which does not block. What is said fits into it as a
 * rule, and a report waits in it until jacamar has ended: so none of Node's streams is needed, which take longer to load
 * than all that is said.
 */
export function openSocketChannel(ours: number): Channel {
  let overflow: Socket | undefined;
  const say = (words: Buffer) => {
    const sent = overflow === undefined ? sendAtOnce(ours, words) : 0;
    if (sent === words.length) return;
    overflow ??= openWriter(ours);
    overflow.write(words.subarray(sent));
  };
  return {
    reportMark: undefined,
    greeting: Promise.resolve(undefined),
    send: (handoff) => say(frame(handoff)),
    stop: (reason) => say(Buffer.from(stopWord(reason))),
    report: async () => readReport(ours),
  };
}

/** A jacamar that died early leaves a broken pipe; its exit status says more than that. */
function sendAtOnce(ours: number, words: Buffer): number {
  try {
    return writeWhatFits(ours, words);
  } catch {
    return words.length;
  }
}

function openWriter(descriptor: number): Socket {
  const writer = new Socket({ fd: descriptor, readable: false, writable: true });
  writer.on('error', () => writer.destroy()); // as above
  return writer;
}

/** What a jacamar that has ended has left; nothing if that is too long for a report. */
function readReport(ours: number): Buffer {
  const report = Buffer.alloc(REPORT_LIMIT + 1);
  let size = 0;
  try {
    for (let read = -1; read !== 0 && size < report.length; size += read) {
      read = readSync(ours, report, { offset: size });
    }
  } catch {
    // no more at the moment, and so at all; or the way was broken before
  }
  return size > REPORT_LIMIT ? Buffer.alloc(0) : report.subarray(0, size);
}

export function pipeEnds(output: 1 | 2, credentials: Pick<Credentials, 'pipe'>): Ends {
  const [down, up] = [credentials.pipe(), credentials.pipe()];
  return {
    stdio: [down[0], up[1], 2],
    open() {
      closeSync(down[0]);
      closeSync(up[1]);
      return openPipedChannel({ down: down[1], up: up[0] }, output);
    },
  };
}

function openPipedChannel({ down, up }: { readonly down: number; readonly up: number }, output: 1 | 2): Channel {
  const input = openWriter(down);
  const reportMark = `\0${randomBytes(16).toString('hex')} `;
  const greeting = Promise.withResolvers<Greeting | undefined>();
  const source = new Socket({ fd: up, readable: true, writable: false });
  source.on('error', () => source.destroy());
  const sink = watched(openOutput(output));
  const report = receive(source, sink.write, reportMark, greeting.resolve).finally(() => input.destroy());
  return {
    reportMark,
    greeting: greeting.promise,
    send: (handoff) => void input.write(frame(handoff)),
    stop: (reason) => void input.write(stopWord(reason)),
    report: (patience) => whileHeard(patience, source, report, () => sink.isBusy),
  };
}

/** A runner that reads slowly is no silence of jacamar's. */
function watched(write: Write): { write: Write; readonly isBusy: boolean } {
  const sink = {
    isBusy: false,
    async write(chunk: Uint8Array) {
      sink.isBusy = true;
      await write(chunk);
      sink.isBusy = false;
    },
  };
  return sink;
}

const LOOK_AGAIN_MS = 100;
/** More than this cannot still be on its way in pipes; somebody else writes. */
const LATE_LIMIT = 1024 * 1024;

/** Gives up on pipes that somebody else holds open, when nothing has come for as long as that. */
async function whileHeard(patience: number, source: Socket, report: Promise<Buffer>, isBusy: () => boolean) {
  let isDone = false;
  void report.finally(() => {
    isDone = true;
  });
  const limit = source.bytesRead + LATE_LIMIT;
  for (let silent = 0, heard = -1; !isDone && silent < patience && heard < limit; silent += LOOK_AGAIN_MS) {
    if (isBusy() || source.bytesRead > heard) silent = 0;
    heard = source.bytesRead;
    await Promise.race([report, delay(LOOK_AGAIN_MS)]);
  }
  source.destroy();
  return await report;
}

/** What comes before the greeting and between it and the report is output, passed on as fast as it is read. */
async function receive(
  source: Socket,
  write: Write,
  mark: string,
  greet: (greeting: Greeting | undefined) => void,
): Promise<Buffer> {
  const parts = new MarkedStream(source);
  try {
    await parts.until(GREETING_MARK, write);
    greet(decodeGreeting(await parts.line()));
    await parts.until(mark, write);
    return Buffer.from(await parts.line(), 'latin1');
  } catch {
    return Buffer.alloc(0); // our reader went away, or jacamar ended too soon: there is no report
  } finally {
    greet(undefined);
    source.destroy();
  }
}
