// What a batch scheduler is to the core: data and pure functions, in one file per scheduler. Nothing here or there
// runs a command, reads a file or a clock; the core does that, and knows no scheduler by name.

import type { Handoff } from '../../../contract/handoff.ts';

/** A command of the scheduler. `scheduler_bin` is put in front of the program's name when it is run. */
export interface Command {
  readonly program: string;
  readonly argv: readonly string[];
}

/** What a command answered. */
export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  /** Absent when it took too long, was killed, or could not be started. */
  readonly exitCode: number | undefined;
}

/** `ending`: the script is through, the scheduler not yet (epilog, kill time). */
export type Phase = 'pending' | 'running' | 'ending' | 'ended';

/** How a job ended, in the scheduler's eyes. Only the wrapper's marker says what the script's exit code was. */
export type EndKind =
  | 'completed'
  | 'failed'
  | 'time-limit'
  | 'out-of-memory'
  | 'cancelled'
  | 'node-failure'
  | 'start-failure'
  | 'output-unopened'
  | 'preempted'
  /** Another cluster has it, where nobody here can follow it. */
  | 'elsewhere';

export interface JobEnd {
  readonly kind: EndKind;
  readonly exitCode?: number;
  /** Number of the signal that ended the batch script. */
  readonly signal?: number;
  /** Who cancelled it, as the scheduler names them: an account or a uid. */
  readonly by?: string;
  /** The scheduler's own words on it. */
  readonly note?: string;
}

/** What the scheduler says about one job; everything it did not say is absent. */
export interface JobStatus {
  readonly phase: Phase;
  /** The scheduler's own word. */
  readonly state: string;
  /** A word that no table has: not the end, whatever else it is. */
  readonly isUnknownState?: boolean;
  /** Why it waits, the scheduler's own word; see `Scheduler.reason`. */
  readonly reason?: string;
  /** Present with phase `ended`. */
  readonly end?: JobEnd;
  /** It will never go on, yet nobody ends it: to be cancelled, and this is how it ended. */
  readonly stuck?: JobEnd;
  readonly partition?: string;
  readonly account?: string;
  readonly qos?: string;
  /** In seconds; Infinity when there is none. */
  readonly timeLimit?: number;
  /** When it may start, in milliseconds since 1970. */
  readonly expectedStart?: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Names of its nodes, in the scheduler's short form. */
  readonly nodes?: string;
  readonly nodeCount?: number;
  /** How often the scheduler began it again. */
  readonly restarts?: number;
  /** It is several jobs under one id (array, heterogeneous): never ours. */
  readonly isSeveral?: boolean;
  readonly usage?: Usage;
}

/** What a job asked for and what it used, as far as known. Bytes and seconds. */
export interface Usage {
  readonly wallSeconds?: number;
  readonly wallLimitSeconds?: number;
  readonly cpuSeconds?: number;
  readonly cpus?: number;
  readonly memoryPeak?: number;
  readonly memoryAsked?: number;
}

/**
 * An answer about jobs. `known` holds those that the scheduler knows; one that is missing there was forgotten, never
 * existed, or lies elsewhere. `silent`: the answer says nothing about jobs at all (outage, time-out, nonsense).
 * `unavailable`: the site does not have this source (no accounting), so asking again is no use.
 */
export type Inquired =
  | { readonly kind: 'known'; readonly jobs: ReadonlyMap<string, JobStatus> }
  | { readonly kind: 'silent'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly why: string };

/** One way to ask about jobs. */
export interface Inquiry {
  about(ids: readonly string[]): Command;
  read(answer: Answer, ids: readonly string[]): Inquired;
  /** Asked in its place from then on where the site turns out not to have this form. */
  readonly otherwise?: Inquiry;
}

/**
 * A search for a job by its unique name, whatever its state. Undefined: no answer. `unavailable`: the site does not
 * have this form.
 */
export interface Search {
  about(name: string): Command;
  read(answer: Answer, name: string): readonly string[] | 'unavailable' | undefined;
  /** Made in its place where the site turns out not to have this form. */
  readonly otherwise?: Search;
}

/** A file in the job's directory in which the scheduler writes. */
interface OwnFile {
  /** @param name of the job */
  fileName(name: string): string;
}

/** In which it tells how a job ended: for one that forgets its jobs at that moment. It may be the output itself. */
export interface EndLog extends OwnFile {
  /** Every job has one, so that it is waited for. */
  readonly isCertain: boolean;
  /** Undefined while no end stands in it. */
  read(text: string): JobEnd | undefined;
  /** Whether the site does without it. */
  isSkipped(settings: Handoff['settings']['batch']): boolean;
}

/** In which the scheduler and its launcher complain; its end is shown when the job is over. */
interface ErrorLog extends OwnFile {
  /** CI variable that asks for it: `true`. */
  readonly variable: string;
}

/** What came of a submission. `doubtful`: it may or may not have been taken; look for its name before trying again. */
export type Submitted =
  | { readonly kind: 'accepted'; readonly id: string }
  /** `orphan`: it was taken all the same, under an id that can only be cancelled. */
  | { readonly kind: 'refused'; readonly why: string; readonly orphan?: string }
  | { readonly kind: 'transient'; readonly why: string }
  | { readonly kind: 'doubtful'; readonly why: string }
  /** The command does not know options of ours. */
  | { readonly kind: 'unavailable'; readonly why: string };

/** What is submitted. Paths are absolute. */
export interface Submission {
  readonly name: string;
  /** Of the user and the site, checked; ours come behind them. */
  readonly arguments: readonly string[];
  readonly wrapper: string;
  /** Where the scheduler writes the job's output. */
  readonly output: string;
  /** The same for one that has it only when the job is over. */
  readonly spool: string;
  readonly directory: string;
  /** See `Scheduler.ownCommands`. */
  readonly callsScheduler: boolean;
}

/** What happens to an argument of the user; schedulers.md section 6 in the project's words. */
type Rule =
  | 'allow'
  /** Ours stands behind it and wins; the user is told that it has no effect. */
  | 'ours'
  /** Would break the CI job; `why` says how. */
  | 'refuse';

export interface Option {
  /** `-o`, `--output`; all spellings. */
  readonly names: readonly string[];
  /** Of these the one that is written out, where it is not the long one. */
  readonly plain?: string;
  readonly takes: 'value' | 'optional' | 'nothing';
  readonly rule: Rule;
  /** For the user: what it would break, and what to do instead. Required unless allowed; then it is only told. */
  readonly why?: string;
  /** What it asks for: a typed key for the same takes its place, and the site's allow lists hold for its value. */
  readonly means?: keyof ResourceRequest;
  /** Refused only with values that match; with others it is allowed. */
  readonly values?: RegExp;
}

/** How a scheduler's submission command reads its arguments. */
export interface Grammar {
  readonly options: readonly Option[];
  /** `--outp` stands for `--output` where that is the only one. */
  readonly abbreviatesLongOptions: boolean;
  /** `-Ho file` is `-H -o file`, `-ofile` is `-o file`. */
  readonly bundlesShortOptions: boolean;
  /** LSF and others: `-oo`, `-Is` are options of their own, never bundles. */
  readonly longOptionsWithOneDash?: boolean;
  /** Options that stand in no list: `refuse` (an allow list) or left to the scheduler. */
  readonly unknown: 'refuse' | 'allow';
  /** Words that mean something to the scheduler though they are no options: a lone `:` for Slurm. */
  readonly refusedWords: Readonly<Record<string, string>>;
}

/** Resources by typed key (`SCHEDULER_NODES` and so on), checked. Seconds and bytes; gpus and memory are per node. */
export interface ResourceRequest {
  readonly nodes?: number;
  readonly tasks?: number;
  readonly cpusPerTask?: number;
  readonly gpus?: number;
  readonly memory?: number;
  readonly time?: number;
  readonly partition?: string;
  readonly account?: string;
  readonly qos?: string;
  readonly constraint?: string;
  readonly reservation?: string;
  readonly exclusive?: boolean;
}

/** Why a job waits, in plain words. `never`: it cannot start as it is, whatever happens to other jobs. */
export interface Reason {
  readonly text: string;
  readonly isNever: boolean;
}

/** Which variables of the environment reach the scheduler's commands. */
export interface CommandEnvironment {
  /** Names that act as options or change the form of answers. */
  readonly drop: RegExp;
  /** Settings of the site that commands need: `SLURM_CONF`. Taken from `batch.env_vars` or the site's own. */
  readonly keep: readonly string[];
  /** What they get besides, so that answers have a form that can be read: times as seconds since 1970. */
  readonly set: Readonly<Record<string, string>>;
}

/** A scheduler, as data. */
export interface Scheduler {
  /** For people: `Slurm`. */
  readonly title: string;
  readonly grammar: Grammar;
  readonly environment: CommandEnvironment;
  /** Its word for a job that runs. */
  readonly runningState: string;
  /** Variables that the wrapper removes before the script runs. */
  readonly unsetInJob: readonly string[];
  /**
   * Who writes the job's output while it runs: the scheduler into `Submission.output`, or our wrapper. `either`: the
   * scheduler where it can, which the wrapper sees when it runs.
   */
  readonly outputBy: 'scheduler' | 'wrapper' | 'either';
  /** Words in which the request cannot be expressed are told by throwing JobError. */
  requestArguments(request: ResourceRequest): readonly string[];
  /** The wall time that these arguments ask for, in seconds; absent when they do not, Infinity for none. */
  requestedTime(words: readonly string[]): number | undefined;

  /** Finds calls of the scheduler's own commands in a script, where the way of submission depends on them. */
  readonly ownCommands?: RegExp;
  submit(submission: Submission): Command;
  /** The same for sites whose command does not know all of that. */
  submitOtherwise?(submission: Submission): Command;
  readSubmitted(answer: Answer): Submitted;
  readonly byName: Search;

  /** The cheap question about any number of jobs. */
  readonly overview: Inquiry;
  /** All about one job, as long as the scheduler remembers it. */
  readonly details: Inquiry;
  /** Accounting or history, where there is one. */
  readonly history?: Inquiry;
  readonly endLog?: EndLog;
  readonly errorLog?: ErrorLog;
  /** A command that stays until the job has ended; then nothing need be polled to notice that. */
  wait?(id: string): Command;

  cancel(id: string): Command;
  /** Whether a cancel reached the scheduler; of a job that is gone counts as reached. */
  readCancelled(answer: Answer): boolean;
  /** How long it takes to end a cancelled job, in milliseconds, when all is well. */
  readonly cancelLimitMs: number;

  reason(word: string): Reason;
  /** How long it must say that a job can never start before that is believed, in milliseconds. */
  readonly neverAfterMs: number;
}
