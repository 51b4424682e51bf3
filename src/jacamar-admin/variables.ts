// The runner's list of variables for one driver call, their expansion, and the CUSTOM_ENV_* environment made of them.
// Rebuilt from the runner's observable behaviour (16.x to 19.x): what stands before the job's own variables can be
// overridden by them, which is what a driver has to be tested against.
import { CI_VARIABLE_PREFIX } from '../contract/custom-executor.ts';
import { type JobResponse, type JobService, type JobVariable, variable } from './job.ts';

/** What the runner knows about itself and this job when it builds the list. */
export interface RunnerFacts {
  readonly runnerToken: string;
  readonly runnerVersion: string;
  readonly concurrentId: number;
  readonly concurrentProjectId: number;
  /** `environment` of the runner's configuration. */
  readonly environment: Readonly<Record<string, string>>;
  /** Empty until config has named them. */
  readonly buildsDir: string;
  readonly projectDir: string;
  readonly jobStatus: string;
}

// Flags that a driver can observe, with the runner's defaults. A job variable of the name sets the flag.
const FEATURE_FLAGS: Readonly<Record<string, string>> = {
  FF_ENABLE_BASH_EXIT_CODE_CHECK: 'false',
  FF_ENABLE_JOB_CLEANUP: 'false',
  FF_GIT_URLS_WITHOUT_TOKENS: 'false',
  FF_POSIXLY_CORRECT_ESCAPES: 'false',
  FF_SCRIPT_SECTIONS: 'false',
  FF_TIMESTAMPS: 'true',
  FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY: 'true',
  FF_USE_LEGACY_BASH_EVAL: 'false',
};

const TOKEN_PREFIX = /^(?:glrt-(?:t[1-3]_)?|glrtr-|glcbt-|t[1-3]_|GR[0-9a-fA-F]{7})/;
const SHORT_TOKEN_LENGTH = 9;
const DEFAULT_TIMEOUT_SECONDS = 7200;

/** The whole list, unexpanded, in the runner's order; of a repeated name the last entry counts. */
export function runnerVariables(job: JobResponse, facts: RunnerFacts): JobVariable[] {
  const own = job.variables.filter(({ key }) => !(key in FEATURE_FLAGS));
  return [
    ...listed(featureFlags(job)),
    ...listed(job.image.name === '' ? {} : { CI_JOB_IMAGE: job.image.name }),
    ...listed({ CI_RUNNER_SHORT_TOKEN: shortToken(facts.runnerToken) }),
    ...listed(facts.environment),
    ...listed(placeVariables(job, facts)),
    ...own,
    ...listed(versionVariables(facts)),
    variable({ key: 'RUNNER_TEMP_PROJECT_DIR', value: `${facts.projectDir}.tmp`, public: true }),
  ];
}

/**
 * Replaces references once, from the unexpanded values of the whole list. It is not shell syntax: unknown names and
 * `${NAME:-default}` become empty, `$$` one dollar, a file variable its path. Raw entries stay as they are.
 */
export function expandVariables(list: readonly JobVariable[], temporaryDirectory: string): JobVariable[] {
  const values = new Map(
    list.map((entry) => [entry.key, entry.file ? `${temporaryDirectory}/${entry.key}` : entry.value]),
  );
  const lookUp = (name: string) => (name === '$' ? '$' : (values.get(name) ?? ''));
  return list.map((entry) => (entry.raw ? entry : { ...entry, value: expand(entry.value, lookUp) }));
}

/** Every variable under the driver's prefix; file variables by content, masked ones in clear. */
export function customEnvironment(
  expanded: readonly JobVariable[],
  services: readonly JobService[] | null,
): Record<string, string> {
  const entries = expanded.map(({ key, value }) => [`${CI_VARIABLE_PREFIX}${key}`, value] as const);
  return { ...Object.fromEntries(entries), [`${CI_VARIABLE_PREFIX}CI_JOB_SERVICES`]: servicesText(services ?? []) };
}

/** First nine characters of the runner's token behind its prefix. */
export function shortToken(runnerToken: string): string {
  return runnerToken.replace(TOKEN_PREFIX, '').slice(0, SHORT_TOKEN_LENGTH);
}

/** `<builds>/<project path>`, with token and number in front when the builds directory is shared. */
export function projectDirectory(job: JobResponse, buildsDir: string, shared: boolean, facts: RunnerFacts): string {
  const middle = shared ? `/${shortToken(facts.runnerToken)}/${facts.concurrentProjectId}` : '';
  return `${buildsDir}${middle}/${projectPath(job)}`;
}

/** The runner takes the path from the repository's URL, not from the variables, which can be forged. */
function projectPath(job: JobResponse): string {
  const url = new URL(job.git_info.repo_url);
  if (url.host === '') return `project-${job.job_info.project_id}`;
  return url.pathname.replace(/^\/+/, '').replace(/\.git$/, '');
}

/** Value of a job variable as the runner reads its own settings: expanded, last entry wins. */
export function settingOf(job: JobResponse, key: string): string | undefined {
  return expandVariables(job.variables, '').findLast((entry) => entry.key === key)?.value;
}

/** Job timeout in seconds; the runner has a default of its own for servers that send none. */
export function jobTimeoutSeconds(job: JobResponse): number {
  return job.runner_info.timeout > 0 ? job.runner_info.timeout : DEFAULT_TIMEOUT_SECONDS;
}

function listed(values: Readonly<Record<string, string>>): JobVariable[] {
  return Object.entries(values).map(([key, value]) => variable({ key, value, public: true }));
}

function featureFlags(job: JobResponse): Record<string, string> {
  const flags = Object.entries(FEATURE_FLAGS).map(([name, standard]) => {
    const wished = settingOf(job, name);
    return [name, wished === undefined ? standard : String(/^(1|t|true)$/i.test(wished))] as const;
  });
  return Object.fromEntries(flags);
}

function placeVariables(job: JobResponse, facts: RunnerFacts): Record<string, string> {
  return {
    CI_BUILDS_DIR: facts.buildsDir,
    CI_PROJECT_DIR: facts.projectDir,
    CI_CONCURRENT_ID: String(facts.concurrentId),
    CI_CONCURRENT_PROJECT_ID: String(facts.concurrentProjectId),
    CI_SERVER: 'yes',
    CI_JOB_STATUS: facts.jobStatus,
    CI_JOB_TIMEOUT: String(jobTimeoutSeconds(job)),
  };
}

function versionVariables(facts: RunnerFacts): Record<string, string> {
  return {
    CI_SHARED_ENVIRONMENT: 'true',
    CI_RUNNER_VERSION: facts.runnerVersion,
    CI_RUNNER_REVISION: 'trial',
    CI_RUNNER_EXECUTABLE_ARCH: 'linux/amd64',
  };
}

function servicesText(services: readonly JobService[]): string {
  if (services.length === 0) return '';
  return JSON.stringify(
    services.map((service) => ({
      name: service.name,
      alias: service.alias?.split(/[\s,]+/)[0] ?? '',
      entrypoint: service.entrypoint ?? null,
      command: service.command ?? null,
      ...(service.variables === undefined ? {} : { variables: service.variables }),
    })),
  );
}

// The rules of Go's os.Expand: a dollar before anything that is no name stays, an unclosed or empty brace is eaten.
const REFERENCE = /\$(?:\{([^}]*)\}|(\{)|([*#$@!?0-9-])|([A-Za-z0-9_]+))/g;

function expand(text: string, lookUp: (name: string) => string): string {
  return text.replace(REFERENCE, (_whole, braced?: string, open?: string, special?: string, name?: string) => {
    if (open !== undefined) return '';
    return lookUp(braced ?? special ?? name ?? '');
  });
}
