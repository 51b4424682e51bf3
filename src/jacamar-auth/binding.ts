// Binds a token to this very job. A good signature only says that the server made the token for some job;
// anybody can put a colleague's token into a variable of his own. The job response file says which job
// this is, and no CI variable can change that part of it.

import { AuthorizationError } from '../contract/errors.ts';
import type { Job } from '../contract/job.ts';
import type { Secret } from '../contract/secret.ts';
import { printable } from '../contract/text.ts';
import type { Claims } from './token.ts';

/**
 * Refuses a token that was made for another job.
 * @throws {AuthorizationError} naming the claim, its value, and the job's
 */
export function bindToJob(claims: Claims, job: Job): void {
  requireEqual('job_id', claims.job_id, job.id);
  requireEqual('pipeline_id', claims.pipeline_id, job.pipelineId);
  requireEqual('user_id', claims.user_id, job.userId);
  requireEqual('project', claims.job_project_id ?? claims.project_id, job.projectId);
}

/** A value the server did not send (0 in the runner's file) cannot be compared; the job id is always there. */
function requireEqual(claim: string, value: string, expected: number | undefined): void {
  if (expected === undefined || value === String(expected)) return;
  throw new AuthorizationError({
    code: 'ERR_TOKEN_OF_ANOTHER_JOB',
    message: `the token was made for another job: ${claim} is "${printable(value)}", this job's is ${expected}`,
  });
}

/**
 * The one token among the values of a variable. A job variable of the same name may hide GitLab's own
 * entry; two different values mean that somebody tried.
 * @throws {AuthorizationError} two values that differ
 */
export function onlyValue(name: string, values: readonly Secret[]): Secret | undefined {
  const different = new Set(values.map((value) => value.reveal()));
  if (different.size <= 1) return values[0];
  throw new AuthorizationError({
    code: 'ERR_TOKEN_AMBIGUOUS',
    message: `variable ${printable(name)} stands ${values.length} times in the job, with different values`,
    publicMessage: `The variable ${printable(name)} holds the job's ID token; no other CI variable may have that name.`,
  });
}
