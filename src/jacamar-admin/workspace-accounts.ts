// Whose build directories there may be. Nothing here looks into what belongs to a user: names come from the user
// database and, where all accounts have their directory side by side, from that place, which is root's.

import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { accountsDirectory, baseDirectory } from '../contract/directories.ts';
import { AuthorizationError, SystemFailure } from '../contract/errors.ts';
import { printable } from '../contract/text.ts';
import { type Account, type AccountRules, findAccount } from '../jacamar-auth/account.ts';
import type { Credentials } from '../jacamar-auth/credentials.ts';

/** An account, and where its CI files are if it has any. */
export interface Household {
  readonly account: Account;
  readonly base: string;
}

/** A name that was asked for and cannot be used, and why. */
interface Refusal {
  readonly name: string;
  readonly reason: string;
}

interface Census {
  readonly dataDir: string;
  /** Names that the administrator gave; none: all that can be found. */
  readonly names: readonly string[];
  readonly rules: AccountRules;
  readonly credentials: Pick<Credentials, 'lookUpAccount'>;
}

/**
 * Looks up all accounts that jobs may run as. Those that may not are told only when they were asked for by name.
 * @throws {SystemFailure} the place of all accounts cannot be listed
 */
export async function findHouseholds({ dataDir, names, rules, credentials }: Census) {
  const households: Household[] = [];
  const refusals: Refusal[] = [];
  for (const name of names.length > 0 ? names : await allNames(dataDir, rules)) {
    try {
      const account = await findAccount(name, credentials, rules);
      households.push({ account, base: baseDirectory(dataDir, account) });
    } catch (error) {
      if (names.length === 0 && error instanceof AuthorizationError) continue;
      refusals.push({ name: printable(name), reason: (error as Error).message });
    }
  }
  return { households, refusals };
}

async function allNames(dataDir: string, { minUid }: AccountRules): Promise<string[]> {
  const shared = accountsDirectory(dataDir);
  return shared === undefined ? await passwdNames(minUid) : await namesIn(shared);
}

async function namesIn(shared: string): Promise<string[]> {
  try {
    return await readdir(shared);
  } catch (cause) {
    const message = `${shared} (general.data_dir) cannot be listed: ${(cause as NodeJS.ErrnoException).code}; is it mounted?`;
    throw new SystemFailure({ code: 'ERR_DATA_DIR', message, publicMessage: message, cause });
  }
}

/** getent(1) asks the whole name service; what it does not list has to be given by name. */
async function passwdNames(minUid: number): Promise<string[]> {
  const { stdout } = await promisify(execFile)('getent', ['passwd'], { maxBuffer: 256 * 1024 * 1024 });
  const entries = stdout.split('\n').map((line) => line.split(':'));
  return entries.filter(([, , uid]) => Number(uid) >= minUid).map(([name = '']) => name);
}
