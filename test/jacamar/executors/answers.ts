// Answers of a scheduler's commands, and what was made of them.

import assert from 'node:assert/strict';
import type { Answer, Inquired, Inquiry, JobStatus } from '../../../src/jacamar/executors/batch/scheduler.ts';

export const said = (stdout: string, stderr = ''): Answer => ({ stdout, stderr, exitCode: 0 });
export const failed = (stderr: string, exitCode = 1, stdout = ''): Answer => ({ stdout, stderr, exitCode });
export const TIMED_OUT: Answer = { stdout: '', stderr: '', exitCode: undefined };

export function job(inquired: Inquired, id: string): JobStatus {
  assert.equal(inquired.kind, 'known');
  return (inquired.kind === 'known' ? inquired.jobs.get(id) : undefined) ?? assert.fail(`nothing about ${id}`);
}

/** The chain of forms, each asked where the site does not have the one before. */
export function formsOf(inquiry: Inquiry): Inquiry[] {
  return [inquiry, ...(inquiry.otherwise === undefined ? [] : formsOf(inquiry.otherwise))];
}

export const SUBMISSION = {
  name: 'ci-302_ab',
  arguments: [] as readonly string[],
  wrapper: '/home/a/job/wrapper.bash',
  output: '/home/a/job/output.log',
  spool: '/home/alice/spool',
  directory: '/home/a/job',
  callsScheduler: false,
};
