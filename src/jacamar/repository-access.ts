// Keeps the job token off command lines, which every account of the host can read. The scripts of the runner write
// it into addresses: as arguments of git, in settings that git repeats to its own children, and for gitlab-runner's
// artifact commands. Those scripts are nobody's to change (their form is not stable), so this works around them:
// git gets settings that keep addresses as they are and read the credentials from a private file, and in the run
// stages that are the runner's alone two shell functions take the token out of the arguments.

import { realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { buildDirectory } from '../contract/directories.ts';
import type { Handoff } from '../contract/handoff.ts';
import { inShell } from './login-shell.ts';

/** What a run stage needs; the files behind it are there between `place` and `remove`. */
export interface RepositoryAccess {
  /** For the login shell, as `NAME=value`. */
  readonly environment: readonly string[];
  /** Commands to stand in front of the script, in its first line. */
  readonly preamble: string;
  place(): void;
  remove(): void;
}

/** Stages in which nothing of the user runs besides hooks: custom-executor sub-stages, as of GitLab Runner 19. */
const STAGES_OF_RUNNER = new Set([
  'prepare_script',
  'get_sources',
  'clear_worktree',
  'restore_cache',
  'download_artifacts',
  'archive_cache',
  'archive_cache_on_failure',
  'upload_artifacts_on_success',
  'upload_artifacts_on_failure',
  'cleanup_file_variables',
]);

/** With files in the job's own scripts directory, which is 0700 by then; nothing where there is nothing to hide. */
export function repositoryAccess(directory: string, slot: number, handoff: Handoff): RepositoryAccess {
  const { repository, runStage = '' } = handoff;
  if (repository === undefined) return { environment: [], preamble: '', place() {}, remove() {} };
  const files = { credentials: join(directory, 'pass'), settings: join(directory, 'pass.gitconfig') };
  let isPlaced = false;
  return {
    environment: STAGES_OF_RUNNER.has(runStage) ? [gitFunction(files), RUNNER_FUNCTION] : [],
    preamble: includeFor(projectDirectory(slot, handoff), files.settings),
    place() {
      isPlaced = true; // a half token is a token to be removed, too
      place(files.credentials, credentialsText(repository));
      place(files.settings, settingsText(repository, files.credentials));
    },
    remove() {
      if (isPlaced) removeRepositoryAccess(directory);
    },
  };
}

/** Also what a stage left that was killed. */
export function removeRepositoryAccess(directory: string): void {
  for (const name of ['pass', 'pass.gitconfig']) rmSync(join(directory, name), { force: true });
}

type Repository = NonNullable<Handoff['repository']>;

function place(path: string, text: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
}

/** In the words of gitcredentials(7). */
function credentialsText({ username, password }: Repository): string {
  return `username=${decodeURIComponent(username)}\npassword=${decodeURIComponent(password)}\n`;
}

/**
 * Of several `insteadOf` the longest decides: the one of the runner, `https://host`, loses against the same with a
 * slash, which changes nothing. Helpers of the user would keep a token that is worth nothing after the job, and
 * offer it to the next one; so for this one server there is only ours. It answers to its own name, or to none.
 */
function settingsText({ url, username, password }: Repository, credentials: string): string {
  const { origin, protocol, host } = new URL(url);
  const withToken = `${protocol}//${username}:${password}@${host}/`;
  const others = `grep ^username= | grep -qvxF ${inShell(`username=${decodeURIComponent(username)}`)}`;
  const helper = `!f() { test "$1" = get && ! { ${others}; } && cat ${inShell(credentials)}; }; f`;
  return [
    `[url ${inSettings(`${origin}/`)}]`,
    `\tinsteadOf = ${inSettings(`${origin}/`)}`,
    `\tinsteadOf = ${inSettings(withToken)}`,
    `[credential ${inSettings(origin)}]`,
    '\thelper =',
    `\thelper = ${inSettings(helper)}`,
    '',
  ].join('\n');
}

/**
 * The project and its submodules only: in other repositories the user's own settings hold. git-config(1). Counted where
 * the script begins, behind what the site, a profile and BASH_ENV have set of this kind.
 */
function includeFor(project: string, settings: string): string {
  const repository = `${project}/.git`.replaceAll(/[*?[\\]/g, '\\$&');
  const patterns = [repository, `${repository}/modules/`];
  const after = (count: number) => `$((\${GIT_CONFIG_COUNT:-0} + ${count}))`;
  const entries = patterns.flatMap((pattern, index) => [
    `"GIT_CONFIG_KEY_${after(index)}"=${inShell(`includeIf.gitdir:${pattern}.path`)}`,
    `"GIT_CONFIG_VALUE_${after(index)}"=${inShell(settings)}`,
  ]);
  return `\\builtin export ${entries.join(' ')} "GIT_CONFIG_COUNT=${after(patterns.length)}"; `;
}

/** git compares real paths; the base directory may be reached through a link. */
function projectDirectory(slot: number, handoff: Handoff): string {
  return join(realPath(buildDirectory(handoff, slot)), handoff.job.projectPath);
}

/** As far as it leads anywhere; what is wrong with the rest is told, or made, when the workspace is opened. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path === '/' ? path : join(realPath(dirname(path)), basename(path));
  }
}

/** Functions reach bash by its environment: bash(1), "Functions". Builtins only, since arguments of a program show. */
function gitFunction({ credentials, settings }: { credentials: string; settings: string }): string {
  return `BASH_FUNC_git%%=() {
  local name='' word='' arguments=("$@")
  { IFS= builtin read -r name && IFS= builtin read -r word; } 2>/dev/null < ${inShell(credentials)} || :
  if [[ -n $word ]]; then arguments=("\${arguments[@]//"\${name#*=}:\${word#*=}@"/}"); fi
  builtin command git -c ${inShell(`include.path=${settings}`)} "\${arguments[@]}"
}`;
}

/** The artifact commands take the token from CI_JOB_TOKEN as well: network.go of GitLab Runner, JobCredentials. */
const RUNNER_FUNCTION = `BASH_FUNC_gitlab-runner%%=() {
  local token='' arguments=()
  while (($# > 0)); do
    case $1 in
      --token) token=\${2-} && shift ;;
      --token=*) token=\${1#*=} ;;
      *) arguments+=("$1") ;;
    esac
    shift
  done
  if [[ -n $token ]]; then local -x CI_JOB_TOKEN=$token; fi
  builtin command gitlab-runner "\${arguments[@]}"
}`;

/** A quoted value or subsection of git-config(1). */
function inSettings(text: string): string {
  return `"${text.replaceAll(/[\\"]/g, '\\$&')}"`;
}
