// Names and permissions of a job's directories. Pure: nothing here touches a file system.

import { isAbsolute, join, normalize, relative } from 'node:path';

/** What the names depend on besides the configuration. */
export interface DirectoryOwner {
  readonly name: string;
  readonly home: string;
}

const IN_HOME = /^(?:\$HOME|\$\{HOME\}|~)(\/.*)?$/;

/**
 * The directory all of an account's CI files live under. With `$HOME` (or `~`) at the front of
 * `general.data_dir` it is `.jacamar-ci` below it; a path that names `$USER` stands for itself; any other
 * gets the account's name as one more level, as upstream lays it out.
 */
export function baseDirectory(dataDir: string, { name, home }: DirectoryOwner): string {
  const inHome = dataDir.match(IN_HOME);
  if (inHome) return normalize(join(home, withUser(inHome[1] ?? '', name), '.jacamar-ci'));
  const expanded = withUser(dataDir, name);
  return withoutSlash(normalize(expanded === dataDir ? join(dataDir, name) : expanded));
}

/** Where the directories of all accounts lie side by side, each named as its account; undefined where they do not. */
export function accountsDirectory(dataDir: string): string | undefined {
  if (IN_HOME.test(dataDir)) return undefined;
  const levels = withoutSlash(normalize(dataDir)).split('/');
  const own = levels.findIndex((level) => withUser(level, '') !== level);
  if (own < 0) return withoutSlash(normalize(dataDir));
  return withUser(levels[own] ?? '', '') === '' ? levels.slice(0, own).join('/') || '/' : undefined;
}

/**
 * The first level of the base directory that is this account's alone, and that root may therefore make for it
 * (`auth.root_dir_creation`). Undefined in a home: the account can do everything there by itself.
 */
export function accountDirectory(dataDir: string, owner: DirectoryOwner): string | undefined {
  if (IN_HOME.test(dataDir)) return undefined;
  const levels = dataDir.split('/');
  const first = levels.findIndex((level) => withUser(level, '') !== level);
  return first < 0 ? baseDirectory(dataDir, owner) : baseDirectory(levels.slice(0, first + 1).join('/'), owner);
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

/** The most permissions of directories that hold data of jobs, and what new ones get. */
export function dataPermissions({ groupPermissions }: { readonly groupPermissions: boolean }): 0o700 | 0o750 {
  return groupPermissions ? 0o750 : 0o700;
}

/** What a build directory's name depends on, apart from its number. A handoff has all of it. */
export interface BuildsLayout {
  readonly base: string;
  /** In place of `builds`, from CUSTOM_CI_BUILDS_DIR. */
  readonly customBuildsDir?: string | undefined;
  readonly job: { readonly id: number; readonly runner: string };
  readonly settings: { readonly limitBuildDir: boolean; readonly staticBuildsDir: boolean };
}

/** Where the runner puts the project's directory. */
export function buildDirectory(layout: BuildsLayout, slot: number): string {
  const { base, customBuildsDir, job, settings } = layout;
  if (settings.staticBuildsDir) return join(staticDirectory(layout), String(job.id));
  const builds = customBuildsDir ?? join(base, 'builds');
  return join(settings.limitBuildDir ? builds : join(builds, job.runner), slotName(slot));
}

/** Holds one directory per job, with `static_builds_dir`. */
export function staticDirectory({ base, customBuildsDir }: Pick<BuildsLayout, 'base' | 'customBuildsDir'>): string {
  return join(customBuildsDir ?? base, 'static');
}

/** Holds what says which number belongs to which job: beside the directories, wherever those are shared. */
export function claimsDirectory({ base, customBuildsDir, job, settings }: BuildsLayout): string {
  const claims = customBuildsDir === undefined ? join(base, 'claims') : join(customBuildsDir, '.claims');
  return join(claims, settings.limitBuildDir ? 'shared' : `runner-${job.runner}`);
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
