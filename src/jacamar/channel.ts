// The user's end of the channel to jacamar-auth: the handoff comes in, then perhaps a word to stop; the report
// goes out. When the other end goes away jacamar-auth has died, and the job must not outlive it.

import { Socket } from 'node:net';
import {
  decodeHandoff,
  encodeGreeting,
  encodeReport,
  type Handoff,
  type Report,
  STOP_WORD,
  type Unframed,
  unframer,
} from '../contract/handoff.ts';
import { writePatiently } from '../contract/output.ts';

/** Reason of a stop that nobody asked for: jacamar-auth was killed, and the runner waits only seconds more. */
export const AUTH_IS_GONE = 'the end of jacamar-auth';

/** What jacamar-auth wants of this process. */
export interface Channel {
  readonly handoff: Handoff;
  readonly script: Buffer;
  /** Aborted with the reason that jacamar-auth gives, or when it is gone. */
  readonly stop: AbortSignal;
  /** Sends the report and closes the channel. */
  report(report: Report): Promise<void>;
}

/**
 * Waits for the handoff on a socket, which carries the report as well. Undefined when the other end goes away
 * before it is whole: nothing is to be done after all.
 * @throws {Error} the other end is no jacamar-auth of this version
 */
export async function openChannel(descriptor: number): Promise<Channel | undefined> {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen: true });
  return await serve(socket, (report) => say(descriptor, encodeReport(report)));
}

/**
 * The same where sudo or su stands between, which may hand on pipes of their own. Standard output then carries a
 * greeting, the output of the job, and behind a mark that only jacamar-auth and we know the report. We stay until
 * jacamar-auth has it and closes our input: a sudo that logs throws away what it has not passed on when we end.
 */
export async function openPipedChannel(): Promise<Channel | undefined> {
  await writePatiently(1, encodeGreeting({ pid: process.pid, uid: process.getuid?.() ?? 0 }));
  const input = new Socket({ fd: 0, readable: true, writable: false });
  const closed = new Promise<void>((resolve) => input.once('close', () => resolve()));
  return await serve(input, async (report, { reportMark = '' }) => {
    await say(1, `${reportMark}${encodeReport(report)}\n`);
    await closed;
  });
}

async function say(descriptor: number, text: string): Promise<void> {
  await writePatiently(descriptor, text).catch(() => {}); // nobody is left to tell
}

type Send = (report: Report, handoff: Handoff) => Promise<void>;

async function serve(input: Socket, send: Send): Promise<Channel | undefined> {
  const received = await readHandoff(input);
  if (received === undefined) return undefined;
  const { handoff: bytes, rest } = received;
  const { handoff, script } = decodeHandoff(bytes);
  return { handoff, script, stop: watchForStop(input, rest), report: (report) => send(report, handoff) };
}

/** Reads until the frame is whole, if it comes to that; whatever came behind it is the first of the words that follow. */
async function readHandoff(socket: Socket): Promise<Unframed | undefined> {
  const { promise, resolve } = Promise.withResolvers<Unframed | undefined>();
  const take = unframer();
  const onData = (chunk: Buffer) => {
    const whole = take(chunk);
    if (whole === undefined) return;
    socket.off('data', onData);
    socket.off('close', onClose);
    resolve(whole);
  };
  const onClose = () => resolve(undefined);
  socket.on('data', onData);
  socket.once('end', onClose);
  socket.once('close', onClose);
  socket.on('error', () => socket.destroy());
  return await promise.finally(() => socket.off('end', onClose));
}

function watchForStop(socket: Socket, first: Buffer): AbortSignal {
  const stop = new AbortController();
  let words = first.toString('latin1');
  const look = () => {
    const asked = words.match(STOP_WORD);
    if (asked) stop.abort(asked[1]);
  };
  socket.on('data', (chunk) => {
    words = (words + chunk.toString('latin1')).slice(-64);
    look();
  });
  socket.once('end', () => stop.abort(AUTH_IS_GONE));
  socket.once('close', () => stop.abort(AUTH_IS_GONE));
  look();
  return stop.signal;
}
