// Soft limits that the runtime changes behind our back, or that a site wants raised for its jobs.

import type { Lock } from './lock.ts';
import type { Environment } from './program.ts';

/** The soft limit of open descriptors that the launcher found; nothing else can set this name for a program. */
const OPEN_FILES_VARIABLE = 'JACAMAR_OPEN_FILES';

type Limits = Pick<Lock, 'getLimit' | 'setSoftLimit'>;

/**
 * Takes back that Node raises the soft limit of open descriptors to the hard one when it starts: jobs are to find
 * the runner's limit. Programs that use select(2), or that close every possible descriptor, break or crawl with
 * a large one.
 */
export function restoreOpenFiles(environment: Environment, limits: Limits): void {
  const found = environment[OPEN_FILES_VARIABLE] ?? '';
  if (!/^[0-9]{1,20}$/.test(found)) return;
  if (BigInt(found) <= limits.getLimit('openFiles').hard) limits.setSoftLimit('openFiles', BigInt(found));
}

/** Calls `start` with the soft stack limit at the hard limit, which what it starts inherits. */
export function withLargestStack<T>(limits: Limits, start: () => T): T {
  const { soft, hard } = limits.getLimit('stack');
  limits.setSoftLimit('stack', hard);
  try {
    return start();
  } finally {
    limits.setSoftLimit('stack', soft);
  }
}
