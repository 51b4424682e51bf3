// From the login of the token to the name of a local account, without a script: the same name, or what the
// site's table says. Also who is no person, as far as a name can tell.

import { AuthorizationError } from '../contract/errors.ts';
import { printable } from '../contract/text.ts';
import type { Claims } from './token.ts';

/** One `[[auth.mapping]]` entry: who, as which account, and in which projects. */
export interface Mapping {
  readonly login?: string | undefined;
  readonly userId?: number | undefined;
  readonly account: string;
  readonly projects?: readonly string[] | undefined;
}

/**
 * Names that GitLab gives to tokens of projects and groups (older ones end in a counter) and to its own accounts.
 * A person can bear one too.
 */
const BOT_NAME = /^(?:(?:project|group)_[0-9]+_bot|service_account_)|^(?:ghost|support-bot|alert-bot)$/;

/** True for a login that looks like a bot's. That others do not look so proves nothing; see job-check.ts. */
export function looksLikeBot(login: string): boolean {
  return BOT_NAME.test(login);
}

/**
 * The first entry that names this user and covers this project; undefined when no entry names the user.
 * @throws {AuthorizationError} the user is named, but in no entry for this project
 */
export function findMapping(claims: Claims, mappings: readonly Mapping[]): Mapping | undefined {
  const mine = mappings.filter((mapping) => names(mapping, claims));
  if (mine.length === 0) return undefined;
  const project = claims.job_project_path ?? claims.project_path;
  const found = mine.find(({ projects }) => projects === undefined || projects.includes(project));
  if (found) return found;
  const message = `auth.mapping names "${printable(claims.user_login)}", but not for project "${printable(project)}"`;
  throw new AuthorizationError({ code: 'ERR_MAPPING_PROJECT', message });
}

/** Every member that an entry has must fit; a login alone can be renamed by its owner, a user id cannot. */
function names({ login, userId }: Mapping, claims: Claims): boolean {
  const loginFits = login === undefined || login === claims.user_login;
  const idFits = userId === undefined || String(userId) === claims.user_id;
  return loginFits && idFits && (login !== undefined || userId !== undefined);
}
