// The scripts that the runner generates for each run stage, in the frame of 19.1 and later: one subshell evaluates the
// whole body, given as a single quoted string, with nothing on its standard input.
// This is the one place of the program that writes shell; every foreign text goes through `quote`.
import type { JobResponse, JobVariable } from './job.ts';
import { settingOf } from './variables.ts';

/** What a script is made from. Variables are expanded and in list order, duplicates included. */
export interface ScriptFacts {
  readonly job: JobResponse;
  readonly variables: readonly JobVariable[];
  readonly projectDir: string;
  /** Shown in the first line of the job log; from the config output. */
  readonly hostname: string;
}

/** Text of the script file of one run stage. Unknown stages get the exports and nothing to do. */
export function stageScript(stage: string, facts: ScriptFacts): string {
  return frame(body(stage, facts));
}

/** Puts commands into the runner's frame. The exit status is that of the first command that fails. */
export function frame(commands: string): string {
  return `#!/usr/bin/env bash

trap 'exit 1' TERM
if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi
set -o errexit
set +o noclobber
(
trap 'exit 1' TERM
eval ${quote(commands)}
) </dev/null
exit 0
`;
}

/** One word of bash in ANSI-C form; what is not printable ASCII is written by its bytes. NUL has no form in bash. */
export function quote(text: string): string {
  let quoted = '';
  for (const byte of Buffer.from(text)) quoted += quotedByte(byte);
  return `$'${quoted}'`;
}

function quotedByte(byte: number): string {
  const character = String.fromCharCode(byte);
  if (character === '\n') return '\\n';
  if (character === "'" || character === '\\') return `\\${character}`;
  return byte >= 0x20 && byte < 0x7f ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
}

function body(stage: string, facts: ScriptFacts): string {
  switch (stage) {
    case 'prepare_script':
      return prepare(facts);
    case 'clear_worktree':
      return clearWorktree(facts);
    case 'cleanup_file_variables':
      return cleanUp(facts);
    case 'get_sources':
      return lines(exports(facts), getSources(facts));
    default:
      return lines(exports(facts), enterProject(facts), stageCommands(stage, facts));
  }
}

function stageCommands(stage: string, facts: ScriptFacts): string {
  const step = facts.job.steps.find(({ name }) => stageName(name) === stage);
  if (step !== undefined) return lines(...step.script.map(userCommand));
  const title = TRANSFERS[stage];
  if (title === undefined) return ':';
  // The real commands belong to the runner's own binary, which a trial does not have.
  return `echo ${quote(`Missing gitlab-runner. ${title} is disabled.`)}`;
}

const TRANSFERS: Readonly<Record<string, string>> = {
  restore_cache: 'Extracting cache',
  download_artifacts: 'Artifacts downloading',
  archive_cache: 'Creating cache',
  archive_cache_on_failure: 'Creating cache',
  upload_artifacts_on_success: 'Uploading artifacts',
  upload_artifacts_on_failure: 'Uploading artifacts',
};

/** Name of the run stage for a step of the job; the runner still calls the main script by its old name. */
export function stageName(step: string): string {
  if (step === 'script') return 'build_script';
  return step === 'after_script' ? step : `step_${step.toLowerCase()}`;
}

// The command is shown before it runs; of one with several lines only the first.
function userCommand(command: string): string {
  const text = command.trim();
  if (text === '') return 'echo';
  const [first = '', ...rest] = text.split('\n');
  const shown = rest.length === 0 ? `$ ${first}` : `$ ${first} # collapsed multi-line command`;
  return lines(`echo ${quote(shown)}`, command);
}

function temporary(facts: ScriptFacts): string {
  return `${facts.projectDir}.tmp`;
}

function exports(facts: ScriptFacts): string {
  const directory = temporary(facts);
  const hasFiles = facts.variables.some(({ file }) => file);
  const environmentFile = quote(`${directory}/gitlab_runner_env`);
  return lines(
    hasFiles ? `mkdir -p ${quote(directory)}` : '',
    ...facts.variables.map((entry) => exported(entry, directory)),
    `export GITLAB_ENV=${environmentFile}`,
    `mkdir -p ${quote(directory)}`,
    'touch "$GITLAB_ENV"',
    'while IFS= read -r jacamar_trial_line; do export "$jacamar_trial_line" || true; done < "$GITLAB_ENV"',
  );
}

function exported(entry: JobVariable, directory: string): string {
  if (!entry.file) return `export ${entry.key}=${quote(entry.value)}`;
  const path = quote(`${directory}/${entry.key}`);
  return lines(`printf '%s' ${quote(entry.value)} > ${path}`, `export ${entry.key}=${path}`);
}

function prepare(facts: ScriptFacts): string {
  const directory = temporary(facts);
  return lines(
    // Double quotes as in the runner, which lets the text reach the shell: a driver has to choose its hostname with care.
    `echo "Running on $(hostname) via ${facts.hostname}..."`,
    `rm -f ${quote(`${directory}/gitlab_runner_env`)} ${quote(`${directory}/masking.db`)}`,
    `rm -f ${quote(`${facts.projectDir}/.git/index.lock`)} ${quote(`${facts.projectDir}/.git/config.lock`)}`,
  );
}

function enterProject(facts: ScriptFacts): string {
  return `cd ${quote(facts.projectDir)}`;
}

function clearWorktree(facts: ScriptFacts): string {
  const directory = quote(facts.projectDir);
  return `if [ -d ${directory}/.git ]; then git -C ${directory} clean -ffdx; git -C ${directory} rm -rfq --ignore-unmatch .; fi`;
}

function getSources(facts: ScriptFacts): string {
  const strategy = settingOf(facts.job, 'GIT_STRATEGY') ?? (facts.job.allow_git_fetch ? 'fetch' : 'clone');
  switch (strategy) {
    case 'none':
      return lines(`mkdir -p ${quote(facts.projectDir)}`, "echo 'Skipping Git repository setup'");
    case 'empty':
      return lines(
        ...removed(facts.projectDir),
        `mkdir -p ${quote(facts.projectDir)}`,
        "echo 'Skipping Git repository setup'",
      );
    case 'clone':
      return lines(...removed(facts.projectDir), fetchAndCheckOut(facts));
    case 'fetch':
      return fetchAndCheckOut(facts);
    default:
      return lines("echo 'unknown GIT_STRATEGY' >&2", 'exit 1');
  }
}

function removed(directory: string): string[] {
  return [`rm -rf ${quote(directory)}`];
}

// Credentials come from settings beside the project, which git itself writes and then gives to its children: as in
// earnest, the token stands on command lines unless the driver keeps it off them.
function fetchAndCheckOut(facts: ScriptFacts): string {
  const { git_info: git } = facts.job;
  const settings = quote(`${temporary(facts)}/.gitlab-runner.ext.conf`);
  const depth = Number(settingOf(facts.job, 'GIT_DEPTH') ?? git.depth);
  const url = new URL(git.repo_url);
  const plain = withoutCredentials(url);
  return lines(
    'export GIT_TERMINAL_PROMPT=0',
    "echo 'Fetching changes...'",
    `mkdir -p ${quote(temporary(facts))}`,
    `(umask 077; : > ${settings})`,
    ...credentialCommands(url, settings),
    `rm -f ${quote(`${facts.projectDir}/.git/config`)}`,
    `git init --quiet --initial-branch=master ${quote(facts.projectDir)}`,
    enterProject(facts),
    `git remote add origin ${quote(plain)}`,
    `git config include.path ${settings}`,
    `git -c http.userAgent=${quote('gitlab-runner trial linux/amd64')} fetch origin --no-recurse-submodules ${fetchArguments(depth, git.refspecs)}`,
    `git checkout --quiet --force --detach ${quote(git.sha)}`,
    'git clean -ffdx --quiet',
    `echo ${quote(`Checking out ${git.sha.slice(0, 8)} as detached HEAD (ref is ${git.ref})...`)}`,
    "echo 'Skipping Git submodules setup'",
  );
}

function fetchArguments(depth: number, refspecs: readonly string[]): string {
  const limit = depth > 0 ? [`--depth ${depth}`] : [];
  return [...limit, '--prune', '--quiet', ...refspecs.map(quote)].join(' ');
}

function withoutCredentials(url: URL): string {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  return plain.href;
}

/** One rule for the repository, and one for everything else on its server, such as submodules. */
function credentialCommands(url: URL, settings: string): string[] {
  if (url.password === '') return [];
  const origin = `${url.protocol}//${url.host}`;
  const rules = [
    [url.href, withoutCredentials(url)],
    [`${url.protocol}//${url.username}:${url.password}@${url.host}`, origin],
  ] as const;
  return rules.map(([to, from]) => `git config --file ${settings} ${quote(`url.${to}.insteadOf`)} ${quote(from)}`);
}

function cleanUp(facts: ScriptFacts): string {
  const directory = temporary(facts);
  const files = facts.variables.filter(({ file }) => file).map(({ key }) => `${directory}/${key}`);
  const own = [`${directory}/gitlab_runner_env`, `${directory}/.gitlab-runner.ext.conf`];
  return lines(`rm -f ${[...files, ...own].map(quote).join(' ')}`);
}

function lines(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n');
}
