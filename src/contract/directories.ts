// Names of a job's directories. Pure: nothing here touches a file system.

import { isAbsolute, join, normalize, relative } from 'node:path';

/** What the names depend on besides the configuration. */
export interface DirectoryOwner {
  readonly name: string;
  readonly home: string;
}

/**
 * The directory all of an account's CI files live under. With `$HOME` (or `~`) at the front of
 * `general.data_dir` it is `.jacamar-ci` below it; a path that names `$USER` stands for itself; any other
 * gets the account's name as one more level, as upstream lays it out.
 */
export function baseDirectory(dataDir: string, { name, home }: DirectoryOwner): string {
  const inHome = dataDir.match(/^(?:\$HOME|\$\{HOME\}|~)(\/.*)?$/);
  if (inHome) return normalize(join(home, withUser(inHome[1] ?? '', name), '.jacamar-ci'));
  const expanded = withUser(dataDir, name);
  return withoutSlash(normalize(expanded === dataDir ? join(dataDir, name) : expanded));
}

/** With a slash at its end a path follows a symbolic link, even where O_NOFOLLOW forbids it: path_resolution(7). */
function withoutSlash(path: string): string {
  return path.endsWith('/') && path !== '/' ? path.slice(0, -1) : path;
}

function withUser(path: string, name: string): string {
  return path.replaceAll('${USER}', name).replaceAll('$USER', name);
}

/** A slot's number as it stands in paths: three digits at least. */
export function slotName(slot: number): string {
  return String(slot).padStart(3, '0');
}

/** Where numbered build directories lie: per runner, or shared by all runners with `limit_build_dir`. */
export function slotsDirectory(base: string, runner: string, limitBuildDir: boolean): string {
  return limitBuildDir ? join(base, 'builds') : join(base, 'builds', runner);
}

/** Shared by all of an account's jobs; the runner adds the project's path. */
export function cacheDirectory(base: string): string {
  return join(base, 'cache');
}

/** Where the scripts of one job lie, as upstream names it. */
export function scriptsDirectory(
  base: string,
  job: { runner: string; slot: number; projectPath: string; jobId: number },
): string {
  return join(base, 'scripts', job.runner, slotName(job.slot), job.projectPath, String(job.jobId));
}

/** True when `path` is absolute, in its shortest form, and lies below `base`, compared by components. */
export function isBeneath(base: string, path: string): boolean {
  if (!isAbsolute(path) || withoutSlash(normalize(path)) !== path) return false;
  const way = relative(base, path);
  return way !== '' && way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}
