// The site's rules on who and what may run here: lists of accounts and groups, shells, sources of pipelines,
// projects. Pure: a rule sees claims and an account and says which of its entries decided.

import { AuthorizationError } from '../contract/errors.ts';
import { printable } from '../contract/text.ts';
import type { Account } from './account.ts';
import type { Claims } from './token.ts';

/** The four lists. An absent allowlist asks for nothing; an empty one cannot be configured. */
export interface AccountLists {
  readonly userAllowlist: readonly string[] | undefined;
  readonly userBlocklist: readonly string[];
  readonly groupsAllowlist: readonly string[] | undefined;
  readonly groupsBlocklist: readonly string[];
}

/**
 * Judges an account by the lists, the strongest first: user_allowlist, user_blocklist, groups_blocklist,
 * groups_allowlist. Where an allowlist exists, an account on no list is refused.
 * @param groups names of all groups of the account that stand on one of the lists
 * @returns the rule that allowed it, for the record
 */
export function judgeByLists(name: string, groups: readonly string[], lists: AccountLists): string {
  if (lists.userAllowlist?.includes(name)) return `user_allowlist: ${name}`;
  if (lists.userBlocklist.includes(name)) throw refuse('ERR_USER_BLOCKED', `user_blocklist names "${name}"`);
  const blocking = groups.find((group) => lists.groupsBlocklist.includes(group));
  if (blocking !== undefined) {
    throw refuse('ERR_GROUP_BLOCKED', `groups_blocklist names "${blocking}", a group of "${name}"`);
  }
  const allowing = groups.find((group) => lists.groupsAllowlist?.includes(group));
  if (allowing !== undefined) return `groups_allowlist: ${allowing}`;
  if (lists.userAllowlist === undefined && lists.groupsAllowlist === undefined) return 'no allowlist';
  throw refuse('ERR_NOT_ALLOWED', `"${name}" is neither on user_allowlist nor in a group of groups_allowlist`);
}

/** The login shell must be on `shell_allowlist`, when there is one. */
export function requireShell({ name, shell }: Account, allowlist: readonly string[] | undefined): void {
  if (allowlist === undefined || allowlist.includes(shell)) return;
  throw refuse('ERR_SHELL_NOT_ALLOWED', `the shell "${printable(shell)}" of "${name}" is not on shell_allowlist`);
}

/** What the site wants of a job's claims; everything absent is not asked. */
export interface ClaimRules {
  readonly pipelineSourceAllowlist: readonly string[] | undefined;
  readonly allowForkPipelines: boolean;
  readonly projectAllowlist: readonly string[] | undefined;
  readonly namespaceAllowlist: readonly string[] | undefined;
  readonly requireProtectedRef: boolean;
  readonly minAccessLevel: AccessLevel | undefined;
  readonly runnerIdAllowlist: readonly number[] | undefined;
}

/** GitLab's roles in a project, the weakest first. */
export const ACCESS_LEVELS = ['guest', 'planner', 'reporter', 'developer', 'maintainer', 'owner'] as const;
type AccessLevel = (typeof ACCESS_LEVELS)[number];

/**
 * Judges what the token says of the job itself.
 * @throws {AuthorizationError} naming the rule and the claim
 */
export function requireClaims(claims: Claims, rules: ClaimRules): void {
  refuseForeignCode(claims, rules.allowForkPipelines);
  requireSource(claims, rules.pipelineSourceAllowlist);
  requireProject(claims, rules.projectAllowlist);
  requireNamespace(claims, rules.namespaceAllowlist);
  if (rules.requireProtectedRef && claims.ref_protected !== 'true') {
    throw refuse('ERR_REF_NOT_PROTECTED', `ref "${printable(claims.ref)}" is not protected (require_protected_ref)`);
  }
  requireAccessLevel(claims, rules.minAccessLevel);
  requireRunner(claims, rules.runnerIdAllowlist);
}

/**
 * Since GitLab 18.2 `project_id` names the fork in a fork's merge request pipeline, `job_project_id` the
 * project that runs it: code of one, rights of a member of the other.
 */
function refuseForeignCode(claims: Claims, allowed: boolean): void {
  if (allowed || claims.job_project_id === undefined || claims.job_project_id === claims.project_id) return;
  const source = printable(claims.project_path);
  throw refuse('ERR_FORK_PIPELINE', `code of "${source}" in a pipeline of another project (allow_fork_pipelines)`);
}

function requireSource({ pipeline_source: source }: Claims, allowlist: readonly string[] | undefined): void {
  if (allowlist === undefined || allowlist.includes(source)) return;
  throw refuse('ERR_PIPELINE_SOURCE', `pipeline source "${printable(source)}" is not on pipeline_source_allowlist`);
}

function requireProject(claims: Claims, allowlist: readonly string[] | undefined): void {
  const project = claims.job_project_path ?? claims.project_path;
  if (allowlist === undefined || allowlist.includes(project)) return;
  throw refuse('ERR_PROJECT_NOT_ALLOWED', `project "${printable(project)}" is not on project_allowlist`);
}

/** A listed namespace covers everything below it, by whole path parts. */
function requireNamespace(claims: Claims, allowlist: readonly string[] | undefined): void {
  const namespace = claims.job_namespace_path ?? claims.namespace_path;
  const covers = (listed: string) => namespace === listed || namespace.startsWith(`${listed}/`);
  if (allowlist === undefined || allowlist.some(covers)) return;
  throw refuse('ERR_NAMESPACE_NOT_ALLOWED', `namespace "${printable(namespace)}" is not on namespace_allowlist`);
}

function requireAccessLevel({ user_access_level: level }: Claims, minimum: AccessLevel | undefined): void {
  if (minimum === undefined) return;
  const rank = (ACCESS_LEVELS as readonly string[]).indexOf(level ?? '');
  if (rank >= ACCESS_LEVELS.indexOf(minimum)) return;
  throw refuse(
    'ERR_ACCESS_LEVEL',
    `access level "${printable(level ?? 'none')}" is below min_access_level "${minimum}"`,
  );
}

function requireRunner(
  { runner_id: id, runner_environment: environment }: Claims,
  allowlist: readonly number[] | undefined,
): void {
  if (environment !== undefined && environment !== 'self-hosted') {
    throw refuse('ERR_RUNNER_NOT_ALLOWED', `the token was made for a runner that is "${printable(environment)}"`);
  }
  if (allowlist === undefined || (id !== undefined && allowlist.includes(id))) return;
  throw refuse('ERR_RUNNER_NOT_ALLOWED', `runner ${id ?? 'unknown'} is not on runner_id_allowlist`);
}

function refuse(code: string, message: string): AuthorizationError {
  return new AuthorizationError({ code, message });
}
