// The whole output of a job whose log was too long for the runner: kept beside the account's builds, found by the
// path that the job log names, and gone after a while.

import { lstatSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Handoff } from '../../../contract/handoff.ts';
import { makePrivate } from '../../workspace.ts';

/** How long a log is kept, in days. */
export const KEPT_DAYS = 14;
const DAY_MS = 24 * 3600_000;

/**
 * Moves a job's output where cleanup leaves it alone, and removes logs that are older than `KEPT_DAYS`.
 * @returns where it lies now; undefined when it could not be moved
 */
export function keepLog(handoff: Handoff, output: string, name: string): string | undefined {
  try {
    return keep(handoff, output, name);
  } catch {
    return undefined; // its end is in the job log all the same
  }
}

function keep(handoff: Handoff, output: string, name: string): string {
  const directory = makePrivate(handoff, join(handoff.base, 'logs'));
  removeOld(directory);
  const path = join(directory, `${name}.log`);
  renameSync(output, path);
  return path;
}

function removeOld(directory: string): void {
  for (const name of readdirSync(directory).map((entry) => join(directory, entry))) {
    const stats = lstatSync(name, { throwIfNoEntry: false });
    if (stats?.isFile() && Date.now() - stats.mtimeMs > KEPT_DAYS * DAY_MS) rmSync(name, { force: true });
  }
}
