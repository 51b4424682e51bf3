// Processes of a job that outlived everybody who watched over them: both programs were killed at the same moment,
// so nobody was left to inherit the orphans. What a run stage starts bears two marks of its job, and cleanup looks for
// them with the account's own rights. One is a variable, which a program may drop from the environment of another. The
// other is a limit, which no program drops by accident.

import { readFileSync } from 'node:fs';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import {
  allProcesses,
  describe,
  type ProcessEntry,
  parseStat,
  repeat,
  signalEach,
  terminate,
} from '../contract/processes.ts';
import { tell } from '../contract/program.ts';

const MARK = 'JACAMAR_CI_JOB';
const PATIENCE_MS = 2_000;
const KILL_LIMIT_MS = 5_000;
/** So many looks in a row must find nothing; after a kill each of them with a chase, which takes a moment. */
const LOOKS = { usual: 1, afterKill: 5 } as const;
const CHASE_MS = 15;

type Job = Pick<Handoff['job'], 'id' | 'server'>;

/** What the login shell of a job gets, and everything below it inherits. */
export function jobMark({ id, server }: Job): Record<string, string> {
  return { [MARK]: `${id}@${server}` };
}

/**
 * Marks this process and all that it starts from now on, whatever becomes of sessions, parents and environments: the
 * hard limit of CPU time without a pause, for processes with a real-time priority, gets the job's own number. All of
 * these numbers stand for more than a hundred thousand years, so it limits nothing. Where the runner itself was given
 * a limit of that kind it cannot be raised, and the variable is all there is.
 */
export function bearMark(job: Job, limits: Pick<Lock, 'getLimit' | 'lowerLimit'>): void {
  try {
    if (limits.getLimit('realTime').hard > limitOf(job)) limits.lowerLimit('realTime', limitOf(job));
  } catch {
    // a filter of the site refuses the call
  }
}

/** In microseconds. Two jobs have the same one with a chance of 2^-61. */
function limitOf({ id, server }: Job): bigint {
  return (1n << 62n) | (fnv1a64(`${id}@${server}`) >> 3n);
}

/** Spreads names over numbers: RFC 9923, section 2. Loading Node's cryptography for it would take longer than all else here. */
function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

/**
 * Terminates, then kills what still bears a mark of this job.
 * @param wasKilled a stage of it was, so that nobody has ended what it left
 */
export async function endStragglers(
  job: Job,
  lock: Pick<Lock, 'openProcess' | 'signalProcess'>,
  wasKilled: boolean,
): Promise<void> {
  const found = look(job, wasKilled ? LOOKS.afterKill : LOOKS.usual);
  if (found.length === 0) return;
  const terminated = terminate(() => stragglersOf(job), lock);
  const ended = terminated.length > 0 ? terminated : found;
  tell(`Ended ${ended.length} process(es) that outlived a killed stage: ${ended.map(describe).join(', ')}`);
  const patientUntil = performance.now() + PATIENCE_MS;
  await untilGone(job, patientUntil, () => {});
  await untilGone(job, patientUntil + KILL_LIMIT_MS, (rest) => {
    signalEach(rest, 'SIGKILL', lock);
    chase(job);
  });
}

/**
 * What is born while we look, for a moment; each is killed. One that has forked and ended before a look at all of them
 * comes to it has to be met at its birth. The kernel tells the last one's number: proc_loadavg(5).
 */
function chase(job: Job): ProcessEntry[] {
  const limit = String(limitOf(job));
  const met: ProcessEntry[] = [];
  const deadline = performance.now() + CHASE_MS;
  for (let last = ''; performance.now() < deadline; ) {
    const newest = newestProcess();
    if (newest === last) continue;
    last = newest;
    if (limitIn(Number(newest)) !== limit) continue;
    const entry = parseStat(newest);
    if (entry !== undefined) met.push(entry);
    killAtOnce(Number(newest));
  }
  return met;
}

function newestProcess(): string {
  return readFileSync('/proc/loadavg', 'latin1').trimEnd().split(' ').at(-1) ?? '';
}

function killAtOnce(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

/** What the first look finds that finds anything. */
function look(job: Job, looks: number): readonly ProcessEntry[] {
  let found: readonly ProcessEntry[] = [];
  for (let left = looks; left > 0 && found.length === 0; left--) {
    found = stragglersOf(job);
    if (found.length === 0 && looks > LOOKS.usual) found = chase(job);
  }
  return found;
}

/**
 * A look misses a process whose parent has forked and ended while it went on, and no kernel tells us of children that
 * are not ours.
 */
async function untilGone(job: Job, deadline: number, act: (rest: readonly ProcessEntry[]) => void): Promise<void> {
  let vain = 0;
  await repeat(
    () => deadline,
    () => {
      const rest = stragglersOf(job);
      act(rest);
      vain = rest.length > 0 ? 0 : vain + 1;
      return vain < LOOKS.afterKill;
    },
  );
}

function stragglersOf(job: Job): ProcessEntry[] {
  const variable = Object.entries(jobMark(job)).map(([name, value]) => `${name}=${value}`)[0] ?? '';
  const limit = String(limitOf(job));
  return allProcesses()
    .filter(({ pid, isZombie }) => pid !== process.pid && !isZombie && maySignal(pid))
    .filter(({ pid }) => limitIn(pid) === limit || environmentOf(pid).includes(variable));
}

function maySignal(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The hard limit. Anybody may read it, also of a process that hides its memory, such as an agent for keys. */
function limitIn(pid: number): string | undefined {
  return /^Max realtime timeout +\S+ +(\d+)/m.exec(read(pid, 'limits'))?.[1];
}

function environmentOf(pid: number): string[] {
  return read(pid, 'environ').split('\0');
}

/** Empty when it may not be read, or is gone. */
function read(pid: number, file: 'limits' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
