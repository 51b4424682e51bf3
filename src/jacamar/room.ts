// How much room is left where a job works: on the file system, and of the account's quotas there. Asked before a job
// starts, since one that runs out of room fails half-way, with errors that seldom say so.

import { closeSync, constants, existsSync, openSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { JacamarError, SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock, QuotaUsage } from '../contract/lock.ts';
import { mountOf } from '../contract/mount.ts';
import { noRoom } from '../contract/no-room.ts';
import { tell } from '../contract/program.ts';
import { describeSize } from '../contract/size.ts';
import { printable } from '../contract/text.ts';

/** A checkout makes more files than this. */
const FEW_FILES = 1_000;

/** One limit on what can be written, and what is left of it. */
interface Room {
  /** Whose limit it is, as the beginning of a sentence. */
  readonly of: string;
  readonly unit: 'bytes' | 'files';
  /** 0 or less: nothing can be written any more. */
  readonly left: number;
  readonly total: number;
  /** For people, in addition to the numbers. */
  readonly note?: string;
}

type Settings = Pick<Handoff['settings'], 'freeSpaceWarning' | 'freeSpaceRequired'>;
type Quotas = Pick<Lock, 'getQuota'>;

/**
 * Says what is nearly used up, with numbers.
 * @throws {SystemFailure} less is left than the site requires (`general.free_space_required`)
 */
export function checkRoom(directory: string, settings: Settings, lock: Quotas): void {
  const rooms = roomOf(directory, lock);
  const missing = rooms.filter((room) => isBelow(room, settings.freeSpaceRequired));
  if (missing.length > 0) throw missingRoom(directory, missing, settings.freeSpaceRequired);
  const short = rooms.filter((room) => room.note !== undefined || isBelow(room, settings.freeSpaceWarning));
  if (short.length > 0) tell(`Warning: ${describeRoom(directory, short)}`);
}

function missingRoom(directory: string, missing: readonly Room[], required: number): SystemFailure {
  const wish = `this runner wants ${describeSize(required)} free where jobs work`;
  const message = `The job is not started, because ${wish}. ${describeRoom(directory, missing)}`;
  return new SystemFailure({ code: 'ERR_ROOM_REQUIRED', message, publicMessage: message });
}

/** The same error, told as what it is when it came from a full file system or a used-up quota. */
export function tellRoom(error: unknown, directory: string, lock: Quotas): unknown {
  const parts = noRoom(error);
  if (parts === undefined) return error;
  const what = error instanceof JacamarError ? error.message : parts.message;
  const message = `${what} ${numbersOf(directory, lock)}`;
  return new SystemFailure({ code: parts.code, message, publicMessage: message, cause: error });
}

function numbersOf(directory: string, lock: Quotas): string {
  const all = roomOf(directory, lock);
  const used = all.filter((room) => isBelow(room, 1));
  return all.length === 0 ? ADVICE : describeRoom(directory, used.length > 0 ? used : all);
}

/** Every limit that holds in a directory, or where it would be. Limits that cannot be read count as none: they end no job. */
function roomOf(directory: string, lock: Quotas): Room[] {
  if (!existsSync(directory) && directory !== '/') return roomOf(dirname(directory), lock);
  try {
    return [...fileSystemRooms(directory), ...quotasOf(directory, lock)];
  } catch {
    return [];
  }
}

function fileSystemRooms(directory: string): Room[] {
  const { bavail, blocks, bsize, ffree, files } = statfsSync(directory);
  const bytes = { of: 'the file system', unit: 'bytes', left: bavail * bsize, total: blocks * bsize } as const;
  // Where inodes are made as they are wanted there is no number of them.
  return files === 0 ? [bytes] : [bytes, { of: 'the file system', unit: 'files', left: ffree, total: files }];
}

function quotasOf(directory: string, lock: Quotas): Room[] {
  if (isFiltered()) return [];
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const device = mountOf(descriptor)?.source ?? '';
    const group = process.getgid?.() ?? 0;
    return [
      ...quotaRooms('your quota', () => lock.getQuota(descriptor, device, 'user', process.getuid?.() ?? 0)),
      ...quotaRooms(`the quota of group ${group}`, () => lock.getQuota(descriptor, device, 'group', group)),
    ];
  } finally {
    closeSync(descriptor);
  }
}

/** A filter of system calls may kill for a call that its author did not think of: seccomp(2). */
function isFiltered(): boolean {
  return !/^Seccomp:\s+0$/m.test(readFileSync('/proc/self/status', 'latin1'));
}

function quotaRooms(of: string, ask: () => ReturnType<Lock['getQuota']>): Room[] {
  try {
    const { bytes, files } = ask();
    return [...usageRoom(of, 'bytes', bytes), ...usageRoom(of, 'files', files)];
  } catch {
    return []; // no quotas here, or none that the kernel knows of
  }
}

/** Beyond the soft limit one can write until the grace is over; then it is as hard as the other. */
function usageRoom(of: string, unit: Room['unit'], { used, soft, hard, graceEnds }: QuotaUsage): Room[] {
  if (soft === 0 && hard === 0) return [];
  const isOver = soft > 0 && used > soft;
  const isGraceOver = isOver && graceEnds > 0 && graceEnds * 1000 <= Date.now();
  const limit = hard === 0 || isGraceOver ? soft : hard;
  const until = graceEnds > 0 ? ` until ${new Date(graceEnds * 1000).toISOString()}` : '';
  const note = isGraceOver ? 'its grace period is over' : `its soft limit is exceeded, which is allowed${until}`;
  return [{ of, unit, left: limit - used, total: limit, ...(isOver ? { note } : {}) }];
}

function isBelow({ unit, left }: Room, bytes: number): boolean {
  return bytes > 0 && left < (unit === 'bytes' ? bytes : Math.min(bytes, FEW_FILES));
}

const ADVICE = 'Remove what you no longer need there, such as old build directories, or ask for more room.';

function describeRoom(directory: string, rooms: readonly Room[]): string {
  return `In ${printable(directory)} ${rooms.map(describe).join('; ')}. ${ADVICE}`;
}

function describe({ of, unit, left, total, note }: Room): string {
  const amount = (number: number) => (unit === 'bytes' ? describeSize(Math.max(number, 0)) : `${Math.max(number, 0)}`);
  const what = unit === 'bytes' ? '' : ' files (inodes)';
  return `${of} has ${amount(left)} of ${amount(total)}${what} left${note === undefined ? '' : ` (${note})`}`;
}
