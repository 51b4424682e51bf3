// Plays GitLab Runner's part for one job: which driver call comes after which, what a failure of each one means, and
// what the job log says about it. The rules are those of the custom executor of GitLab Runner 19.x.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../contract/config/duration.ts';
import { type CallParts, ExecutorAttempt, type JobPlaces, newPlaces, type StageRecord } from './attempt.ts';
import { stageName } from './bash-script.ts';
import { parseConfigOutput } from './config-output.ts';
import type { OutputStream } from './driver-call.ts';
import type { JobResponse } from './job.ts';
import { JobLog, type LineOrigin } from './job-log.ts';
import {
  type Failure,
  failureFrom,
  failureLine,
  goDuration,
  reasonOf,
  type Verdict,
  verdictOf,
} from './job-verdict.ts';
import type { RunnerSettings } from './runner-settings.ts';
import { jobTimeoutSeconds, settingOf } from './variables.ts';

/** Told what happens while the job runs. */
export interface RunnerObserver {
  readonly stageStarted?: (name: string, pid: number) => void;
  readonly output?: (name: string, stream: OutputStream, chunk: Buffer) => void;
  readonly stageEnded?: (record: StageRecord) => void;
  readonly logLine?: (line: string, origin: LineOrigin) => void;
}

/** How a job can be ended from outside. */
export interface JobControl {
  readonly observer?: RunnerObserver;
  /** "Cancel" of GitLab 17 and later: during the user's steps only they are stopped. */
  readonly softCancel?: AbortSignal;
  /** "Force cancel": the whole job stops, only cleanup follows. */
  readonly hardCancel?: AbortSignal;
}

export interface JobResult {
  readonly verdict: Verdict;
  /** The script's own, for a build failure. */
  readonly exitCode: number | undefined;
  /** In GitLab's words; undefined for success. */
  readonly failureReason: string | undefined;
  /** As a user sees it, without colours and time stamps. */
  readonly jobLog: string;
  /** Every driver call in order of its end. */
  readonly stages: readonly StageRecord[];
  /** Calls that the runner stopped waiting for; empty unless a driver ignored a hard stop. */
  readonly stragglers: readonly Promise<StageRecord>[];
}

const PREPARATION_ATTEMPTS = 3;
const AFTER_SCRIPT_TIMEOUT_MS = 300_000;
const LONGEST_RETRY_PAUSE_MS = 300_000;
/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const SHELL_PROFILE_ADVICE = 'https://docs.gitlab.com/runner/shells/#shell-profile-loading';
const RENAMED_STAGE =
  "WARNING: Starting with version 17.0 the 'build_script' stage will be replaced with 'step_script': https://gitlab.com/groups/gitlab-org/-/epics/6112";

/** Runs one job from config to cleanup. Rejects only when the runner's own directory cannot be made. */
export async function playJob(
  settings: RunnerSettings,
  job: JobResponse,
  control: JobControl = {},
): Promise<JobResult> {
  const play = new JobPlay(settings, job, control);
  return play.play();
}

class JobPlay {
  readonly #settings: RunnerSettings;
  readonly #job: JobResponse;
  readonly #observer: RunnerObserver;
  readonly #log: JobLog;
  readonly #places: JobPlaces;
  readonly #soft: AbortSignal;
  readonly #timeout = new AbortController();
  /** Job timeout or hard cancel. */
  readonly #hard: AbortSignal;
  readonly #records: StageRecord[] = [];
  readonly #stragglers: Promise<StageRecord>[] = [];
  readonly #hardCancel: AbortSignal;
  /** Resolves when the runner no longer waits for a run call, and goes on to cleanup beside it. */
  readonly #impatience: Promise<undefined>;

  constructor(settings: RunnerSettings, job: JobResponse, control: JobControl) {
    this.#settings = settings;
    this.#job = job;
    this.#observer = control.observer ?? {};
    this.#soft = control.softCancel ?? new AbortController().signal;
    this.#hardCancel = control.hardCancel ?? new AbortController().signal;
    this.#hard = AbortSignal.any([this.#hardCancel, this.#timeout.signal]);
    this.#impatience = after(this.#hard, settings.hardStopPatienceMs);
    this.#places = newPlaces(settings);
    const secrets = job.variables.filter(({ masked }) => masked).map(({ value }) => value);
    this.#log = new JobLog(secrets, this.#observer.logLine, settings.mostOutputKept);
  }

  async play(): Promise<JobResult> {
    const limit = Math.min(jobTimeoutSeconds(this.#job) * 1000, LONGEST_TIMER_MS);
    const timer = setTimeout(() => this.#timeout.abort(), limit);
    try {
      const failure = await this.#wholeJob();
      this.#log.say(failure === undefined ? 'Job succeeded' : failureLine(failure));
      return this.#result(failure);
    } finally {
      clearTimeout(timer);
    }
  }

  #result(failure: Failure | undefined): JobResult {
    return {
      verdict: verdictOf(failure),
      exitCode: failure?.kind === 'build-failure' ? failure.exitCode : undefined,
      failureReason: failure === undefined ? undefined : reasonOf(failure),
      jobLog: this.#log.text,
      stages: this.#records,
      stragglers: this.#stragglers,
    };
  }

  async #wholeJob(): Promise<Failure | undefined> {
    if (this.#settings.stages.run === undefined) {
      return { kind: 'configuration', text: 'custom executor is missing RunExec' };
    }
    this.#log.say('Preparing the "custom" executor');
    const prepared = await this.#prepareExecutor();
    if (!(prepared instanceof ExecutorAttempt)) return prepared;
    try {
      return await this.#runStages(prepared);
    } finally {
      await this.#cleanUp(prepared);
    }
  }

  // config and prepare, up to three times, each time in a new directory and with its own cleanup.
  async #prepareExecutor(): Promise<ExecutorAttempt | Failure> {
    for (let attempts = 1; ; attempts += 1) {
      const stopped = this.#stopReason();
      if (stopped !== undefined) return stopped;
      const attempt = await ExecutorAttempt.open(this.#settings, this.#job, this.#places);
      const failure = (await this.#configure(attempt)) ?? (await this.#prepare(attempt));
      if (failure === undefined) return attempt;
      await this.#cleanUp(attempt);
      // A build failure is final: this is how a driver refuses a job. So are a stop and useless directories.
      if (failure.kind !== 'system-failure') return failure;
      this.#log.say(`ERROR: Preparation failed: ${failure.text}`);
      this.#log.say(`Will be retried in ${goDuration(this.#settings.retryPauseMs)} ...`);
      await sleep(this.#settings.retryPauseMs);
      if (attempts === PREPARATION_ATTEMPTS) return failure;
    }
  }

  async #configure(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    if (this.#settings.stages.config === undefined) return this.#adopt(attempt, '');
    const record = await this.#call(
      'config',
      (parts) => attempt.call('config', parts),
      this.#preparationStop(),
      'stderr',
    );
    return this.#stopReason() ?? failureFrom(record.outcome) ?? this.#adopt(attempt, record.stdout);
  }

  #adopt(attempt: ExecutorAttempt, stdout: string): Failure | undefined {
    const parsed = parseConfigOutput(stdout);
    if (parsed.kind === 'bad') return { kind: 'system-failure', text: parsed.text };
    const { driver, shell } = parsed.result;
    const name = [driver?.name, driver?.version].filter((part) => part).join(' ');
    this.#log.say(driver?.name ? `Using Custom executor with driver ${name}...` : 'Using Custom executor...');
    const complaint = attempt.adopt(parsed.result);
    if (complaint !== undefined) return { kind: 'configuration', text: complaint };
    const known = ['', 'bash', 'sh'].includes(shell ?? '');
    return known ? undefined : { kind: 'system-failure', text: `shell ${shell} not found` };
  }

  async #prepare(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    if (this.#settings.stages.prepare === undefined) return undefined;
    const record = await this.#call('prepare', (parts) => attempt.call('prepare', parts), this.#preparationStop());
    return this.#stopReason() ?? failureFrom(record.outcome);
  }

  // cleanup has a fresh context: neither an expired job timeout nor a cancel shortens it, and its output goes elsewhere.
  async #cleanUp(attempt: ExecutorAttempt): Promise<void> {
    if (this.#settings.stages.cleanup !== undefined) {
      const limit = AbortSignal.timeout(this.#settings.execTimeoutMs);
      const record = await this.#call('cleanup', (parts) => attempt.call('cleanup', parts), limit, 'none');
      const failure = failureFrom(record.outcome);
      if (failure !== undefined) this.#log.say(`WARNING: Cleanup script failed: ${failure.text}`);
    }
    await attempt.close();
  }

  async #runStages(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    this.#log.say('Preparing environment');
    const unprepared = await this.#runStage(attempt, 'prepare_script', this.#softOrHard());
    if (unprepared !== undefined) return this.#stopReason() ?? withProfileAdvice(unprepared);
    const noSources = await this.#bringSources(attempt);
    const early = this.#stopReason();
    if (early !== undefined) return early;
    const failure = noSources ?? (await this.#userStages(attempt));
    if (this.#hard.aborted) return this.#stopReason();
    return (await this.#closingStages(attempt, failure)) ?? failure;
  }

  async #bringSources(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    this.#log.say('Getting source from Git repository');
    const failure = await this.#withRetries(attempt, 'get_sources', 'GET_SOURCES_ATTEMPTS');
    if (failure !== undefined) return failure;
    if ((this.#job.cache ?? []).length > 0) {
      const uncached = await this.#withRetries(attempt, 'restore_cache', 'RESTORE_CACHE_ATTEMPTS');
      if (uncached !== undefined) return uncached;
    }
    if ((this.#job.dependencies ?? []).length === 0) return undefined;
    return this.#withRetries(attempt, 'download_artifacts', 'ARTIFACT_DOWNLOAD_ATTEMPTS');
  }

  async #withRetries(attempt: ExecutorAttempt, name: string, setting: string): Promise<Failure | undefined> {
    const attempts = Math.min(10, Math.max(1, Number.parseInt(settingOf(this.#job, setting) ?? '1', 10) || 1));
    let pause = this.#settings.stageRetryPauseMs;
    for (let count = 1; ; count += 1) {
      const failure = await this.#runStage(attempt, name, this.#softOrHard());
      if (failure === undefined || count === attempts || this.#stopReason() !== undefined) return failure;
      this.#log.say('WARNING: Retrying...');
      await sleep(pause);
      pause = Math.min(pause * 2, LONGEST_RETRY_PAUSE_MS);
      if (name === 'get_sources') await this.#runStage(attempt, 'clear_worktree', this.#softOrHard());
    }
  }

  // The user's steps and after_script. A soft cancel stops the steps only; after_script still runs.
  async #userStages(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    const failure = await this.#userSteps(attempt);
    if (this.#hard.aborted) return this.#stopReason();
    this.#places.jobStatus = statusOf(failure);
    const hasAfterScript = this.#job.steps.some(({ name }) => name === 'after_script');
    if (!hasAfterScript) return failure;
    this.#log.say('Running after_script');
    const limit = AbortSignal.timeout(this.#duration('RUNNER_AFTER_SCRIPT_TIMEOUT') ?? AFTER_SCRIPT_TIMEOUT_MS);
    const late = await this.#runStage(attempt, 'after_script', AbortSignal.any([this.#hard, limit]));
    if (late === undefined || this.#hard.aborted) return failure;
    if (failure === undefined && settingOf(this.#job, 'AFTER_SCRIPT_IGNORE_ERRORS') === 'false') return late;
    this.#log.say(`WARNING: after_script failed, but job will continue unaffected: ${late.text}`);
    return failure;
  }

  async #userSteps(attempt: ExecutorAttempt): Promise<Failure | undefined> {
    this.#log.say('Executing "step_script" stage of the job script');
    this.#log.say(RENAMED_STAGE);
    const budget = this.#duration('RUNNER_SCRIPT_TIMEOUT');
    const limit = budget === undefined ? new AbortController().signal : AbortSignal.timeout(budget);
    const stop = AbortSignal.any([this.#softOrHard(), limit]);
    for (const { name } of this.#job.steps.filter((step) => step.name !== 'after_script')) {
      const failure = await this.#runStage(attempt, stageName(name), stop);
      if (this.#soft.aborted && !this.#hard.aborted) this.#log.say('WARNING: script canceled externally (UI, API)');
      const stopped = this.#stopReason();
      if (stopped !== undefined) return stopped;
      if (limit.aborted) return { kind: 'timeout', text: 'script timeout: context deadline exceeded' };
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  // Caches, artifacts, file variables. A soft cancel has no effect here any more.
  async #closingStages(attempt: ExecutorAttempt, failure: Failure | undefined): Promise<Failure | undefined> {
    const transfers = [
      (this.#job.cache ?? []).length > 0 ? (failure ? 'archive_cache_on_failure' : 'archive_cache') : undefined,
      (this.#job.artifacts ?? []).length > 0 ? `upload_artifacts_on_${failure ? 'failure' : 'success'}` : undefined,
    ];
    let own: Failure | undefined;
    for (const name of transfers) {
      if (name !== undefined) own ??= await this.#runStage(attempt, name, this.#hard);
      if (this.#hard.aborted) return this.#stopReason();
    }
    this.#log.say('Cleaning up project directory and file based variables');
    await this.#runStage(attempt, 'cleanup_file_variables', this.#hard);
    if (this.#hard.aborted) return this.#stopReason();
    return failure === undefined ? own : undefined;
  }

  async #runStage(attempt: ExecutorAttempt, name: string, stop: AbortSignal): Promise<Failure | undefined> {
    const call = this.#call(name, (parts) => attempt.runStage(name, parts), stop);
    const record = await Promise.race([call, this.#impatience]);
    if (record !== undefined) return failureFrom(record.outcome);
    this.#stragglers.push(call);
    this.#log.say('WARNING: Timed out waiting for the build to finish');
    return this.#stopReason();
  }

  async #call(
    name: string,
    start: (parts: CallParts) => Promise<StageRecord>,
    stop: AbortSignal,
    shown: 'both' | 'stderr' | 'none' = 'both',
  ): Promise<StageRecord> {
    const streams = { stdout: this.#log.open('stdout'), stderr: this.#log.open('stderr') };
    const isShown = (stream: OutputStream) => shown === 'both' || shown === stream;
    const record = await start({
      stop,
      onStart: (pid) => this.#observer.stageStarted?.(name, pid),
      onWarning: (text) => this.#log.say(`WARNING: ${text}`),
      onOutput: (stream, chunk) => {
        if (isShown(stream)) streams[stream].write(chunk);
        this.#observer.output?.(name, stream, chunk);
      },
    });
    streams.stdout.end();
    streams.stderr.end();
    this.#records.push(record);
    this.#observer.stageEnded?.(record);
    return record;
  }

  #softOrHard(): AbortSignal {
    return AbortSignal.any([this.#soft, this.#hard]);
  }

  #preparationStop(): AbortSignal {
    return AbortSignal.any([this.#softOrHard(), AbortSignal.timeout(this.#settings.execTimeoutMs)]);
  }

  #stopReason(): Failure | undefined {
    if (this.#timeout.signal.aborted && !this.#hardCancel.aborted) {
      const limit = goDuration(jobTimeoutSeconds(this.#job) * 1000);
      return { kind: 'timeout', text: `execution took longer than ${limit} seconds` };
    }
    return this.#soft.aborted || this.#hardCancel.aborted ? { kind: 'canceled', text: 'canceled' } : undefined;
  }

  #duration(setting: string): number | undefined {
    const text = settingOf(this.#job, setting);
    return text === undefined ? undefined : parseDuration(text);
  }
}

function statusOf(failure: Failure | undefined): JobPlaces['jobStatus'] {
  if (failure === undefined) return 'success';
  if (failure.kind === 'canceled') return 'canceled';
  return failure.kind === 'timeout' ? 'timedout' : 'failed';
}

function withProfileAdvice(failure: Failure): Failure {
  return {
    ...failure,
    text: `prepare environment: ${failure.text}. Check ${SHELL_PROFILE_ADVICE} for more information`,
  };
}

// Unreferenced: patience with a driver that is gone anyway must not keep the program alive.
function after(signal: AbortSignal, milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    const begin = () => setTimeout(resolve, milliseconds, undefined).unref();
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true });
  });
}
