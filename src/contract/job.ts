// One CI job as typed data. What GitLab says of it stands in the job response file, outside `variables`;
// variables can be written by the job's author and are taken only after their form was checked.

import * as v from 'valibot';
import { CI_VARIABLE_PREFIX } from './custom-executor.ts';
import { JobError, SystemFailure } from './errors.ts';
import type { Environment } from './program.ts';
import { Secret } from './secret.ts';
import { printable } from './text.ts';

/** One entry of the job's variable list, as GitLab sent it: unexpanded, originals before overrides. */
interface JobVariable {
  readonly key: string;
  readonly value: Secret;
}

/** As they stand in the address, that is, in its encoding: the runner's scripts use them in this form. */
interface RepositoryCredentials {
  readonly username: string;
  readonly password: Secret;
}

/** A job as the server described it. Members are absent where a server is too old to send them. */
export interface Job {
  readonly id: number;
  readonly token: Secret;
  readonly name: string;
  readonly stage: string;
  readonly pipelineId: number | undefined;
  readonly projectId: number | undefined;
  readonly userId: number | undefined;
  /** Set for composite identities (an agent that acts for a person). */
  readonly scopedUserId: number | undefined;
  /** `group/subgroup/project`, each part harmless as a directory name. */
  readonly projectPath: string;
  /** Repository address without its credentials. */
  readonly repositoryUrl: string;
  /** Those that stand in that address; absent where there are none, or it is not one of http. */
  readonly repositoryCredentials: RepositoryCredentials | undefined;
  readonly commit: string;
  /** Job timeout in seconds, counted by the runner from the start of the job. */
  readonly timeoutSeconds: number;
  readonly variables: readonly JobVariable[];
}

const identifier = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** Zero and the empty string stand for "not sent by this server". */
const optionalIdentifier = v.pipe(
  v.optional(v.nullable(identifier), 0),
  v.transform((value) => value || undefined),
);
const text = v.optional(v.nullable(v.string()), '');

const jobResponse = v.object({
  id: v.pipe(identifier, v.minValue(1)),
  token: v.pipe(v.string(), v.minLength(1)),
  job_info: v.object({
    name: text,
    stage: text,
    pipeline_id: optionalIdentifier,
    project_id: optionalIdentifier,
    user_id: optionalIdentifier,
    scoped_user_id: optionalIdentifier,
  }),
  git_info: v.object({ repo_url: v.string(), sha: text }),
  runner_info: v.object({ timeout: v.optional(v.nullable(v.number()), 0) }),
  variables: v.optional(v.nullable(v.array(v.object({ key: v.string(), value: v.string() }))), []),
});

/** The runner's own value for a job without a timeout. */
const DEFAULT_TIMEOUT_SECONDS = 7200;

/**
 * Reads the text of the job response file.
 * @throws {SystemFailure} the runner's file is not what a runner writes
 */
export function parseJobResponse(json: string): Job {
  const response = v.safeParse(jobResponse, parseJson(json));
  if (!response.success) {
    const where = v.getDotPath(response.issues[0]) ?? 'the document';
    throw unreadable(`unexpected value of ${where}: ${response.issues[0].message}`);
  }
  const { id, token, job_info: info, git_info: git, runner_info: runner, variables } = response.output;
  const repository = parseRepositoryUrl(git.repo_url);
  return {
    id,
    token: new Secret(token),
    name: info.name ?? '',
    stage: info.stage ?? '',
    pipelineId: info.pipeline_id,
    projectId: info.project_id,
    userId: info.user_id,
    scopedUserId: info.scoped_user_id,
    projectPath: projectPath(repository, info.project_id),
    repositoryUrl: repository.href,
    repositoryCredentials: repositoryCredentials(git.repo_url),
    commit: git.sha ?? '',
    timeoutSeconds: runner.timeout && runner.timeout > 0 ? runner.timeout : DEFAULT_TIMEOUT_SECONDS,
    variables: (variables ?? []).map(({ key, value }) => ({ key, value: new Secret(value) })),
  };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw unreadable('it is not JSON', cause);
  }
}

function unreadable(why: string, cause?: unknown): SystemFailure {
  return new SystemFailure({ code: 'ERR_JOB_RESPONSE', message: `job response file cannot be used: ${why}`, cause });
}

function parseRepositoryUrl(url: string): URL {
  if (!URL.canParse(url)) throw unreadable('git_info.repo_url is not a URL');
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  return parsed;
}

function repositoryCredentials(url: string): RepositoryCredentials | undefined {
  const { protocol, username, password } = new URL(url);
  if (!/^https?:$/.test(protocol) || username === '' || password === '') return undefined;
  return { username, password: new Secret(password) };
}

/** The runner takes the path of the repository's URL; a URL without host gives `project-<id>`. */
function projectPath(repository: URL, projectId: number | undefined): string {
  if (repository.host === '') return `project-${projectId ?? 0}`;
  const path = repository.pathname.replace(/^\/+/, '').replace(/\.git$/, '');
  if (!path.split('/').every(isDirectoryName)) {
    throw new JobError({
      code: 'ERR_PROJECT_PATH',
      message: `The project path "${printable(path)}" cannot be used as a directory name; rename the project or its group.`,
    });
  }
  return path;
}

/** True for a single path component that is harmless under every shell and file system. */
export function isDirectoryName(name: string): boolean {
  return /^[A-Za-z0-9_.-]{1,255}$/.test(name) && name !== '.' && name !== '..' && !name.startsWith('-');
}

/** All values that the variable list holds under one name, in order. */
export function variableValues(job: Job, name: string): readonly Secret[] {
  return job.variables.filter(({ key }) => key === name).map(({ value }) => value);
}

/** The runner's numbers for a job. Any CI variable can forge them: good for a path, never for a decision. */
export interface RunnerNumbers {
  readonly shortToken: string;
  readonly concurrentId: number;
  readonly concurrentProjectId: number;
}

/**
 * Reads the runner's numbers, each in its strict form.
 * @throws {JobError} a CI variable of the same name holds something else
 */
export function readRunnerNumbers(environment: Environment): RunnerNumbers {
  return {
    shortToken: checked(environment, 'CI_RUNNER_SHORT_TOKEN', isShortToken),
    concurrentId: Number(checked(environment, 'CI_CONCURRENT_ID', isSmallNumber)),
    concurrentProjectId: Number(checked(environment, 'CI_CONCURRENT_PROJECT_ID', isSmallNumber)),
  };
}

/** Nine characters in practice; longer ones came from older runners. */
const isShortToken = (text: string) => text.length <= 64 && isDirectoryName(text);

const isSmallNumber = (text: string) => /^[0-9]{1,6}$/.test(text);

function checked(environment: Environment, name: string, isGood: (text: string) => boolean): string {
  const value = environment[`${CI_VARIABLE_PREFIX}${name}`];
  if (value === undefined) {
    throw new SystemFailure({
      code: 'ERR_RUNNER_ENVIRONMENT',
      message: `${CI_VARIABLE_PREFIX}${name} is missing from the environment; is this a call by GitLab Runner?`,
    });
  }
  if (isGood(value)) return value;
  throw new JobError({
    code: 'ERR_VARIABLE_FORGED',
    message: `The CI variable ${name} belongs to the runner, but the job set it to "${printable(value)}"; remove it.`,
  });
}
