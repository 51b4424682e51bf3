// One CI job as GitLab hands it to a runner: the facts of the job, GitLab's list of variables, the steps.
// Also the text of the job response file, which is the runner's re-encoded view of the same.
// Everything here is a plain value, so a test can forge any part of it with a spread.
import { randomBytes, randomInt } from 'node:crypto';

/** One entry of GitLab's variable list, duplicates and order kept as sent. */
export interface JobVariable {
  readonly key: string;
  readonly value: string;
  readonly public: boolean;
  readonly file: boolean;
  readonly masked: boolean;
  readonly raw: boolean;
}

/** Key and value are enough; flags that are absent are false. */
export type VariableParts = Pick<JobVariable, 'key' | 'value'> & Partial<JobVariable>;

/** Who, where and what: the source of the response, of the token's claims and of `GET /api/v4/job`. */
export interface JobFacts {
  readonly serverUrl: string;
  readonly id: number;
  readonly token: string;
  readonly name: string;
  readonly stage: string;
  readonly pipelineId: number;
  readonly pipelineSource: string;
  readonly projectId: number;
  readonly projectPath: string;
  readonly namespaceId: number;
  readonly userId: number;
  readonly login: string;
  readonly userAccessLevel: string;
  readonly ref: string;
  readonly refType: 'branch' | 'tag';
  readonly refProtected: boolean;
  readonly sha: string;
  readonly repositoryUrl: string;
  readonly timeoutSeconds: number;
  readonly runnerId: number;
}

/** The part of a job that its author writes. */
export interface JobContents {
  /** `before_script` and `script` as one list, the way GitLab sends them. */
  readonly script: readonly string[];
  readonly afterScript?: readonly string[];
  /** Further steps between script and after_script, such as `release`. */
  readonly furtherSteps?: readonly JobStep[];
  readonly idTokens?: Readonly<Record<string, string>>;
  /** Project, pipeline and YAML variables; they follow GitLab's own and so override them. */
  readonly variables?: readonly VariableParts[];
  readonly image?: string;
  readonly services?: readonly JobService[];
  readonly artifacts?: readonly unknown[];
  readonly cache?: readonly unknown[];
}

interface JobStep {
  readonly name: string;
  readonly script: readonly string[];
  readonly timeout: number;
  readonly when: string;
  readonly allow_failure: boolean;
}

export interface JobService {
  readonly name: string;
  readonly alias?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly variables?: readonly VariableParts[];
}

/** The job response in the runner's spelling, as written to `JOB_RESPONSE_FILE`. */
export interface JobResponse {
  readonly id: number;
  readonly token: string;
  readonly allow_git_fetch: boolean;
  readonly job_info: Readonly<Record<string, string | number>> & { readonly project_id: number; readonly name: string };
  readonly git_info: {
    readonly repo_url: string;
    readonly repo_object_format: string;
    readonly ref: string;
    readonly sha: string;
    readonly before_sha: string;
    readonly ref_type: string;
    readonly refspecs: readonly string[];
    readonly depth: number;
    readonly protected: boolean | null;
  };
  readonly runner_info: { readonly uuid: string; readonly timeout: number };
  readonly inputs: Readonly<Record<string, never>>;
  readonly variables: readonly JobVariable[];
  readonly steps: readonly JobStep[];
  readonly image: { readonly name: string };
  readonly services: readonly JobService[] | null;
  readonly artifacts: readonly unknown[] | null;
  readonly cache: readonly unknown[] | null;
  readonly credentials: readonly unknown[] | null;
  readonly dependencies: readonly unknown[] | null;
  readonly features: Readonly<Record<string, unknown>>;
  readonly policy_options: Readonly<Record<string, unknown>>;
  readonly suspend_options: Readonly<Record<string, unknown>>;
}

const NO_COMMIT = '0'.repeat(40);

/** Tip of the sample repository (see repository.ts); its content and dates are fixed, so its name is too. */
export const SAMPLE_SHA = '42f78bd83334b04fc60f44b622a2f10643c24449';

// Reasons that a current server lists; the runner maps a reason that is missing here to an older one.
const FAILURE_REASONS = [
  'unknown_failure',
  'script_failure',
  'runner_system_failure',
  'job_execution_timeout',
  'runner_configuration_error',
  'runner_interrupted',
  'job_canceled',
];

/**
 * Facts of a job with defaults for everything but the server and the login.
 * The job id is random and far above real ones, so that a record left by a trial cannot meet a real job's.
 */
export function jobFacts(parts: Partial<JobFacts> & Pick<JobFacts, 'serverUrl' | 'login'>): JobFacts {
  const projectPath = parts.projectPath ?? 'demo/hello';
  const token = parts.token ?? `glcbt-64_${randomBytes(15).toString('base64url')}`;
  return {
    id: randomInt(2 ** 40, 2 ** 41),
    token,
    name: 'test-job',
    stage: 'test',
    pipelineId: 501,
    pipelineSource: 'push',
    projectId: 20,
    projectPath,
    namespaceId: 72,
    userId: 7,
    userAccessLevel: 'developer',
    ref: 'main',
    refType: 'branch',
    refProtected: true,
    sha: SAMPLE_SHA,
    repositoryUrl: withCredentials(`${parts.serverUrl}/${projectPath}.git`, token),
    timeoutSeconds: 3600,
    runnerId: 3,
    ...parts,
  };
}

/** What GitLab would answer a runner that asks for a job. */
export function jobResponse(facts: JobFacts, contents: JobContents): JobResponse {
  return {
    id: facts.id,
    token: facts.token,
    allow_git_fetch: true,
    job_info: jobInfo(facts),
    git_info: gitInfo(facts),
    runner_info: { uuid: '', timeout: facts.timeoutSeconds },
    inputs: {},
    variables: jobVariables(facts, contents),
    steps: steps(facts, contents),
    image: { name: contents.image ?? '' },
    services: contents.services ?? null,
    artifacts: contents.artifacts ?? null,
    cache: contents.cache ?? null,
    credentials: null,
    dependencies: null,
    features: { trace_sections: true, token_mask_prefixes: ['glpat-'], failure_reasons: FAILURE_REASONS },
    policy_options: {},
    suspend_options: {},
  };
}

/** A full list entry from key and value; flags that are absent are false. */
export function variable(parts: VariableParts): JobVariable {
  return { public: false, file: false, masked: false, raw: false, ...parts };
}

/**
 * Text of the job response file: one object and a newline. The runner is written in Go, whose JSON encoder escapes
 * the characters that are special in HTML and the two line separators of JavaScript.
 */
export function responseFileText(job: JobResponse): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `${JSON.stringify(job).replace(/[<>&\u2028\u2029]/g, escaped)}\n`;
}

function withCredentials(address: string, token: string): string {
  const url = new URL(address);
  url.username = 'gitlab-ci-token';
  url.password = token;
  return url.href;
}

function jobInfo(facts: JobFacts): JobResponse['job_info'] {
  return {
    name: facts.name,
    stage: facts.stage,
    pipeline_id: facts.pipelineId,
    project_id: facts.projectId,
    project_name: lastPart(facts.projectPath),
    project_full_path: facts.projectPath,
    namespace_id: facts.namespaceId,
    root_namespace_id: facts.namespaceId,
    organization_id: 1,
    instance_id: '',
    instance_uuid: '',
    user_id: facts.userId,
    time_in_queue_seconds: 1,
    project_jobs_running_on_instance_runners_count: '+Inf',
    queue_size: 0,
    queue_depth: 0,
  };
}

function gitInfo(facts: JobFacts): JobResponse['git_info'] {
  const kind = facts.refType === 'tag' ? 'tags' : 'heads';
  const target = facts.refType === 'tag' ? `refs/tags/${facts.ref}` : `refs/remotes/origin/${facts.ref}`;
  return {
    repo_url: facts.repositoryUrl,
    repo_object_format: 'sha1',
    ref: facts.ref,
    sha: facts.sha,
    before_sha: NO_COMMIT,
    ref_type: facts.refType,
    refspecs: [`+refs/${kind}/${facts.ref}:${target}`],
    depth: 20,
    protected: facts.refProtected,
  };
}

function steps(facts: JobFacts, contents: JobContents): JobStep[] {
  const timeout = facts.timeoutSeconds;
  const script: JobStep = {
    name: 'script',
    script: contents.script,
    timeout,
    when: 'on_success',
    allow_failure: false,
  };
  const after = contents.afterScript ?? [];
  if (after.length === 0) return [script, ...(contents.furtherSteps ?? [])];
  const afterStep: JobStep = { name: 'after_script', script: after, timeout, when: 'always', allow_failure: true };
  return [script, ...(contents.furtherSteps ?? []), afterStep];
}

// GitLab sends what belongs to the job first, then the id tokens, then project and pipeline facts, then what users wrote.
// A name may come twice; the runner lets the last one win.
function jobVariables(facts: JobFacts, contents: JobContents): JobVariable[] {
  const tokens = Object.entries(contents.idTokens ?? {}).map(([key, value]) => variable({ key, value, masked: true }));
  const secret = variable({ key: 'CI_JOB_TOKEN', value: facts.token, masked: true });
  return [
    ...shown(persistedVariables(facts)),
    secret,
    ...tokens,
    ...shown(serverVariables(facts)),
    ...shown(projectVariables(facts)),
    ...shown(pipelineVariables(facts)),
    ...(contents.variables ?? []).map(variable),
  ];
}

function shown(values: Readonly<Record<string, string | number>>): JobVariable[] {
  return Object.entries(values).map(([key, value]) => variable({ key, value: String(value), public: true }));
}

function persistedVariables(facts: JobFacts): Record<string, string | number> {
  const project = `${facts.serverUrl}/${facts.projectPath}`;
  return {
    CI_PIPELINE_ID: facts.pipelineId,
    CI_PIPELINE_URL: `${project}/-/pipelines/${facts.pipelineId}`,
    CI_JOB_ID: facts.id,
    CI_JOB_URL: `${project}/-/jobs/${facts.id}`,
    CI_JOB_NAME: facts.name,
    CI_JOB_NAME_SLUG: slug(facts.name),
    CI_JOB_STAGE: facts.stage,
    CI_NODE_TOTAL: 1,
  };
}

function serverVariables(facts: JobFacts): Record<string, string | number> {
  const url = new URL(facts.serverUrl);
  return {
    CI: 'true',
    GITLAB_CI: 'true',
    CI_SERVER_URL: facts.serverUrl,
    CI_SERVER_FQDN: url.host,
    CI_SERVER_HOST: url.hostname,
    CI_SERVER_PORT: url.port || (url.protocol === 'https:' ? 443 : 80),
    CI_SERVER_PROTOCOL: url.protocol.replace(':', ''),
    CI_SERVER_NAME: 'GitLab',
    CI_API_V4_URL: `${facts.serverUrl}/api/v4`,
    CI_RUNNER_ID: facts.runnerId,
    CI_RUNNER_DESCRIPTION: 'jacamar-admin trial',
    CI_RUNNER_TAGS: '[]',
    GITLAB_USER_ID: facts.userId,
    GITLAB_USER_LOGIN: facts.login,
    GITLAB_USER_NAME: facts.login,
    GITLAB_USER_EMAIL: `${facts.login}@example.com`,
  };
}

function projectVariables(facts: JobFacts): Record<string, string | number> {
  const namespace = facts.projectPath.split('/').slice(0, -1).join('/');
  return {
    CI_PROJECT_ID: facts.projectId,
    CI_PROJECT_NAME: lastPart(facts.projectPath),
    CI_PROJECT_TITLE: lastPart(facts.projectPath),
    CI_PROJECT_PATH: facts.projectPath,
    CI_PROJECT_PATH_SLUG: slug(facts.projectPath),
    CI_PROJECT_NAMESPACE: namespace,
    CI_PROJECT_NAMESPACE_ID: facts.namespaceId,
    CI_PROJECT_ROOT_NAMESPACE: namespace.split('/')[0] ?? '',
    CI_PROJECT_URL: `${facts.serverUrl}/${facts.projectPath}`,
    CI_PROJECT_VISIBILITY: 'private',
    CI_DEFAULT_BRANCH: 'main',
    CI_CONFIG_PATH: '.gitlab-ci.yml',
  };
}

function pipelineVariables(facts: JobFacts): Record<string, string | number> {
  const place = facts.refType === 'tag' ? 'CI_COMMIT_TAG' : 'CI_COMMIT_BRANCH';
  return {
    CI_PIPELINE_IID: 1,
    CI_PIPELINE_SOURCE: facts.pipelineSource,
    CI_COMMIT_SHA: facts.sha,
    CI_COMMIT_SHORT_SHA: facts.sha.slice(0, 8),
    CI_COMMIT_BEFORE_SHA: NO_COMMIT,
    CI_COMMIT_REF_NAME: facts.ref,
    CI_COMMIT_REF_SLUG: slug(facts.ref),
    [place]: facts.ref,
    CI_COMMIT_REF_PROTECTED: String(facts.refProtected),
    CI_COMMIT_MESSAGE: 'Initial commit',
    CI_COMMIT_TITLE: 'Initial commit',
    CI_COMMIT_AUTHOR: 'Demo <demo@example.com>',
  };
}

function lastPart(path: string): string {
  return path.split('/').at(-1) ?? path;
}

function slug(text: string): string {
  const harmless = text.toLowerCase().replace(/[^a-z0-9]/g, '-');
  return harmless.slice(0, 63).replace(/^-+|-+$/g, '');
}
