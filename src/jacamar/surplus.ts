// general.max_build_dir: removes numbered build directories beyond that number when a job has been cleaned up. Those
// with the highest numbers go first, since new jobs take the lowest. Each is moved aside while nobody can claim it, and
// removed then, so that no job ever works in half a directory, whenever this is killed.

import { renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { buildDirectory, claimsDirectory, dataPermissions, slotName } from '../contract/directories.ts';
import type { Handoff } from '../contract/handoff.ts';
import { tell } from '../contract/program.ts';
import { ASIDE, asideName } from './build-directories.ts';
import { journalIn } from './claim/journal.ts';
import { numbersEverTaken, whileUnclaimed } from './claim.ts';
import type { Directory } from './directory.ts';
import { describeRemains, type Patience, type Removal, removeEntry } from './removal.ts';
import { makePrivate, openBelow } from './workspace.ts';

/**
 * Removes one directory, or all that are too many with `uncap_build_dir_cleanup`, as far as patience goes. What is stuck,
 * such as files that a container has left to another uid, is tried again each time and keeps nothing else.
 */
export async function removeSurplus(handoff: Handoff, patience: Patience): Promise<void> {
  const { limitBuildDir, maxBuildDir, uncapBuildDirCleanup } = handoff.settings;
  if (!limitBuildDir || maxBuildDir === 0) return;
  using builds = openBelow(handoff, dirname(buildDirectory(handoff, 0)), dataPermissions(handoff.settings));
  const most = uncapBuildDirCleanup ? Number.POSITIVE_INFINITY : 1;
  const left = leftAside(builds);
  for (let removed = 0; removed < most; ) {
    const wasLeft = left.pop();
    const name = wasLeft ?? moveAside(builds, handoff);
    if (name === undefined) return;
    const removal = await removeEntry(builds, name, patience);
    if (!removal.isWhole) tellRemains(removal);
    if (removal.isOutOfTime) return;
    if (removal.isWhole || wasLeft === undefined) removed += 1;
  }
}

function tellRemains(removal: Removal): void {
  tell(`A surplus build directory could not be removed whole:\n  ${describeRemains(removal).join('\n  ')}`);
}

/** By a cleanup that was killed over it, had no time left, or could not remove it. */
function leftAside(builds: Directory): string[] {
  return builds
    .names()
    .map(String)
    .filter((name) => ASIDE.test(name));
}

function moveAside(builds: Directory, handoff: Handoff): string | undefined {
  const { maxBuildDir, fileLockDebug } = handoff.settings;
  const claims = makePrivate(handoff, claimsDirectory(handoff));
  const slots = slotsIn(builds, numbersEverTaken(claims));
  if (slots.length <= maxBuildDir) return undefined;
  for (const slot of slots) {
    const name = slotName(slot);
    const aside = asideName(name);
    if (!moveUnclaimed(builds, claims, slot, aside)) continue;
    journalIn(handoff.base, fileLockDebug)(`removes ${builds.path}/${name}, which is too many`);
    tell(`Removing the build directory ${name}: at most ${maxBuildDir} are kept.`);
    return aside;
  }
  return undefined;
}

/** False when a job has it, or another cleanup was quicker. */
function moveUnclaimed(builds: Directory, claims: string, slot: number, aside: string): boolean {
  const name = slotName(slot);
  try {
    return whileUnclaimed(claims, slot, () => renameSync(builds.at(name), builds.at(aside)));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') tell(`${builds.path}/${name} cannot be removed: ${message}`);
    return false;
  }
}

/** The highest first. Where a job wants its builds the user may have directories of his own, named by year perhaps. */
function slotsIn(builds: Directory, taken: ReadonlySet<number>): number[] {
  const names = builds.names().map(String);
  return [...taken].filter((slot) => names.includes(slotName(slot))).toSorted((one, other) => other - one);
}
