// How a job of Cobalt ended, by its own log (`.cobaltlog`). Source: the queue manager (cqm.py), which writes these lines.

import type { JobEnd } from '../batch/scheduler.ts';

const EXIT = /task completed normally with an exit code of (\d{1,3}|None)/g;
const DELETED = /user delete requested(?:.* by (?:user )?([\w.-]+))?/;
const TIMED_OUT = /maximum execution time exceeded/;

/** Undefined while no end stands there. What ended the job comes before the exit code that it led to. */
export function readEnd(text: string): JobEnd | undefined {
  if (TIMED_OUT.test(text)) return { kind: 'time-limit' };
  const deleted = DELETED.exec(text);
  if (deleted !== null) return { kind: 'cancelled', ...(deleted[1] === undefined ? {} : { by: deleted[1] }) };
  const code = [...text.matchAll(EXIT)].at(-1)?.[1];
  if (code === undefined) return undefined;
  if (code === 'None') return { kind: 'failed', note: 'Cobalt knows no exit code' };
  return code === '0' ? { kind: 'completed', exitCode: 0 } : { kind: 'failed', exitCode: Number(code) };
}
