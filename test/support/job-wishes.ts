// What a test wants of a job, and the job made of it: an honest one, apart from the parts that the test forges.

import type { GitLab, JobAnswer } from '../../src/jacamar-admin/gitlab.ts';
import {
  type JobFacts,
  type JobResponse,
  jobFacts,
  jobResponse,
  type VariableParts,
} from '../../src/jacamar-admin/job.ts';
import type { JobResult } from '../../src/jacamar-admin/runner.ts';
import type { RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import type { ConfigurationWishes, LogLine } from './world.ts';

export interface JobWishes {
  /** Default: the name of the world's first account. */
  readonly login?: string;
  readonly script?: string | readonly string[];
  readonly afterScript?: readonly string[];
  readonly variables?: readonly VariableParts[];
  readonly facts?: Partial<JobFacts>;
  /** The value of CI_JOB_JWT; null for a job without one. Default: the token that GitLab would issue. */
  readonly token?: ((facts: JobFacts) => string) | null;
  /** What the server says of the job when it is asked. */
  readonly answer?: JobAnswer;
  /** Last change to what the runner is given. */
  readonly forge?: (job: JobResponse) => JobResponse;
  /** Clone the repository; without it get_sources only makes the directory. */
  readonly git?: boolean;
  readonly options?: ConfigurationWishes;
  /** Path of a configuration, in place of `options`. */
  readonly configuration?: string;
  /** In front of the sub-command, such as `-u`. */
  readonly driverOptions?: readonly string[];
  readonly settings?: Partial<RunnerSettings>;
}

export interface PreparedJob {
  readonly facts: JobFacts;
  readonly response: JobResponse;
  readonly settings: RunnerSettings;
}

/** A job that has ended. */
export interface Played extends JobResult {
  readonly facts: JobFacts;
  /** What jacamar-auth logged about this job. */
  readonly log: readonly LogLine[];
}

const TOKEN_VARIABLE = 'CI_JOB_JWT';

/** Makes the job known to the server and puts together what the runner gets. */
export function prepareJob(gitlab: GitLab, account: string, wishes: JobWishes, settings: RunnerSettings): PreparedJob {
  const facts = jobFacts({ serverUrl: gitlab.url, login: wishes.login ?? account, ...wishes.facts });
  gitlab.addJob(facts, wishes.answer);
  const { token = (those: JobFacts) => gitlab.tokenFor(those) } = wishes;
  const withoutGit = wishes.git === true ? [] : [{ key: 'GIT_STRATEGY', value: 'none' }];
  const response = jobResponse(facts, {
    script: [wishes.script ?? 'true'].flat(),
    afterScript: wishes.afterScript ?? [],
    variables: [...withoutGit, ...(wishes.variables ?? [])],
    idTokens: token === null ? {} : { [TOKEN_VARIABLE]: token(facts) },
  });
  return { facts, response: wishes.forge?.(response) ?? response, settings };
}
