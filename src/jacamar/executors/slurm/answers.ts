// What the messages of Slurm's commands mean. They tell an outage from an unknown job by text alone: the exit code is
// the same. Texts of 22.05 and later, which are never translated.

import { printable } from '../../../contract/text.ts';
import type { Answer } from '../batch/scheduler.ts';

const OUTAGE = new RegExp(
  [
    'Unable to contact slurm controller',
    'Unable to contact slurm(?:dbd| database)',
    'Socket timed out',
    'Zero Bytes were transmitted',
    'Connection (?:refused|reset|timed out)',
    'standby mode',
    'authentication (?:error|credential|agent)',
    'Munge',
    'temporarily unable to accept job',
    'Resource temporarily unavailable',
    'Unexpected message received',
    'Could not establish a configuration source',
    'Unable to process configuration file',
    'error: (?:slurm_persist_conn|persistent connection)',
  ].join('|'),
  'i',
);

/** It could not be asked, whatever it answered besides. */
export function isOutage({ stderr, exitCode }: Answer): boolean {
  return exitCode === undefined || OUTAGE.test(stderr);
}

export function isUnknownJob({ stderr }: Answer): boolean {
  return /Invalid job id/i.test(stderr);
}

/** More lines of an error say nothing new. */
const MOST_LINES = 4;

/**
 * What a command gave as the cause, without its name in front; undefined when it said nothing. All of it, since what a
 * site's own plugin tells the user stands in a line of its own.
 */
export function errorText({ stderr, exitCode }: Answer): string | undefined {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^\w+: (?:(?:error|fatal): )?/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('Try "'));
  if (lines.length > 0) return printable(lines.slice(0, MOST_LINES).join('; '));
  return exitCode === undefined ? 'it gave no answer in time' : undefined;
}
