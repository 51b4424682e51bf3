// The command line of jacamar-admin. Apart from main.ts, which runs on import, so that manual page and completions
// can be made from it.

import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../contract/config/duration.ts';
import { parseSize } from '../contract/size.ts';
import { versionText } from '../contract/version.ts';
import type { TrialOptions } from './trial.ts';
import type { WorkspaceOptions } from './workspace.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Node fires a timer of 25 days at once. */
const MOST_DAYS_TO_WAIT = 24;

// The option's values as commander hands them over.
type TrialCommandLine = Omit<TrialOptions, 'variables'> & { readonly variable: readonly string[] };

const WORKSPACE_HELP = `
Without --older-than and --budget nothing is removed. A directory in which a job is at work is never touched.
Everything in a user's directories is read and removed by a process of that user, never by root.

Examples:
  jacamar-admin workspace --configuration /etc/gitlab-runner/custom.toml
  jacamar-admin workspace --configuration … --older-than 30d --dry-run
  jacamar-admin workspace --configuration … --budget 50GiB --user alice

Exit status: 0 all done; 1 something could not be read or removed; 2 nothing could be done.`;

/** What to do for each sub-command, with its options. */
interface Acts {
  readonly trial: (options: TrialOptions) => Promise<void>;
  readonly workspace: (options: WorkspaceOptions) => Promise<void>;
}

export function commandLine(acts: Acts): Command {
  const program = new Command('jacamar-admin')
    .description('Tools for administrators of Jacamar CI.')
    .version(versionText(), '-v, --version', 'print version, commit and runtime')
    .showHelpAfterError('(add --help for the whole command line)')
    // As in contract/command-line.ts.
    .configureHelp({ optionDescription: ({ description }) => description })
    .exitOverride();
  program
    .command('trial')
    .description('Plays GitLab and the runner for one job against this installation, and shows every stage.')
    .requiredOption('--configuration <file>', 'configuration of jacamar-auth (custom.toml)')
    .requiredOption('--user <login>', 'GitLab login in whose name the job runs')
    .option('--gitlab-ci <file>', 'take the job from this .gitlab-ci.yml')
    .option('--job <name>', 'which job of the file; default: its only one')
    .option('--script <text>', 'run this script instead of a job of a file')
    .option('--jacamar-auth <path>', 'executable to try; default: the one installed beside this program', installed())
    .option('--executor <name>', 'executor to try instead of the one in the configuration, such as slurm')
    .option('--timeout <seconds>', 'job timeout; default: 3600', wholeSeconds, 3600)
    .option('--cancel-after <seconds>', 'cancel the job after that time', secondsToWait)
    .option('--variable <name=value>', 'CI variable of the job; may be repeated', collect, [])
    .option('--id-token <name>', 'variable for the id token; default: general.jwt_env_variable, or CI_JOB_JWT')
    .option('--aud <audience>', 'audience of that token; default: auth.jwt_required_aud')
    .option('-u, --unobfuscated', 'have jacamar-auth show its full errors', false)
    .option('--keep', 'leave the files of the trial for inspection', false)
    .option('--verbose', 'show process ids, config output and the output of cleanup', false)
    .action(({ variable, ...options }: TrialCommandLine) => acts.trial({ ...options, variables: variable }));
  addWorkspace(program, acts.workspace);
  return program;
}

function addWorkspace(program: Command, onWorkspace: (options: WorkspaceOptions) => Promise<void>): void {
  program
    .command('workspace')
    .description("Lists all users' build directories by age and size, and removes those that are chosen.")
    .requiredOption('--configuration <file>', 'configuration of jacamar-auth (custom.toml)')
    .option('--user <account>', 'only this local account; may be repeated', collect, [])
    .option('--older-than <age>', 'remove what was not used for so long, such as 30d or 12h', age)
    .option('--budget <size>', 'remove the least recently used until each account has no more, such as 50GiB', size)
    .option('--dry-run', 'say what would be removed, and remove nothing', false)
    .option('--json', 'print JSON', false)
    .option('--time-limit <time>', 'longest time for one account; default: 1h', timeToWait)
    .addHelpText('after', WORKSPACE_HELP)
    .action(onWorkspace);
}

// Installed, every program is one shared runtime in libexec, with the executables in bin beside it.
function installed(): string {
  return join(dirname(process.execPath), '..', 'bin', 'jacamar-auth');
}

function wholeSeconds(text: string): number {
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number of seconds.');
}

function secondsToWait(text: string): number {
  const seconds = wholeSeconds(text);
  requireBearable(seconds * 1000);
  return seconds;
}

/** In milliseconds. */
function timeToWait(text: string): number {
  const milliseconds = age(text);
  requireBearable(milliseconds);
  return milliseconds;
}

function requireBearable(milliseconds: number): void {
  if (milliseconds > MOST_DAYS_TO_WAIT * DAY_MS) throw new InvalidArgumentError(`At most ${MOST_DAYS_TO_WAIT} days.`);
}

/** In milliseconds. */
function age(text: string): number {
  const days = /^([0-9]{1,5})d$/.exec(text)?.[1];
  const milliseconds = days === undefined ? parseDuration(text) : Number(days) * DAY_MS;
  if (milliseconds !== undefined) return milliseconds;
  throw new InvalidArgumentError('Expected a time such as 30d, 12h or 90m.');
}

/** In bytes. */
function size(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('Expected a size such as 500MiB or 50GiB.');
}

function collect(value: string, earlier: readonly string[]): string[] {
  return [...earlier, value];
}
