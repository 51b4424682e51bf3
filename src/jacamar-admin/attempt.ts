// One attempt of the runner at one job: its private directory with the job response file, the environment of every
// driver call, and the calls themselves. `runner.ts` plays whole jobs with it; a test can also make a single call
// that no honest runner would make (run before config, cleanup twice, a foreign response file).
import { randomInt } from 'node:crypto';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DriverStage, RUNNER_ENVIRONMENT } from '../contract/custom-executor.ts';
import { stageScript } from './bash-script.ts';
import type { ConfigResult } from './config-output.ts';
import { callDriver, type DriverCall, FAILURE_EXIT_CODES, judge, type Outcome } from './driver-call.ts';
import { type JobResponse, responseFileText } from './job.ts';
import type { RunnerSettings } from './runner-settings.ts';
import { customEnvironment, expandVariables, projectDirectory, runnerVariables } from './variables.ts';

/** What the runner learns on the way and keeps from one attempt to the next. */
export interface JobPlaces {
  buildsDir: string;
  cacheDir: string;
  projectDir: string;
  hostname: string;
  jobStatus: 'running' | 'success' | 'failed' | 'canceled' | 'timedout';
}

/** One finished driver call. `name` is the driver stage, or the run stage for a call of `run`. */
export interface StageRecord {
  readonly name: string;
  readonly pid: number | undefined;
  readonly outcome: Outcome;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/** How one call differs from the runner's usual one. */
export interface CallParts extends Partial<Pick<DriverCall, 'onStart' | 'onOutput' | 'onWarning' | 'stop'>> {
  /** Instead of the configured arguments. */
  readonly args?: readonly string[];
  /** Laid over the environment; a value of undefined removes the variable. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A prepared attempt; `close` removes its directory. */
export class ExecutorAttempt {
  /** The runner's `custom-executor…` directory, also the working directory of every call. */
  readonly directory: string;
  /** `job_env` of the config output. */
  jobEnvironment: Readonly<Record<string, string>> = {};
  readonly places: JobPlaces;
  readonly #settings: RunnerSettings;
  readonly #job: JobResponse;

  private constructor(directory: string, settings: RunnerSettings, job: JobResponse, places: JobPlaces) {
    this.directory = directory;
    this.#settings = settings;
    this.#job = job;
    this.places = places;
  }

  /** Creates the private directory and the job response file. */
  static async open(
    settings: RunnerSettings,
    job: JobResponse,
    places = newPlaces(settings),
  ): Promise<ExecutorAttempt> {
    const directory = join(settings.temporaryRoot, `custom-executor${randomDigits()}`);
    const attempt = new ExecutorAttempt(directory, settings, job, places);
    await attempt.#makeDirectory(directory);
    await attempt.#write(attempt.responseFile, responseFileText(job), 0o600);
    return attempt;
  }

  get responseFile(): string {
    return join(this.directory, 'response.json');
  }

  get exitCodeFile(): string {
    return join(this.directory, 'build_exit_code');
  }

  /** Environment of the next call: the runner's own, its five fixed names, `job_env`, then the variables. */
  environment(): Record<string, string | undefined> {
    return {
      ...this.#settings.environment,
      TMPDIR: this.directory,
      [RUNNER_ENVIRONMENT.buildFailureExitCode]: String(FAILURE_EXIT_CODES.build),
      [RUNNER_ENVIRONMENT.systemFailureExitCode]: String(FAILURE_EXIT_CODES.system),
      [RUNNER_ENVIRONMENT.buildExitCodeFile]: this.exitCodeFile,
      [RUNNER_ENVIRONMENT.jobResponseFile]: this.responseFile,
      ...this.jobEnvironment,
      ...customEnvironment(this.#variables(), this.#job.services),
    };
  }

  /** Calls the driver once. For `run` see `runStage`, which writes the script first. */
  async call(stage: DriverStage, parts: CallParts = {}): Promise<StageRecord> {
    return this.#callAs(stage, stage, parts);
  }

  /** Writes a script as the runner generates it for this run stage, or the given text, and calls `run` with it. */
  async runStage(name: string, parts: CallParts & { readonly script?: string } = {}): Promise<StageRecord> {
    const script = parts.script ?? this.scriptFor(name);
    const directory = join(this.directory, `script${randomDigits()}`);
    const path = join(directory, 'script');
    await this.#makeDirectory(directory);
    await this.#write(path, script, 0o700);
    const args = parts.args ?? [...(this.#settings.stages.run?.args ?? []), path, name];
    return this.#callAs(name, 'run', { ...parts, args });
  }

  /** Text of the script of a run stage as things stand now. */
  scriptFor(name: string): string {
    const { projectDir, hostname } = this.places;
    return stageScript(name, { job: this.#job, variables: this.#variables(), projectDir, hostname });
  }

  /** Takes over what config asked for. Returns the runner's complaint when no job can run with that. */
  adopt(result: ConfigResult): string | undefined {
    const { places } = this;
    places.buildsDir = result.builds_dir ?? places.buildsDir;
    places.cacheDir = result.cache_dir ?? places.cacheDir;
    places.hostname = result.hostname ?? places.hostname;
    this.jobEnvironment = result.job_env ?? {};
    if (places.buildsDir === '') return 'the builds_dir is not configured';
    if (places.cacheDir === '') return 'the cache_dir is not configured';
    places.projectDir = projectDirectory(
      this.#job,
      places.buildsDir,
      result.builds_dir_is_shared ?? false,
      this.#facts(),
    );
    return undefined;
  }

  /** Removes the private directory. Safe to call twice. */
  async close(): Promise<void> {
    if (!this.#settings.keepDirectories) await rm(this.directory, { recursive: true, force: true });
  }

  async #callAs(name: string, stage: DriverStage, parts: CallParts): Promise<StageRecord> {
    const configured = this.#settings.stages[stage];
    const { gracefulKillMs, forceKillMs, mostOutputKept } = this.#settings;
    const end = await callDriver({
      ...parts,
      executable: configured?.executable ?? '',
      args: parts.args ?? configured?.args ?? [],
      directory: this.directory,
      environment: { ...this.environment(), ...parts.environment },
      account: this.#settings.account,
      stop: parts.stop ?? new AbortController().signal,
      gracefulKillMs,
      forceKillMs,
      mostKept: mostOutputKept,
    });
    const outcome = await judge(end, this.exitCodeFile);
    const { pid, durationMs } = end;
    return { name, pid, outcome, durationMs, stdout: end.stdout.toString(), stderr: end.stderr.toString() };
  }

  async #makeDirectory(path: string): Promise<void> {
    await mkdir(path, { mode: 0o700 });
    await this.#give(path);
  }

  async #write(path: string, text: string, mode: number): Promise<void> {
    await writeFile(path, text, { mode, flag: 'wx' });
    await this.#give(path);
  }

  async #give(path: string): Promise<void> {
    const { account } = this.#settings;
    if (account !== undefined) await chown(path, account.uid, account.gid);
  }

  #facts() {
    const { runnerToken, runnerVersion, concurrentId, concurrentProjectId, configuredEnvironment } = this.#settings;
    const { buildsDir, projectDir, jobStatus } = this.places;
    const own = { runnerToken, runnerVersion, concurrentId, concurrentProjectId, environment: configuredEnvironment };
    return { ...own, buildsDir: projectDir === '' ? '' : buildsDir, projectDir, jobStatus };
  }

  #variables() {
    return expandVariables(runnerVariables(this.#job, this.#facts()), `${this.places.projectDir}.tmp`);
  }
}

/** What the runner knows before the first attempt. */
export function newPlaces(settings: RunnerSettings): JobPlaces {
  const { buildsDir, cacheDir } = settings;
  return { buildsDir, cacheDir, projectDir: '', hostname: '', jobStatus: 'running' };
}

function randomDigits(): string {
  return String(randomInt(1, 2 ** 47));
}
