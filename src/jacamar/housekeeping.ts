// `jacamar workspace`: lists an account's build directories, and removes those that are old, or the least recently used
// until the rest fits a budget. Runs as the account: by hand, or started by jacamar-admin, which is root and must not
// walk through directories in which somebody else can rename and link.

import { lstatSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectories } from '../contract/make-directories.ts';
import { writeFully } from '../contract/program.ts';
import { encodeLine, type WorkspaceLine } from '../contract/workspace-lines.ts';
import {
  asideName,
  type BuildDirectory,
  findBuildDirectories,
  isAside,
  type Measure,
  measure,
  openBase,
  pathOf,
  within,
} from './build-directories.ts';
import { isClaimed, whileUnclaimed } from './claim.ts';
import type { Directory } from './directory.ts';
import { describeRemains, type Patience, removeBelow } from './removal.ts';

/** What is wanted. */
export interface Wishes {
  readonly base: string;
  /** In milliseconds; absent: age alone removes nothing. */
  readonly olderThanMs?: number;
  /** In bytes for all build directories together; absent: there is no limit. */
  readonly budget?: number;
  /** Remove, not only choose. */
  readonly remove: boolean;
}

interface Found {
  readonly directory: BuildDirectory;
  readonly measure: Measure;
  readonly isBusy: boolean;
}

/** Prints a line for each build directory, and removes what is wanted away. */
export async function keepHouse(wishes: Wishes, patience: Patience): Promise<void> {
  using base = openBase(wishes.base);
  const patient = { ...patience, onProgress: (entries: number) => print({ line: 'progress', entries }) };
  if (base !== undefined) await keepIn({ base, patience: patient }, wishes);
  print({ line: 'end', isOutOfTime: isOver(patience) });
}

function isOver({ deadline, stop }: Patience): boolean {
  return stop?.aborted === true || performance.now() > deadline;
}

/** What everything here works with. */
interface House {
  readonly base: Directory;
  readonly patience: Patience;
}

async function keepIn(house: House, wishes: Wishes): Promise<void> {
  const { base, patience } = house;
  const found: Found[] = [];
  for (const directory of findBuildDirectories(base)) {
    const isBusy = isInUse(base, directory);
    found.push({ directory, isBusy, measure: await measure(base, directory, patience) });
  }
  const chosen = choose(found, wishes, Date.now());
  for (const each of found) {
    const line = describe(base, each);
    if (!chosen.has(each)) print(line);
    else print(wishes.remove ? await remove(house, each, line) : { ...line, state: 'chosen' });
  }
}

/** What is aside, then what is old, then the least recently used of the rest while it is beyond the budget; pure. */
function choose(found: readonly Found[], { olderThanMs, budget }: Wishes, now: number): Set<Found> {
  const free = found.filter(({ isBusy }) => !isBusy);
  const isWanted = olderThanMs !== undefined || budget !== undefined;
  const isOld = ({ measure: { lastUse, isWhole } }: Found) =>
    isWhole && olderThanMs !== undefined && now - lastUse >= olderThanMs;
  const chosen = new Set(free.filter((each) => isWanted && (isAside(each.directory) || isOld(each))));
  const kept = found.filter((each) => !chosen.has(each));
  let bytes = kept.reduce((sum, each) => sum + each.measure.bytes, 0);
  const byUse = kept.filter((each) => free.includes(each)).toSorted(byLastUse);
  for (const each of byUse) {
    if (budget === undefined || bytes <= budget) break;
    chosen.add(each);
    bytes -= each.measure.bytes;
  }
  return chosen;
}

function byLastUse(one: Found, other: Found): number {
  return one.measure.lastUse - other.measure.lastUse;
}

function isInUse(base: Directory, directory: BuildDirectory): boolean {
  const { claim, note } = directory;
  if (claim !== undefined) return isClaimed(join(base.path, ...claim.levels), claim.slot);
  return note !== undefined && isNeeded(base, directory, note);
}

/** static-directory.ts: the note's time of modification is when the job has surely ended. */
function isNeeded(base: Directory, { levels }: BuildDirectory, note: string): boolean {
  const mtime = within(base, levels.slice(0, -1), (above) =>
    lstatSync(above.at(note), { throwIfNoEntry: false }),
  )?.mtimeMs;
  return mtime !== undefined && mtime > Date.now();
}

type Line = Extract<WorkspaceLine, { line: 'directory' }>;

function describe(base: Directory, { directory, isBusy, measure: { bytes, entries, lastUse, isWhole } }: Found): Line {
  return {
    line: 'directory',
    path: pathOf(base, directory),
    bytes: Math.round(bytes),
    entries,
    lastUse: Math.max(Math.floor(lastUse / 1000), 0),
    state: isBusy ? 'busy' : 'kept',
    notes: isWhole ? [] : ['not measured to its end'],
  };
}

async function remove({ base, patience }: House, { directory }: Found, line: Line): Promise<Line> {
  if (isOver(patience)) return { ...line, notes: [...line.notes, 'the time was over before its removal'] };
  const above = directory.levels.slice(0, -1);
  try {
    const name = detach({ base, patience }, directory, above);
    if (name === undefined) return { ...line, state: 'busy' };
    const removal = await removeBelow(base, [...above, name], patience);
    const { note } = directory;
    if (removal.isWhole && note !== undefined)
      within(base, above, (parent) => rmSync(parent.at(note), { force: true }));
    const notes = [...line.notes, ...describeRemains(removal)];
    return { ...line, state: removal.isWhole ? 'removed' : 'remains', notes };
  } catch (error) {
    return { ...line, state: 'remains', notes: [...line.notes, (error as Error).message] };
  }
}

/**
 * Moves a numbered directory aside, in one step and while no job can claim it: no job ever works in half a directory.
 * @returns its name from now on; undefined when a job has it
 */
function detach({ base }: House, { levels, claim }: BuildDirectory, above: readonly string[]) {
  const name = levels.at(-1) ?? '';
  if (claim === undefined) return name;
  const aside = asideName(name);
  const directory = join(base.path, ...claim.levels);
  makeDirectories(directory, 0o700);
  const moveAside = () => within(base, above, (parent) => renameSync(parent.at(name), parent.at(aside)));
  return whileUnclaimed(directory, claim.slot, moveAside) ? aside : undefined;
}

function print(line: WorkspaceLine): void {
  writeFully(1, encodeLine(line), 60_000);
}
