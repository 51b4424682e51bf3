// How a batch job ended, in one sentence, with what to do about it, and whose fault it is. Green needs the wrapper's
// word that the script ended with 0, and a scheduler that does not say otherwise.

import { type JacamarError, JobError, ScriptFailure, SystemFailure } from '../../../contract/errors.ts';
import { describeSize } from '../../../contract/size.ts';
import { printable } from '../../../contract/text.ts';
import type { Progress } from '../../login-shell.ts';
import { durationText } from './durations.ts';
import type { EndKind, JobEnd, Scheduler, Usage } from './scheduler.ts';

/** Why we cancelled the job ourselves. */
export type OwnStop = 'stopped' | 'budget' | 'max-pending' | 'never-starts' | 'requeued' | 'several-jobs';

/** Everything that is known of an end. */
export interface EndFacts {
  readonly scheduler: Pick<Scheduler, 'title' | 'reason'>;
  readonly id: string;
  /** Absent: the scheduler has forgotten the job, or never told. */
  readonly end?: JobEnd | undefined;
  /** The wrapper's words: it began, and with what the script ended. */
  readonly marker: {
    readonly isStarted: boolean;
    readonly exitCode?: number | undefined;
    /** Number of the signal that the whole job got to end. */
    readonly signal?: number | undefined;
    /** The login shell has ended, and how far it came, when the script did not come to an end in it. */
    readonly shell?: { readonly code: number; readonly progress: Progress } | undefined;
  };
  readonly ownStop?: OwnStop | undefined;
  /** The last reason to wait, the scheduler's word. */
  readonly reason?: string | undefined;
  readonly timeLimit?: number | undefined;
  readonly maxPending?: number | undefined;
  readonly nodes?: string | undefined;
  readonly usage?: Usage | undefined;
  /** Where the output was written. */
  readonly output: string;
  /** Where it stays, when it does. */
  readonly keptOutput?: string | undefined;
  /** For a job that was lost: what was asked, and what came back. */
  readonly evidence?: readonly string[] | undefined;
}

/** `build`: a failure of the job; `system`: of the site. */
export interface Verdict {
  readonly outcome: 'success' | 'build' | 'system';
  /** Stable, `ERR_…`; absent with success. */
  readonly code?: string;
  readonly sentence: string;
  /** The script's own, 1 to 255, as far as it is known. */
  readonly exitCode?: number | undefined;
  /** What to change. */
  readonly advice?: string | undefined;
}

export function verdictOf(facts: EndFacts): Verdict {
  const { end, marker, ownStop } = facts;
  const isDone = marker.exitCode === 0 && (end === undefined || end.kind === 'completed');
  if (isDone) return { outcome: 'success', sentence: 'The job succeeded.' };
  // A script that got our signal ends with 128 and more, and not every scheduler then says that it was cancelled.
  const isOurs = marker.exitCode === undefined || marker.exitCode > 128 || end?.kind === 'cancelled';
  if (ownStop !== undefined && isOurs) return OWN_STOPS[ownStop](facts);
  const early = marker.shell === undefined || end?.signal !== undefined ? undefined : shellEndedEarly(marker.shell);
  if (early !== undefined && (end === undefined || end.kind === 'completed' || end.kind === 'failed')) return early;
  if (end !== undefined) return ENDS[end.kind](facts, end);
  return forgotten(facts);
}

/** Of a scheduler that forgets a job at its end, as PBS without history does. */
function forgotten(facts: EndFacts): Verdict {
  const { exitCode, signal } = facts.marker;
  if (exitCode === undefined) return lost(facts);
  const isKilled = signal !== undefined && exitCode === 128 + signal;
  return isKilled ? scriptKilled({ signal }, exitCode) : scriptFailed(exitCode);
}

/** The lines that close the run stage. Colours are those of the runner's own messages. */
export function verdictBox(verdict: Verdict, { scheduler, id, keptOutput, evidence = [] }: EndFacts): string[] {
  const { outcome, sentence, exitCode, advice } = verdict;
  const color = outcome === 'success' ? '\u001b[32;1m' : '\u001b[31;1m';
  return [
    `${color}${scheduler.title} job ${id}: ${sentence}\u001b[0;m`,
    ...(exitCode === undefined ? [] : [`Exit code: ${exitCode}`]),
    ...(outcome === 'success' ? [] : evidence.map((line) => `  ${printable(line)}`)),
    ...(advice === undefined ? [] : [`What to do: ${advice}`]),
    ...(keptOutput === undefined ? [] : [`All of the output: ${printable(keptOutput)}`]),
  ];
}

/** The error that a failure is reported with; undefined after success. */
export function failureOf({ outcome, code = 'ERR_BATCH', sentence, exitCode }: Verdict): JacamarError | undefined {
  if (outcome === 'success') return undefined;
  if (outcome === 'system') return new SystemFailure({ code, message: sentence, publicMessage: sentence });
  return exitCode === undefined ? new JobError({ code, message: sentence }) : new ScriptFailure(exitCode, sentence);
}

const build = (code: string, sentence: string, advice?: string): Verdict => ({
  outcome: 'build',
  code,
  sentence,
  advice,
});
const system = (code: string, sentence: string, advice?: string): Verdict => ({
  ...build(code, sentence, advice),
  outcome: 'system',
});

const RETRY = 'Nothing in the job is at fault; "retry" of GitLab with "when: runner_system_failure" repeats such jobs.';

const OWN_STOPS: Readonly<Record<OwnStop, (facts: EndFacts) => Verdict>> = {
  stopped: () => system('ERR_STOPPED', 'It was cancelled because the CI job was stopped.'),
  budget: () =>
    build(
      'ERR_BUDGET',
      'It was cancelled in order, shortly before the timeout of the CI job.',
      'Give the CI job more time ("timeout" in .gitlab-ci.yml), which time in the queue counts against.',
    ),
  'max-pending': ({ maxPending, ...facts }) =>
    build(
      'ERR_MAX_PENDING',
      `It was cancelled because it waited longer than this site allows${limitText(maxPending)}${reasonText(facts)}.`,
      'Ask for less, or try again when less is going on.',
    ),
  'never-starts': (facts) =>
    build(
      'ERR_NEVER_STARTS',
      `It was cancelled because it could never have started${reasonText(facts)}.`,
      'Change what the job asks for (SCHEDULER_… variables).',
    ),
  requeued: ({ scheduler }) =>
    system('ERR_REQUEUED', `${scheduler.title} began it a second time, so it was cancelled.`, RETRY),
  'several-jobs': () =>
    build('ERR_SEVERAL_JOBS', 'It was cancelled because it was several jobs under one number.', 'Ask for one job.'),
};

const ENDS: Readonly<Record<EndKind, (facts: EndFacts, end: JobEnd) => Verdict>> = {
  completed: (facts) => {
    const { exitCode } = facts.marker;
    if (exitCode !== undefined) return scriptFailed(exitCode);
    const sentence = `${facts.scheduler.title} calls it completed, but the script left no word of its end.`;
    return system('ERR_BATCH_NO_RESULT', sentence, `${RETRY} The file system may be slow (batch.nfs_timeout).`);
  },
  failed,
  'time-limit': ({ timeLimit, usage }) =>
    build(
      'ERR_TIME_LIMIT',
      `The time limit was reached${limitText(timeLimit ?? usage?.wallLimitSeconds)}.`,
      'Ask for more time (SCHEDULER_TIME), or let the job do less.',
    ),
  'out-of-memory': ({ marker, usage }) => ({
    ...build(
      'ERR_OUT_OF_MEMORY',
      `It ran out of memory${memoryText(usage)}.`,
      'Ask for more memory (SCHEDULER_MEMORY), or run less at once.',
    ),
    exitCode: marker.exitCode === 0 ? undefined : marker.exitCode,
  }),
  cancelled,
  'node-failure': ({ nodes }) =>
    system('ERR_NODE_FAILURE', `A node failed${nodes === undefined ? '' : ` (${printable(nodes)})`}.`, RETRY),
  'start-failure': (facts, end) =>
    system('ERR_BATCH_START', `${facts.scheduler.title} could not start it${noteText(end)}.`, RETRY),
  'output-unopened': ({ scheduler, output }) =>
    system(
      'ERR_BATCH_OUTPUT',
      `${scheduler.title} could not open its output on the node: ${printable(output)}`,
      'Administrators: the directory has to be there, and writable for the account, on all nodes.',
    ),
  elsewhere: ({ scheduler }) =>
    system(
      'ERR_BATCH_ELSEWHERE',
      `${scheduler.title} gave it to another cluster, where it cannot be followed, so it was cancelled.`,
      'Administrators: see to it that jobs of this runner stay on its cluster; the guide to the scheduler says how.',
    ),
  preempted: ({ scheduler }) =>
    system('ERR_PREEMPTED', `${scheduler.title} ended it in favour of a more important job.`, RETRY),
};

/** A profile, or a file that it names in BASH_ENV, must never make a job green whose script did not run. */
function shellEndedEarly({ code, progress }: NonNullable<EndFacts['marker']['shell']>): Verdict | undefined {
  if (!progress.isStarted) {
    const sentence = `Your login shell ended with exit status ${code} before the script could start.`;
    return build('ERR_PROFILE', sentence, `${PROFILES} must not call exit or exec, and must not read standard input.`);
  }
  if (progress.isBegun) return undefined;
  const sentence = 'Bash ended before the first line of your script.';
  const named = progress.bashEnv === '' ? '' : ` It sets BASH_ENV=${printable(progress.bashEnv)}.`;
  return build('ERR_PROFILE', sentence, `Look at your profile.${named}`);
}

const PROFILES = 'Look at /etc/profile and at ~/.bash_profile, ~/.bash_login or ~/.profile on the compute node: they';

function scriptFailed(exitCode: number): Verdict {
  return { ...build('ERR_SCRIPT_EXIT', `The script failed with exit code ${exitCode}.`), exitCode };
}

function failed({ scheduler, marker, output }: EndFacts, end: JobEnd): Verdict {
  if (marker.exitCode !== undefined && marker.exitCode > 0) return scriptFailed(marker.exitCode);
  const code = end.signal === undefined ? end.exitCode || undefined : 128 + end.signal;
  const words = wordsFor(end);
  if (marker.exitCode === 0) {
    const sentence = `${scheduler.title} calls it failed${words}, though the script ended with 0.`;
    return { ...build('ERR_BATCH_CONTRADICTION', sentence), exitCode: code };
  }
  if (!marker.isStarted) {
    const sentence = `It ended before the script began${words}.`;
    const advice = `Administrators: the directory of ${printable(output)} has to be there on all nodes.`;
    return system('ERR_BATCH_NOT_BEGUN', sentence, advice);
  }
  return scriptKilled(end, code);
}

function scriptKilled(how: Omit<JobEnd, 'kind'>, exitCode: number | undefined): Verdict {
  return { ...build('ERR_SCRIPT_KILLED', `The script was ended from outside${wordsFor(how)}.`), exitCode };
}

function wordsFor({ signal, exitCode, note }: Omit<JobEnd, 'kind'>): string {
  if (signal !== undefined) return ` (signal ${signal})`;
  if (exitCode !== undefined && exitCode > 0) return ` (exit code ${exitCode})`;
  return note === undefined ? '' : ` (${printable(note)})`;
}

/** Of a job that waited the note is the reason why it did. */
function cancelled({ scheduler, marker, nodes }: EndFacts, end: JobEnd): Verdict {
  const reason = end.note === undefined ? undefined : scheduler.reason(end.note);
  if (reason?.isNever === true && !marker.isStarted) {
    const sentence = `${scheduler.title} ended it, since it could never have started: ${reason.text}.`;
    return build('ERR_NEVER_STARTS', sentence, 'Change what the job asks for (SCHEDULER_… variables).');
  }
  const by = end.by === undefined ? ', not by the CI job' : ` by ${printable(end.by)}`;
  // Slurm calls a job cancelled whose prolog failed: by root, where there is accounting.
  if (!marker.isStarted && nodes !== undefined && (end.by ?? 'root') === 'root') {
    const sentence = `It was cancelled${by}, on ${printable(nodes)} and before the script began.`;
    return system('ERR_BATCH_NOT_BEGUN', sentence, `${RETRY} Administrators: the prolog may have failed there.`);
  }
  return build('ERR_CANCELLED', `It was cancelled${by}.`);
}

function lost({ scheduler }: EndFacts): Verdict {
  const sentence = `${scheduler.title} knows nothing of it any more, and the script left no word of its end.`;
  return system('ERR_BATCH_LOST', sentence, RETRY);
}

function reasonText({ scheduler, reason }: Pick<EndFacts, 'scheduler' | 'reason'>): string {
  return reason === undefined ? '' : `: ${scheduler.reason(reason).text} (${printable(reason)})`;
}

function limitText(seconds: number | undefined): string {
  return seconds === undefined || !Number.isFinite(seconds) ? '' : ` (${durationText(seconds)})`;
}

function memoryText({ memoryPeak, memoryAsked }: Usage = {}): string {
  if (memoryAsked === undefined) return '';
  const used = memoryPeak === undefined ? '' : `used ${describeSize(memoryPeak)} of `;
  return ` (${used || 'it had '}${describeSize(memoryAsked)})`;
}

function noteText({ note }: JobEnd): string {
  return note === undefined ? '' : ` (${printable(note)})`;
}
