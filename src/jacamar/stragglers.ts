// Processes of a job that outlived everybody who watched over them: both programs were killed at the same moment,
// so nobody was left to inherit the orphans. They still carry the job's mark in the environment that they were
// started with, unless they took care to lose it. Looked for at cleanup, with the account's own rights.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import { identityOf, type ProcessIdentity } from '../contract/process-identity.ts';
import { signalSurely } from '../contract/process-tree.ts';
import { tell } from '../contract/program.ts';
import { printable } from '../contract/text.ts';

const MARK = 'JACAMAR_CI_JOB';
const PATIENCE_MS = 2_000;
const KILL_LIMIT_MS = 5_000;
const LOOK_AGAIN_MS = 20;

type Job = Pick<Handoff['job'], 'id' | 'server'>;
type Signals = Pick<Lock, 'openProcess' | 'signalProcess'>;

/** What the login shell of a job gets, and everything below it inherits. */
export function jobMark({ id, server }: Job): Record<string, string> {
  return { [MARK]: `${id}@${server}` };
}

/** Terminates, then kills what still bears the mark of this job. */
export async function endStragglers(job: Job, lock: Signals): Promise<void> {
  const found = stragglersOf(job);
  if (found.length === 0) return;
  tell(`Ended ${found.length} process(es) that outlived a killed stage: ${found.map(describe).join(', ')}`);
  signalAll(found, 'SIGTERM', lock);
  signalAll(found, 'SIGCONT', lock);
  await untilGone(job, PATIENCE_MS, () => {});
  await untilGone(job, KILL_LIMIT_MS, (rest) => signalAll(rest, 'SIGKILL', lock));
}

type Act = (rest: readonly ProcessIdentity[]) => void;

async function untilGone(job: Job, limitMs: number, act: Act): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (let rest = stragglersOf(job); rest.length > 0 && performance.now() < deadline; rest = stragglersOf(job)) {
    act(rest);
    await delay(LOOK_AGAIN_MS);
  }
}

function signalAll(processes: readonly ProcessIdentity[], signal: NodeJS.Signals, lock: Signals): void {
  for (const identity of processes) {
    try {
      signalSurely(identity, signal, lock);
    } catch {
      // ended meanwhile, or beyond our rights
    }
  }
}

function stragglersOf(job: Job): ProcessIdentity[] {
  const mark = Object.entries(jobMark(job)).map(([name, value]) => `${name}=${value}`)[0] ?? '';
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map((name) => identityOf(Number(name)))
    .filter(({ pid }) => pid !== process.pid && bears(pid, mark));
}

/** Environments of other accounts cannot be read; a zombie has none. */
function bears(pid: number, mark: string): boolean {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return false;
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark);
  } catch {
    return false;
  }
}

function describe({ pid }: ProcessIdentity): string {
  try {
    return `${printable(readFileSync(`/proc/${pid}/comm`, 'latin1').trim())} (${pid})`;
  } catch {
    return String(pid);
  }
}
