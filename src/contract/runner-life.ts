// The runner's process is our parent (that of jacamar: jacamar-auth). When it dies, nobody reads the output, reports
// the result or calls cleanup, and the job's claim on its build directory ends with it: so the stage ends, too.

import { callingRunner, mayBeAlive } from './process-identity.ts';

const LOOK_EVERY_MS = 1_000;
/** As early as can be: later it may have ended already. */
const parent = process.ppid;
/** Where a wrapper script stands between, it may wait for us even then. */
const runner = callingRunner();

/**
 * Aborted when our parent has ended. Not by a death signal (prctl(2)): that comes with the end of the thread that
 * started us, and the runner's threads come and go.
 */
export function endOfParent(): AbortSignal {
  const end = new AbortController();
  const timer = setInterval(() => {
    if (process.ppid === parent && mayBeAlive(runner)) return;
    clearInterval(timer);
    end.abort('the end of the runner');
  }, LOOK_EVERY_MS);
  timer.unref();
  return end.signal;
}
