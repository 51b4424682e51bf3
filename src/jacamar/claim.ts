// Claims a numbered build directory for one job. The numbers that the runner brings are not enough: two hosts
// with one token both say 0, and any CI variable can forge them. A claim ends with its job, or with the job's runner.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { claimsDirectory } from '../contract/directories.ts';
import { SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import { identityOf } from '../contract/process-identity.ts';
import { type Journal, journalIn } from './claim/journal.ts';
import { inOrder, type LockTrouble } from './claim/order.ts';
import { judge, localOwner, type Owner, readClock } from './claim/owner.ts';
import { type Claim, ClaimStore, type Turn } from './claim/store.ts';
import { endStragglers } from './stragglers.ts';
import { makePrivate } from './workspace.ts';

/** How long after its timeout a job may still be busy cleaning up, in seconds. */
const CLEANUP_TIME = 60 * 60;
const MOST_SLOTS = 10_000;
/** Each one that is lost was won by another job. */
const MOST_ATTEMPTS = 1_000;

/** What a job got. */
export interface Claimed {
  readonly slot: number;
  /** Why the lock did not order the claims; they hold all the same. */
  readonly lockTrouble?: LockTrouble;
}

/**
 * Claims the lowest free number, counted from 0 where all runners share their build directories
 * (`limit_build_dir`), else from the runner's own number. A number whose job is surely over is free, once that
 * job's processes are gone.
 * @throws {SystemFailure} no claim can be made in the account's directories
 */
export async function claimSlot(handoff: Handoff, lock: Lock, stop: AbortSignal): Promise<Claimed> {
  const journal = journalIn(handoff.base, handoff.settings.fileLockDebug);
  const store = new ClaimStore(makePrivate(handoff, claimsDirectory(handoff)));
  const claimed = await inOrder({ directory: store.directory, lock, stop }, (trouble) => {
    if (trouble !== undefined) journal(`no lock: ${trouble.message}`);
    const last = takeLowest(store, handoff, journal);
    return { last, ...(trouble === undefined ? {} : { lockTrouble: trouble }) };
  });
  const { last, ...rest } = claimed;
  if (last.claim !== undefined && !isOf(last.claim, handoff.job)) await endJob(last.claim, handoff, lock);
  return { slot: last.slot, ...rest };
}

/** Ends all claims of the job, wherever they were made: the configuration may be another one by now. */
export function releaseClaims({ base, customBuildsDir, job, settings }: Handoff): void {
  const journal = journalIn(base, settings.fileLockDebug);
  const stores = [base, ...(customBuildsDir === undefined ? [] : [customBuildsDir])].flatMap(claimStores);
  for (const store of stores) {
    for (const turn of store.turns()) {
      if (turn.claim === undefined || !isOf(turn.claim, job)) continue;
      store.free(turn);
      journal(`released ${store.directory} ${turn.slot}, turn ${turn.turn}, of job ${job.id}`);
    }
  }
}

/** All that an account has below its base directory, or below a place that a job chose. */
export function claimStores(base: string): ClaimStore[] {
  const directories = ['claims', '.claims'].map((name) => join(base, name)).filter((path) => existsSync(path));
  return directories.flatMap((directory) => {
    const entries = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const names = entries.map(({ name }) => name).toSorted();
    return names.map((name) => new ClaimStore(join(directory, name)));
  });
}

/** What a job says of itself, and of the runner that it lives no longer than. */
export function claimFor({ job, runnerProcess }: Handoff): Claim {
  const { server, id: jobId, projectPath: project, timeoutSeconds } = job;
  return { server, jobId, project, owner: localOwner(runnerProcess), ...limited(timeoutSeconds + CLEANUP_TIME) };
}

function limited(seconds: number): Pick<Claim, 'since' | 'until' | 'untilUptime'> {
  const { now: since, uptime } = readClock();
  return { since, until: since + seconds * 1000, untilUptime: uptime + seconds };
}

/** Whether that job may still be at work. */
export function isLive(claim: Claim): boolean {
  return judge(claim, here()).isAlive;
}

function here(): Owner {
  return localOwner(identityOf(process.pid));
}

export function isOf({ server, jobId }: Claim, job: Handoff['job']): boolean {
  return server === job.server && jobId === job.id;
}

/** Whether a job that may still be at work has the number in this directory of claims. */
export function isClaimed(directory: string, slot: number): boolean {
  return !isFree(lastTurn(new ClaimStore(directory), slot), here());
}

/** The numbers that some job has or had: a directory with another one was never a job's. */
export function numbersEverTaken(directory: string): Set<number> {
  return new Set(new ClaimStore(directory).turns().map(({ slot }) => slot));
}

/**
 * Acts while no job has the number and none can get it.
 * @returns false when a job has it
 */
export function whileUnclaimed(directory: string, slot: number, act: () => void): boolean {
  const store = new ClaimStore(directory);
  const owner = here();
  const last = lastTurn(store, slot);
  const ours = { server: '', jobId: 0, project: 'a clean-up', owner, ...limited(CLEANUP_TIME) };
  if (!isFree(last, owner) || !store.take(last, ours)) return false;
  try {
    act();
    return true;
  } finally {
    store.free({ slot, turn: last.turn + 1 });
  }
}

function lastTurn(store: ClaimStore, slot: number): Turn {
  return store.turns().find((turn) => turn.slot === slot) ?? { slot, turn: 0 };
}

/** @returns what stood there before */
function takeLowest(store: ClaimStore, handoff: Handoff, journal: Journal): Turn {
  const first = handoff.settings.limitBuildDir ? 0 : handoff.job.concurrent;
  const owner = localOwner(handoff.runnerProcess);
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const turns = store.turns();
    const last = ownTurn(turns, handoff) ?? lowestFree(turns, first, owner);
    const isTaken = store.take(last, claimFor(handoff));
    const result = isTaken ? 'claimed' : 'another was quicker for';
    journal(
      `${result} ${store.directory} ${last.slot}, turn ${last.turn + 1}, job ${handoff.job.id}${after(last, owner)}`,
    );
    if (isTaken) return last;
  }
  throw noSlot(`${MOST_ATTEMPTS} attempts to claim a build directory below ${store.directory} failed`);
}

function after({ claim }: Turn, here: Owner): string {
  return claim === undefined ? '' : ` after job ${claim.jobId}: ${judge(claim, here).why}`;
}

/** A config stage that is repeated keeps its number. */
function ownTurn(turns: readonly Turn[], { job }: Handoff): Turn | undefined {
  return turns.find(({ claim }) => claim !== undefined && isOf(claim, job));
}

function lowestFree(turns: readonly Turn[], first: number, here: Owner): Turn {
  const bySlot = new Map(turns.map((turn) => [turn.slot, turn]));
  for (let slot = first; slot < first + MOST_SLOTS; slot++) {
    const turn = bySlot.get(slot) ?? { slot, turn: 0 };
    if (isFree(turn, here)) return turn;
  }
  throw noSlot(`all of ${MOST_SLOTS} build directories are claimed (\`jacamar lock\` lists them)`);
}

/** Nobody has it, or nobody who lives. */
function isFree({ claim }: Turn, here: Owner): boolean {
  return claim === undefined || !judge(claim, here).isAlive;
}

/** Its runner was killed, so nobody has cleaned up after it; what still runs of it here would share our directory. */
async function endJob({ server, jobId: id }: Claim, { settings }: Handoff, lock: Lock): Promise<void> {
  if (!settings.keepProcesses) await endStragglers({ server, id }, lock, true);
}

function noSlot(message: string): SystemFailure {
  return new SystemFailure({ code: 'ERR_NO_SLOT', message, publicMessage: message });
}
