// Waits for a child that the addon launched. libuv waits only for children of its own making, so we look
// when SIGCHLD says so, and once a second besides: that keeps the event loop alive and makes up for a
// signal that was merged with another.

import { setTimeout as delay } from 'node:timers/promises';
import type { Credentials, ExitStatus } from './credentials.ts';

const LOOK_AGAIN_MS = 1_000;

/** How the child ended, as soon as it has. */
export function waitForExit(pid: number, credentials: Pick<Credentials, 'wait'>): Promise<ExitStatus> {
  return new Promise((resolve, reject) => {
    const look = () => {
      try {
        const status = credentials.wait(pid);
        if (status !== undefined) finish(() => resolve(status));
      } catch (error) {
        finish(() => reject(error));
      }
    };
    const finish = (settle: () => void) => {
      clearInterval(timer);
      process.off('SIGCHLD', look);
      settle();
    };
    const timer = setInterval(look, LOOK_AGAIN_MS);
    process.on('SIGCHLD', look);
    look();
  });
}

/** The same, but no longer than this, in milliseconds: its owner can stop a process, or it hangs in the kernel. */
export async function waitForExitWithin(limitMs: number, pid: number, credentials: Pick<Credentials, 'wait'>) {
  await Promise.race([waitForExit(pid, credentials), delay(limitMs, undefined, { ref: false })]);
}

/** The status in words, for messages. */
export function describeExit(status: ExitStatus): string {
  return 'exitCode' in status ? `exit status ${status.exitCode}` : `signal ${status.signal}`;
}
