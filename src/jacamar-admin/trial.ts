// The command `jacamar-admin trial`: one job, played against the installed executables, with this process in the
// parts of the GitLab server and of the runner. It is how an administrator tests a deployment before a runner is
// registered, so it changes nothing outside its own directory and what the job itself writes.
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { JobError } from '../contract/errors.ts';
import { type GitLab, startGitLab } from './gitlab.ts';
import { type JobFacts, type JobResponse, jobFacts, jobResponse, type VariableParts, variable } from './job.ts';
import { type PipelineJob, readPipeline } from './pipeline.ts';
import { createRepository } from './repository.ts';
import { type JobControl, type JobResult, playJob } from './runner.ts';
import { driverStages, runnerSettings } from './runner-settings.ts';
import { adaptConfiguration, type TrialConfiguration } from './trial-configuration.ts';
import { TrialReport, type TrialWorld } from './trial-report.ts';
import { expandVariables } from './variables.ts';

/** The command line, parsed. */
export interface TrialOptions {
  readonly configuration: string;
  readonly user: string;
  readonly jacamarAuth: string;
  /** Takes the place of `general.executor`. */
  readonly executor?: string;
  readonly gitlabCi?: string;
  readonly job?: string;
  readonly script?: string;
  /** Seconds. */
  readonly timeout: number;
  /** Seconds. */
  readonly cancelAfter?: number;
  readonly variables: readonly string[];
  readonly idToken?: string;
  readonly aud?: string;
  readonly keep: boolean;
  readonly verbose: boolean;
  readonly unobfuscated: boolean;
}

/** Exit statuses of the command, apart from 2 for a trial that could not be played. */
const EXIT = { success: 0, failure: 1 } as const;

/** All of it is shown as it comes; what a job writes must not decide how much memory a process of root's takes. */
const MOST_OUTPUT_KEPT = 4 * 1024 * 1024;

const DEFAULT_SCRIPT = ['id', 'hostname', 'pwd'];

interface Stage {
  readonly directory: string;
  readonly gitlab: GitLab;
}

/**
 * Plays the job and prints it; the result is the exit status.
 * @throws JacamarError when the trial cannot be played.
 */
export async function trial(options: TrialOptions, world: TrialWorld): Promise<number> {
  const job = await wantedJob(options);
  const directory = await mkdtemp(join(tmpdir(), 'jacamar-trial-'));
  const repositoryRoot = join(directory, 'repositories');
  const gitlab = await startGitLab({ repositoryRoot });
  try {
    const result = await playTrial(options, world, job, { directory, gitlab });
    return result.verdict === 'success' ? EXIT.success : EXIT.failure;
  } finally {
    await gitlab.close();
    if (options.keep) world.write(`Kept: ${directory}\n`);
    else await rm(directory, { recursive: true, force: true });
  }
}

async function playTrial(
  options: TrialOptions,
  world: TrialWorld,
  job: PipelineJob,
  { directory, gitlab }: Stage,
): Promise<JobResult> {
  const path = resolve(options.configuration);
  const { executor } = options;
  const wishes = { serverUrl: gitlab.url, directory, ...(executor === undefined ? {} : { executor }) };
  const configuration = await adaptConfiguration(path, wishes);
  const facts = jobFacts({
    serverUrl: gitlab.url,
    login: options.user,
    name: job.name,
    stage: job.stage,
    timeoutSeconds: options.timeout,
    ...(configuration.runnerId === undefined ? {} : { runnerId: configuration.runnerId }),
  });
  await createRepository(join(directory, 'repositories'), facts.projectPath);
  gitlab.addJob(facts);
  const report = new TrialReport(
    world,
    {
      executable: resolve(options.jacamarAuth),
      user: options.user,
      configuration: path,
      changes: configuration.changes,
      job: options.gitlabCi === undefined ? 'the given script' : `${job.name} of ${options.gitlabCi}`,
      serverUrl: gitlab.url,
      logLocation: configuration.logLocation,
      warnings: job.warnings,
      isUnobfuscated: options.unobfuscated,
    },
    options.verbose,
  );
  report.header();
  const response = responseFor(options, job, configuration, facts, gitlab);
  const result = await playAsRunner(options, world, configuration, response, directory, report);
  report.verdict(result);
  return result;
}

async function playAsRunner(
  options: TrialOptions,
  world: TrialWorld,
  configuration: TrialConfiguration,
  response: JobResponse,
  directory: string,
  report: TrialReport,
): Promise<JobResult> {
  const temporaryRoot = join(directory, 'runner');
  await mkdir(temporaryRoot, { mode: 0o700 });
  const settings = runnerSettings({
    stages: driverStages({
      executable: resolve(options.jacamarAuth),
      configuration: configuration.path,
      options: options.unobfuscated ? ['-u'] : [],
    }),
    temporaryRoot,
    mostOutputKept: MOST_OUTPUT_KEPT,
    keepDirectories: options.keep,
  });
  const timer = cancelTimer(options.cancelAfter);
  const control: JobControl = {
    observer: report.observer(),
    softCancel: AbortSignal.any([world.cancel, timer.signal]),
    hardCancel: world.forceCancel,
  };
  try {
    return await playJob(settings, response, control);
  } finally {
    timer.clear();
  }
}

function cancelTimer(seconds: number | undefined): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  if (seconds === undefined) return { signal: controller.signal, clear: () => {} };
  const timer = setTimeout(() => controller.abort(), seconds * 1000);
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}

async function wantedJob(options: TrialOptions): Promise<PipelineJob> {
  if (options.gitlabCi !== undefined) return readPipeline(await readText(options.gitlabCi), options.job);
  const script = options.script === undefined ? DEFAULT_SCRIPT : [options.script];
  return { name: 'trial', stage: 'test', script, afterScript: [], variables: [], idTokens: [], warnings: [] };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${path}: ${(cause as Error).message}`;
    throw new JobError({ code: 'ERR_TRIAL_PIPELINE_FILE', message, cause });
  }
}

function responseFor(
  options: TrialOptions,
  job: PipelineJob,
  configuration: TrialConfiguration,
  facts: JobFacts,
  gitlab: GitLab,
): JobResponse {
  const variables = [...job.variables, ...options.variables.map(givenVariable)];
  const contents = { script: job.script, afterScript: job.afterScript, variables };
  const plain = jobResponse(facts, contents);
  const idTokens: Record<string, string> = {};
  for (const { name, aud } of wantedTokens(options, job, configuration, facts)) {
    const audiences = [aud].flat().map((one) => expandedText(one, plain));
    idTokens[name] = gitlab.tokenFor(facts, { aud: typeof aud === 'string' ? (audiences[0] ?? '') : audiences });
  }
  return jobResponse(facts, { ...contents, idTokens });
}

// The tokens that the file asks for; a trial without a file gives the one that jacamar-auth will look for.
function wantedTokens(
  options: TrialOptions,
  job: PipelineJob,
  configuration: TrialConfiguration,
  facts: JobFacts,
): PipelineJob['idTokens'] {
  const isAsked = options.idToken !== undefined || options.aud !== undefined || options.gitlabCi === undefined;
  if (!isAsked) return job.idTokens;
  const name = options.idToken ?? configuration.tokenVariable;
  const aud = options.aud ?? configuration.requiredAudience ?? facts.serverUrl;
  return [...job.idTokens.filter((token) => token.name !== name), { name, aud }];
}

function givenVariable(text: string): VariableParts {
  const [, key = '', value = ''] = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(text) ?? [];
  if (key !== '') return variable({ key, value });
  throw new JobError({ code: 'ERR_TRIAL_VARIABLE', message: `--variable ${text}: expected NAME=value` });
}

// GitLab expands variables in `aud` before it signs.
function expandedText(text: string, job: JobResponse): string {
  const entry = variable({ key: '', value: text });
  return expandVariables([...job.variables, entry], '').at(-1)?.value ?? text;
}
