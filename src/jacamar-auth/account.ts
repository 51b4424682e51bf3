// The local account of a name, and what makes one unacceptable. Names come from the network: they are never
// read as numbers, never folded or normalized, and never looked up before their form is known.

import { normalize } from 'node:path';
import { AuthorizationError, SystemFailure } from '../contract/errors.ts';
import { hasControls, printable } from '../contract/text.ts';
import type { Credentials, PasswdEntry } from './credentials.ts';

/** A local Unix account, complete with all its groups. */
export type Account = PasswdEntry;

/** The site's limits on which accounts jobs may run as. */
export interface AccountRules {
  /** Lowest uid that may run jobs (`auth.min_uid`). */
  readonly minUid: number;
  /** Accounts with group 0 among their groups are refused unless this is set (`auth.allow_gid_zero`). */
  readonly allowGidZero: boolean;
  /** A shell that lets nobody in counts as one only where this names it (`auth.shell_allowlist`). */
  readonly shellAllowlist?: readonly string[] | undefined;
}

/** The common part of what GitLab and Linux take for a name; see useradd(8). */
const ACCOUNT_NAME = /^[a-z_][a-z0-9_.-]{0,31}$/;
/** -1 means "unchanged" to the kernel, 65534 and 65535 are the overflow ids. */
const RESERVED_UIDS = new Set([0, 65534, 65535, 0xffff_fffe, 0xffff_ffff]);
/** Programs that a site gives as shell to accounts which nobody may use: nologin(8), false(1). */
const CLOSED_SHELL = /(?:^|\/)(?:nologin|false)$/;
/** Longest wait for the name service, in milliseconds. */
const LOOKUP_LIMIT_MS = 10_000;

/**
 * Looks an account up once and checks it against every rule.
 * @throws {AuthorizationError} no such account, or not one that may run jobs
 * @throws {SystemFailure} the name service failed or took too long: that is no "not found"
 */
export async function findAccount(name: string, look: Pick<Credentials, 'lookUpAccount'>, rules: AccountRules) {
  if (!ACCOUNT_NAME.test(name)) throw refuse('ERR_ACCOUNT_NAME', `"${printable(name)}" is no acceptable account name`);
  const account = await lookUp(name, look);
  if (account === undefined) throw refuse('ERR_ACCOUNT_UNKNOWN', `there is no local account "${name}"`);
  checkAccount(name, account, rules);
  return account;
}

/**
 * Looks a name up without judging the account.
 * @returns undefined when there is none, or could be none under such a name
 */
export async function lookUp(name: string, { lookUpAccount }: Pick<Credentials, 'lookUpAccount'>) {
  return ACCOUNT_NAME.test(name) ? await inTime(`who "${name}" is`, () => lookUpAccount(name)) : undefined;
}

/** The number of a group; undefined when there is no such group. */
export async function lookUpGid(name: string, { lookUpGroup }: Pick<Credentials, 'lookUpGroup'>) {
  return await inTime(`which group "${printable(name)}" is`, () => lookUpGroup(name));
}

/** A name service that fails or hangs is a fault of this host, and no answer. */
async function inTime<T>(question: string, ask: () => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const late = setTimeout(
    () => limit.abort(new Error(`no answer within ${LOOKUP_LIMIT_MS / 1000} s`)),
    LOOKUP_LIMIT_MS,
  );
  try {
    return await Promise.race([ask(), rejection(limit.signal)]);
  } catch (cause) {
    throw new SystemFailure({
      code: 'ERR_NAME_SERVICE',
      message: `the name service cannot say ${question}: ${(cause as Error).message}`,
      publicMessage: 'The user database of this host does not answer; trying again later may help.',
      cause,
    });
  } finally {
    clearTimeout(late);
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function checkAccount(name: string, account: Account, rules: AccountRules): void {
  const { uid, gid, groups, home, shell } = account;
  const { minUid, allowGidZero, shellAllowlist } = rules;
  if (account.name !== name) {
    throw refuse('ERR_ACCOUNT_NAME', `the user database answers "${printable(account.name)}" when asked for "${name}"`);
  }
  if (RESERVED_UIDS.has(uid)) throw refuse('ERR_ACCOUNT_RESERVED', `"${name}" has the reserved uid ${uid}`);
  if (uid < minUid) throw refuse('ERR_ACCOUNT_UID', `"${name}" has uid ${uid}, below auth.min_uid ${minUid}`);
  // The launch itself takes no primary group 0, whatever the site allows.
  if (gid === 0) throw refuse('ERR_ACCOUNT_GROUP', `"${name}" has the primary group 0`);
  if (!allowGidZero && groups.includes(0)) {
    throw refuse('ERR_ACCOUNT_GROUP', `"${name}" is in group 0, and auth.allow_gid_zero is not set`);
  }
  if (CLOSED_SHELL.test(shell) && !shellAllowlist?.includes(shell)) {
    throw refuse(
      'ERR_ACCOUNT_SHELL',
      `"${name}" has the shell "${printable(shell)}" (shell_allowlist does not name it)`,
    );
  }
  if (!isUsableHome(home)) throw refuse('ERR_ACCOUNT_HOME', `"${name}" has the home directory "${printable(home)}"`);
}

function isUsableHome(home: string): boolean {
  const parts = home.split('/').slice(1);
  const isWhole = home.startsWith('/') && normalize(home) !== '/' && !parts.includes('..');
  return isWhole && !home.includes(':') && !hasControls(home);
}

function refuse(code: string, message: string): AuthorizationError {
  return new AuthorizationError({ code, message });
}
