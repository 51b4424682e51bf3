// The directories of a job: made for the user alone, owned by the user, checked at every stage, level by level. All of
// it happens with the user's own rights, so a trick with links can only hurt whoever plays it.

import { utimesSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildDirectory, cacheDirectory, dataPermissions, isBeneath } from '../contract/directories.ts';
import { JobError } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import { printable } from '../contract/text.ts';
import type { Directory } from './directory.ts';
import { closedToOwner, type MostPermissions, notOwned, openToOthers, type Place } from './obstacle.ts';
import { makeLevel, openWay } from './way.ts';

/** Of what nobody but the user needs, whatever the site shares: secrets stand in scripts. */
const PRIVATE = 0o700;
/** What a directory that the user chose himself may have: nobody can exchange what is in it. */
const UNWRITABLE = 0o755;

/**
 * Makes what is missing of the base and of what lies in it, and checks what is there. The base itself may be a symbolic
 * link to a directory of the user's own.
 * @throws {JobError} the user's own directory is open to others, or is no directory
 * @throws {SystemFailure} it is somebody else's, cannot be made, or others could exchange it
 */
export function openWorkspace(handoff: Handoff): void {
  const { base, customBuildsDir } = handoff;
  const data = dataPermissions(handoff.settings);
  for (const name of ['claims', 'jobs', 'scripts']) openBelow(handoff, join(base, name), PRIVATE).close();
  openBelow(handoff, cacheDirectory(base), data).close();
  if (customBuildsDir === undefined) openBelow(handoff, join(base, 'builds'), data).close();
  else openCustom(handoff, customBuildsDir).close();
}

/**
 * The build directory with this number; what is in it belongs to the runner's scripts. Its time of modification says
 * from now on when it was used last.
 */
export function makeBuildsDirectory(handoff: Handoff, slot: number): void {
  using directory = openBelow(handoff, buildDirectory(handoff, slot), dataPermissions(handoff.settings));
  const now = Date.now() / 1000;
  utimesSync(directory.here, now, now);
}

/** Makes a directory for the user's eyes only, and what is missing between it and the base. */
export function makePrivate(handoff: Handoff, path: string): string {
  openBelow(handoff, path, PRIVATE).close();
  return path;
}

/** Each one that is lost was lost to another job, which removed its own last directory on the same way. */
const MOST_ATTEMPTS = 100;

/**
 * Opens a directory below the base, or where the job wants its builds or below that; makes what is missing between.
 * Other jobs remove levels that became empty (removal.ts), so what was there or was made may be gone at the next step.
 */
export function openBelow(handoff: Handoff, path: string, permissions: MostPermissions): Directory {
  for (let attempt = 1; ; attempt++) {
    try {
      return tryBelow(handoff, path, permissions);
    } catch (error) {
      if (attempt === MOST_ATTEMPTS || !isVanished(error)) throw error;
    }
  }
}

function isVanished(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  return code === 'ENOENT';
}

function tryBelow(handoff: Handoff, path: string, permissions: MostPermissions): Directory {
  const { base, customBuildsDir: custom } = handoff;
  const isInBase = custom === undefined || isBeneath(base, path);
  const top = isInBase ? openBase(handoff) : openCustom(handoff, custom);
  const place: Place = { path, chosenBy: isInBase ? 'site' : 'job' };
  const way = relative(isInBase ? base : custom, path);
  return descend(place, top, way === '' ? [] : way.split('/'), permissions);
}

/** Consumes `top`. None of the levels may be a link. */
function descend(place: Place, top: Directory, levels: readonly string[], permissions: MostPermissions): Directory {
  let reached = top;
  for (const level of levels) {
    using above = reached;
    reached = makeLevel(place, above, level, permissions);
    requireOwn(place, reached, permissions);
  }
  return reached;
}

function openBase(handoff: Handoff): Directory {
  const permissions = dataPermissions(handoff.settings);
  const { base: path, account } = handoff;
  const place: Place = { path, chosenBy: 'site', isInHome: isBeneath(account.home, path) };
  const base = openWay({ ...place, permissions, isShared: handoff.settings.sharedParents });
  requireOwn(place, base, permissions);
  return base;
}

/** It has claims of its own, so the base's own directories must not be in it under another name. */
function openCustom(handoff: Handoff, path: string): Directory {
  const place: Place = { path, chosenBy: 'job' };
  const way = { ...place, permissions: dataPermissions(handoff.settings), isShared: handoff.settings.sharedParents };
  const custom = openWay(way);
  requireOwn(place, custom, UNWRITABLE);
  using base = openBase(handoff);
  if (custom.path !== base.path && !isBeneath(base.path, custom.path)) return custom;
  const message = `${printable(path)} lies in ${printable(handoff.base)}, which is arranged already; choose another directory.`;
  throw new JobError({ code: 'ERR_CUSTOM_BUILDS_DIR', message });
}

function requireOwn(place: Place, directory: Directory, most: MostPermissions): void {
  const { uid, mode } = directory.stats;
  if (uid !== process.geteuid?.()) throw notOwned(place, directory.path, uid);
  if ((mode & 0o777 & ~most) !== 0) throw openToOthers(directory.path, mode, most);
  const closed = closedToOwner(directory);
  if (closed !== undefined) throw closed;
}
