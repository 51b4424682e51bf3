// Whose claim it is, and whether that job can still be at work. The job ends with its runner, so a claim names the
// runner's process: by pid and start time, which mean something in one pid namespace of one kernel alone.

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import * as v from 'valibot';
import { mayBeAlive, type ProcessIdentity } from '../../contract/process-identity.ts';

export const ownerSchema = v.object({
  host: v.string(),
  /** machine-id(5); two hosts may bear one name, such as localhost. Empty: unknown. */
  machine: v.string(),
  /** Of the running kernel: random(4). */
  bootId: v.string(),
  pidNamespace: v.string(),
  process: v.object({ pid: v.number(), startTime: v.string() }),
});
export type Owner = v.InferOutput<typeof ownerSchema>;

/** When the job has surely timed out and been cleaned up. */
export const limitSchema = v.object({
  /** Milliseconds since 1970; for other hosts, and kernels started later. */
  until: v.number(),
  /** Seconds since the owner's kernel was started: no change of the clock ends a job that goes on. */
  untilUptime: v.number(),
});
type Limit = v.InferOutput<typeof limitSchema>;

/** The time, as both clocks tell it. */
export interface Clock {
  readonly now: number;
  readonly uptime: number;
}

/** Of CLOCK_MONOTONIC, since /proc/uptime tells of a container where that has one of its own (lxcfs). */
export function readClock(): Clock {
  return { now: Date.now(), uptime: Number(process.hrtime.bigint() / 1_000_000_000n) };
}

/** An owner on this host. */
export function localOwner(process: ProcessIdentity): Owner {
  return {
    host: hostname(),
    machine: machineId(read('/etc/machine-id')),
    bootId: read('/proc/sys/kernel/random/boot_id'),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    process,
  };
}

/** Images have the word `uninitialized` there, which many machines may share: machine-id(5). */
export function machineId(text: string): string {
  return /^[0-9a-f]{32}$/.test(text) ? text : '';
}

/** Whether a job may still be at work, and how we know. */
export interface Verdict {
  readonly isAlive: boolean;
  readonly why: string;
}

/** Looks for the owner's process where it can be seen; elsewhere only the time can tell. */
export function judge(
  { owner, until, untilUptime }: Limit & { readonly owner: Owner },
  here: Owner,
  clock = readClock(),
): Verdict {
  const { pid } = owner.process;
  const isHere = owner.bootId === here.bootId && owner.bootId !== '';
  if (isHere ? clock.uptime > untilUptime : clock.now > until) return dead(`its job timed out before ${time(until)}`);
  if (isHere && owner.pidNamespace === here.pidNamespace) {
    return mayBeAlive(owner.process)
      ? alive(`its runner, process ${pid} here, lives`)
      : dead(`its runner, process ${pid} here, has ended`);
  }
  if (!isHere && isSameMachine(owner, here)) return dead('this host was started anew since');
  return alive(`its runner is on ${owner.host}, where it cannot be seen; it is over by ${time(until)}`);
}

function isSameMachine(one: Owner, other: Owner): boolean {
  const isKnown = one.machine !== '' && one.bootId !== '' && other.bootId !== '';
  return isKnown && one.host === other.host && one.machine === other.machine;
}

function alive(why: string): Verdict {
  return { isAlive: true, why };
}

function dead(why: string): Verdict {
  return { isAlive: false, why };
}

/** The last moment that a Date can hold is a limit, too: the file is the user's. */
function time(milliseconds: number): string {
  return `${new Date(Math.min(milliseconds, 8.64e15)).toISOString().slice(0, 19)}Z`;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}
