// The user's end of the channel to jacamar-auth (standard input): the handoff comes in, then perhaps a word to
// stop; the report goes out. When the other end goes away jacamar-auth has died, and the job must not outlive it.

import { Socket } from 'node:net';
import { decodeHandoff, encodeReport, type Handoff, type Report, STOP_WORD, unframe } from '../contract/handoff.ts';

/** Reason of a stop that nobody asked for: jacamar-auth was killed, and the runner waits only seconds more. */
export const AUTH_IS_GONE = 'the end of jacamar-auth';

/** What jacamar-auth wants of this process. */
export interface Channel {
  readonly handoff: Handoff;
  readonly script: Buffer;
  /** Aborted with the signal's name when jacamar-auth says so, or is gone. */
  readonly stop: AbortSignal;
  /** Sends the report and closes the channel. */
  report(report: Report): Promise<void>;
}

/**
 * Waits for the handoff.
 * @throws {Error} the other end is no jacamar-auth of this version
 */
export async function openChannel(descriptor: number): Promise<Channel> {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen: true });
  const { handoff, rest } = await readHandoff(socket);
  return {
    ...decodeHandoff(handoff),
    stop: watchForStop(socket, rest),
    report: (report) => new Promise((resolve) => void socket.end(encodeReport(report), () => resolve())),
  };
}

/** Reads until the frame is whole; whatever came behind it is the first of the words that follow. */
async function readHandoff(socket: Socket): Promise<{ handoff: Buffer; rest: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ handoff: Buffer; rest: Buffer }>();
  let received = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const whole = unframe(received);
    if (whole === undefined) return;
    socket.off('data', onData);
    socket.off('close', onClose);
    resolve(whole);
  };
  const onClose = () => reject(new Error('the handoff ended before it was whole'));
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
