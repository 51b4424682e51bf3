// One audit line per decision, also when the job is refused: who asked for what, which rule decided. Its fields
// are gathered while the decision is made, so that a refusal tells as much as was known by then.

import { JacamarError } from '../contract/errors.ts';
import type { Job } from '../contract/job.ts';
import type { Log } from '../contract/log.ts';
import type { Claims } from './token.ts';

/** What is known so far; the names are those of the log. */
export interface Decision {
  readonly job: number;
  readonly stage: string;
  /** From the job response file, until the token is known to be this job's. */
  project: string;
  user_id: string | undefined;
  login?: string;
  account?: string;
  uid?: number;
  /** What allowed it; of a refusal it is the error's code. */
  rule?: string;
}

/** The token is this job's: from here on it says who asks. */
export function noteClaims(decision: Decision, claims: Claims): void {
  decision.project = claims.job_project_path ?? claims.project_path;
  decision.user_id = claims.user_id;
  decision.login = claims.user_login;
}

/** The account that was found, before any list is asked about it. */
export function noteAccount(decision: Decision, { name, uid }: { readonly name: string; readonly uid: number }): void {
  decision.account = name;
  decision.uid = uid;
}

/**
 * Makes a decision and logs it. A fault of the site is no decision: it has a line of its own, as every fault has.
 * @param make notes what it learns in its argument
 */
export async function decide<T>(
  { job, stage, log }: { readonly job: Job; readonly stage: string; readonly log: Log },
  make: (decision: Decision) => Promise<T>,
): Promise<T> {
  const decision: Decision = { job: job.id, stage, project: job.projectPath, user_id: job.userId?.toString() };
  try {
    const made = await make(decision);
    log.audit('info', 'authorization decision', { result: 'allowed', ...decision });
    return made;
  } catch (error) {
    if (error instanceof JacamarError && error.fault !== 'site') {
      log.audit('warn', 'authorization decision', { result: 'refused', ...decision, rule: error.code });
    }
    throw error;
  }
}
