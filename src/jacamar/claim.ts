// Claims a numbered build directory for one job. The numbers that the runner brings are not enough: two hosts
// with one token both say 0, and any CI variable can forge them. A claim is a small file per number, changed
// only under flock; it names the runner's process and a last moment, and ends with either.

import { closeSync, constants, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { claimsDirectory, slotName } from '../contract/directories.ts';
import { SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import { mayBeAlive } from '../contract/process-identity.ts';
import { makePrivate } from './workspace.ts';

export const claimSchema = v.object({
  server: v.string(),
  jobId: v.number(),
  host: v.string(),
  bootId: v.string(),
  runner: v.object({ pid: v.number(), startTime: v.string() }),
  /** Milliseconds since 1970: by then the job has timed out and been cleaned up. */
  until: v.number(),
});
type Claim = v.InferOutput<typeof claimSchema>;

/** How long after its timeout a job may still be busy cleaning up, in milliseconds. */
const CLEANUP_TIME_MS = 60 * 60_000;
const LOCK_WAIT_MS = 30_000;
const MOST_SLOTS = 10_000;

/**
 * Claims the lowest free number, counted from 0 where all runners share their build directories
 * (`limit_build_dir`), else from the runner's own number.
 * @throws {SystemFailure} the lock cannot be had
 */
export async function claimSlot(handoff: Handoff, lock: Lock, stop: AbortSignal): Promise<number> {
  const directory = makePrivate(handoff, claimsDirectory(handoff));
  const first = handoff.settings.limitBuildDir ? 0 : handoff.job.concurrent;
  return await underLock({ directory, lock, stop }, () => {
    const slot = ownSlot(directory, handoff, first) ?? lowestFree(directory, first);
    write(directory, slot, claimFor(handoff));
    return slot;
  });
}

/** Ends the job's claim; somebody else's is left alone. */
export async function releaseSlot(handoff: Handoff, slot: number, lock: Lock, stop: AbortSignal): Promise<void> {
  const directory = makePrivate(handoff, claimsDirectory(handoff));
  await underLock({ directory, lock, stop }, () => {
    const claim = read(directory, slot);
    if (claim !== undefined && isOf(claim, handoff)) rmSync(fileOf(directory, slot), { force: true });
  });
}

/** A config stage that is repeated keeps its number. */
function ownSlot(directory: string, handoff: Handoff, first: number): number | undefined {
  for (let slot = first; slot < first + MOST_SLOTS; slot++) {
    const claim = read(directory, slot);
    if (claim === undefined) return undefined;
    if (isOf(claim, handoff)) return slot;
  }
  return undefined;
}

function lowestFree(directory: string, first: number): number {
  for (let slot = first; slot < first + MOST_SLOTS; slot++) {
    const claim = read(directory, slot);
    if (claim === undefined || !isLive(claim)) return slot;
  }
  const message = `all of ${MOST_SLOTS} build directories below ${directory} are claimed`;
  throw new SystemFailure({ code: 'ERR_NO_SLOT', message, publicMessage: message });
}

/** What a job says of itself, and of the runner that it lives no longer than. */
export function claimFor({ job, runnerProcess }: Handoff): Claim {
  return {
    server: job.server,
    jobId: job.id,
    host: hostname(),
    bootId: bootId(),
    runner: runnerProcess,
    until: Date.now() + job.timeoutSeconds * 1000 + CLEANUP_TIME_MS,
  };
}

/** Whether that job may still be at work. On another host only the time can tell. */
export function isLive({ host, bootId: boot, runner, until }: Claim): boolean {
  if (Date.now() > until) return false;
  if (host !== hostname()) return true;
  return boot === bootId() && mayBeAlive(runner);
}

export function isOf({ server, jobId }: Claim, { job }: Handoff): boolean {
  return server === job.server && jobId === job.id;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

function fileOf(directory: string, slot: number): string {
  return join(directory, `${slotName(slot)}.json`);
}

/** A claim that cannot be read is none: its writer died half-way, before anybody relied on it. */
function read(directory: string, slot: number): Claim | undefined {
  try {
    return v.parse(claimSchema, JSON.parse(readFileSync(fileOf(directory, slot), 'utf8')));
  } catch {
    return undefined;
  }
}

function write(directory: string, slot: number, claim: Claim): void {
  const temporary = join(directory, `.${process.pid}`);
  writeFileSync(temporary, JSON.stringify(claim), { mode: 0o600 });
  renameSync(temporary, fileOf(directory, slot));
}

/** Whether a job that may still be at work has the number. */
export function isClaimed(directory: string, slot: number): boolean {
  const claim = read(directory, slot);
  return claim !== undefined && isLive(claim);
}

/**
 * Acts while no job has the number and none can get it.
 * @returns false when a job has it
 */
export async function whileUnclaimed(wait: Wait, slot: number, act: () => void): Promise<boolean> {
  return await underLock(wait, () => {
    if (isClaimed(wait.directory, slot)) return false;
    act();
    return true;
  });
}

interface Wait {
  readonly directory: string;
  readonly lock: Lock;
  readonly stop: AbortSignal;
}

async function underLock<T>(wait: Wait, act: () => T): Promise<T> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const descriptor = openSync(join(wait.directory, 'lock'), flags, 0o600);
  try {
    await waitForLock(descriptor, wait);
    return act();
  } finally {
    closeSync(descriptor);
  }
}

async function waitForLock(descriptor: number, { directory, lock, stop }: Wait): Promise<void> {
  const deadline = performance.now() + LOCK_WAIT_MS;
  while (!lock.tryLock(descriptor)) {
    stop.throwIfAborted();
    if (performance.now() > deadline) {
      const message = `the lock of ${directory} could not be had within ${LOCK_WAIT_MS / 1000} s`;
      throw new SystemFailure({ code: 'ERR_LOCK', message, publicMessage: message });
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
