// `jacamar-admin workspace`: the build directories of all accounts by age and size, and their removal.

import { resolve } from 'node:path';
import { SystemFailure } from '../contract/errors.ts';
import { tell } from '../contract/program.ts';
import { type Credentials, loadCredentials } from '../jacamar-auth/credentials.ts';
import { jacamarExecutable } from '../jacamar-auth/jacamar-executable.ts';
import { readConfiguration } from '../jacamar-auth/site.ts';
import { findHouseholds, type Household } from './workspace-accounts.ts';
import { type Account, keepHouse, type Wishes } from './workspace-errand.ts';
import { describeAccount, describeTotals, ProgressReport, toJson } from './workspace-report.ts';

/** The command line. */
export interface WorkspaceOptions {
  readonly configuration: string;
  /** None: everybody. */
  readonly user: readonly string[];
  /** In milliseconds. */
  readonly olderThan?: number;
  /** In bytes, for each account. */
  readonly budget?: number;
  readonly dryRun: boolean;
  readonly json: boolean;
  /** In milliseconds, for each account. */
  readonly timeLimit?: number;
}

/** How many accounts are looked at side by side. */
const SIDE_BY_SIDE = 4;
const TIME_LIMIT_MS = 60 * 60_000;

/**
 * Lists, and removes what the options choose.
 * @returns whether everything could be done
 * @throws {SystemFailure} this process is not root's
 * @throws {ConfigurationError} the configuration cannot be used
 */
export async function workspace(
  options: WorkspaceOptions,
  write: (text: string) => void,
  stop: AbortSignal,
): Promise<boolean> {
  requireRoot();
  // Before the working directory is left, which is the first thing that harden does.
  const path = resolve(options.configuration);
  const credentials = loadCredentials();
  credentials.harden();
  const { general, auth } = readConfiguration(path);
  const census = { dataDir: general.dataDir, names: options.user, rules: auth, credentials };
  const { households, refusals } = await findHouseholds(census);
  for (const { name, reason } of refusals) tell(`${name}: ${reason}`);
  const jacamar = jacamarExecutable(auth.jacamarPath);
  const accounts = await visitAll({ households, options, jacamar, credentials, stop }, (account) => {
    if (!options.json) write(withLineEnd(describeAccount(account, Date.now() / 1000)));
  });
  write(withLineEnd(options.json ? toJson(accounts) : describeTotals(accounts)));
  const isWhole = ({ error, directories }: Account) =>
    error === undefined && directories.every(({ state }) => state !== 'remains');
  return refusals.length === 0 && !stop.aborted && accounts.every(isWhole);
}

function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  const message = 'workspace starts jacamar as each account, which only root may do; for your own: jacamar workspace';
  throw new SystemFailure({ code: 'ERR_NOT_ROOT', message, publicMessage: message });
}

function withLineEnd(text: string): string {
  return text === '' ? '' : `${text}\n`;
}

interface Tour {
  readonly households: readonly Household[];
  readonly options: WorkspaceOptions;
  readonly jacamar: string;
  readonly credentials: Credentials;
  readonly stop: AbortSignal;
}

async function visitAll(tour: Tour, onAccount: (account: Account) => void): Promise<Account[]> {
  const { households, options, jacamar, credentials, stop } = tour;
  const accounts: Account[] = [];
  const progress = new ProgressReport(households.length, tell);
  const next = households.values();
  const visit = async () => {
    // Each of the visitors takes the next one from the same iterator.
    for (const household of next) {
      if (stop.aborted) return;
      const onProgress = (entries: number) => progress.busy(household.account.name, entries);
      const account = await keepHouse({ household, wishes: wishesOf(options), jacamar, credentials, stop, onProgress });
      accounts.push(account);
      onAccount(account);
      progress.done();
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, visit));
  return accounts;
}

function wishesOf({ olderThan, budget, dryRun, timeLimit = TIME_LIMIT_MS }: WorkspaceOptions): Wishes {
  return {
    ...(olderThan === undefined ? {} : { olderThanMs: olderThan }),
    ...(budget === undefined ? {} : { budget }),
    remove: !dryRun && (olderThan !== undefined || budget !== undefined),
    timeLimitMs: timeLimit,
  };
}
