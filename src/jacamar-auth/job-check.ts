// Asks the server itself about the job, with the job's own token. The signed token does not say whether its
// user is a person: since GitLab 18.11 a project's maintainer can make a service account with a name of his
// choice, which would then run as the local account of that name (CVE-2026-107589). The server knows.

import * as v from 'valibot';
import { AuthorizationError, SystemFailure } from '../contract/errors.ts';
import type { Job } from '../contract/job.ts';
import { printable } from '../contract/text.ts';
import type { Answer } from './server.ts';
import type { Claims } from './token.ts';

/** Answers for a job that runs now: https://docs.gitlab.com/api/jobs/#get-job-tokens-job */
const JOB_PATH = '/api/v4/job';

/** What an older server leaves out cannot be compared; what it says must fit. */
const jobAnswer = v.object({
  id: v.number(),
  status: v.string(),
  pipeline: v.optional(v.object({ id: v.number() })),
  user: v.object({ id: v.number(), username: v.string(), bot: v.optional(v.nullable(v.boolean())) }),
});

/** What the site wants of the check. */
export interface JobCheckRules {
  /** `auto` goes on, with a line in the log, where a server cannot answer; `required` does not. */
  readonly mode: 'auto' | 'required';
  readonly allowBotAccounts: boolean;
}

/**
 * Refuses a job that the server does not know as this one, running, of this user, a person.
 * @returns what could not be checked and was let pass, for the log; undefined when all was checked
 * @throws {AuthorizationError} the server says something else
 * @throws {SystemFailure} the server gives no answer at the moment
 */
export async function checkJobAtServer(
  claims: Claims,
  job: Job,
  rules: JobCheckRules,
  ask: (path: string, headers: Record<string, string>) => Promise<Answer>,
): Promise<string | undefined> {
  const { status, body } = await ask(JOB_PATH, { 'job-token': job.token.reveal() });
  if (status === 404) return uncheckable(`GET ${JOB_PATH} is not offered by this server`, rules);
  if (status === 401 || status === 403) throw refuse(`the server does not take the job's token (${status})`);
  if (status !== 200) throw unavailable(`GET ${JOB_PATH} answered with status ${status}`);
  const answer = v.safeParse(jobAnswer, parse(body));
  if (!answer.success) return uncheckable(`the answer to GET ${JOB_PATH} is not understood`, rules);
  compare(claims, job, answer.output);
  return checkPerson(answer.output.user, rules);
}

function compare(claims: Claims, job: Job, { id, status, pipeline, user }: v.InferOutput<typeof jobAnswer>): void {
  if (id !== job.id) throw refuse(`the server takes the job's token for job ${id}, not ${job.id}`);
  if (String(user.id) !== claims.user_id) throw refuse(`the server names user ${user.id}, the token ${claims.user_id}`);
  if (user.username !== claims.user_login) {
    throw refuse(`the server names "${printable(user.username)}", the token "${printable(claims.user_login)}"`);
  }
  if (pipeline !== undefined && String(pipeline.id) !== claims.pipeline_id) {
    throw refuse(`the server names pipeline ${pipeline.id}, the token ${claims.pipeline_id}`);
  }
  if (status !== 'running') throw refuse(`the job's status at the server is "${printable(status)}", not running`);
}

function checkPerson(
  user: { username: string; bot?: boolean | null | undefined },
  rules: JobCheckRules,
): string | undefined {
  if (rules.allowBotAccounts || user.bot === false) return undefined;
  if (user.bot === undefined || user.bot === null)
    return uncheckable('the server does not say whether the user is a bot', rules);
  const message = `"${printable(user.username)}" is a bot or service account (allow_bot_accounts is not set)`;
  throw new AuthorizationError({ code: 'ERR_BOT_ACCOUNT', message });
}

function uncheckable(why: string, { mode }: JobCheckRules): string {
  if (mode === 'auto') return why;
  throw refuse(`${why}, and auth.verify_job is "required"`);
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function refuse(message: string): AuthorizationError {
  return new AuthorizationError({ code: 'ERR_JOB_CHECK', message });
}

function unavailable(message: string): SystemFailure {
  return new SystemFailure({
    code: 'ERR_SERVER_UNREACHABLE',
    message,
    publicMessage: 'The GitLab server cannot be asked about this job at the moment; trying again later may help.',
  });
}
