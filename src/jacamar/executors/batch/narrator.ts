// What the job log tells about a submission while it waits and runs: changes at once and once, then signs of life that
// grow rarer. No time stamps, since GitLab can show its own.

import { printable } from '../../../contract/text.ts';
import { durationText } from './durations.ts';
import type { Command, JobStatus, Reason } from './scheduler.ts';
import { collapsedSection } from './section.ts';

/** One look at a submission. */
export interface Seen {
  /** `Scheduler.title` */
  readonly scheduler: string;
  /** `Scheduler.runningState` */
  readonly runningState: string;
  readonly id: string;
  /** The last that is known; absent before the first answer. */
  readonly status?: JobStatus | undefined;
  /** Why it waits, in words. */
  readonly reason?: Reason | undefined;
  /** What the scheduler says instead of an answer, for as long as it gives none. */
  readonly silence?: string | undefined;
  /** Since the submission, in seconds. */
  readonly waited: number;
  /** In milliseconds since 1970. */
  readonly now: number;
  /** How many commands of the scheduler this job has cost so far. */
  readonly calls: number;
  /** How many answers in a row gave a reason that can never go away, and how many are enough to cancel the job. */
  readonly never?: { readonly count: number; readonly limit: number } | undefined;
}

/** Signs of life while it waits, in seconds: early ones, then one at each multiple of the last number. */
const EARLY_HEARTBEATS = [60, 120, 300] as const;
const HEARTBEAT = 600;
/** An expected start is told again when it has moved by more than this, in milliseconds. */
const MOVED_MS = 5 * 60_000;

/** Lines about what has changed since the look before; the first look has none before it. */
export function narrate(before: Seen | undefined, now: Seen): string[] {
  const news = [
    ...(before === undefined ? [`${now.scheduler} job ${now.id} is submitted.`] : []),
    ...silenceNews(before, now),
    ...placeNews(before, now),
    ...stateNews(before, now),
    ...startNews(before, now),
    ...neverNews(before, now),
  ];
  return news.length > 0 ? news : heartbeat(before, now);
}

/** How it was submitted, for those who want to know. */
export function submissionSection({ program, argv }: Command, output: string, now: number): string[] {
  const words = [program, ...argv].map((word) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${printable(word)}'`));
  const lines = [words.join(' '), `Output: ${printable(output)}`];
  return collapsedSection('batch_submission', 'Details of the submission', lines, now / 1000);
}

/** A plugin of the site that talks at length says the important part first. */
const MOST_REMARKS = 20;

/** What the scheduler said about a job that it took: a warning there explains much that happens later. */
export function submissionRemarks(scheduler: string, remarks: readonly string[]): string[] {
  if (remarks.length === 0) return [];
  const more = remarks.length - MOST_REMARKS;
  return [
    `${scheduler} took the job and says:`,
    ...remarks.slice(0, MOST_REMARKS).map((line) => `  ${printable(line.trimEnd())}`),
    ...(more > 0 ? [`  … and ${more} more lines.`] : []),
  ];
}

function silenceNews(before: Seen | undefined, { scheduler, silence }: Seen): string[] {
  const was = before?.silence;
  if (silence !== undefined && was === undefined) {
    return [
      `${scheduler} does not answer (${printable(silence)}). It is asked again; your job is not touched by that.`,
    ];
  }
  return silence === undefined && was !== undefined ? [`${scheduler} answers again.`] : [];
}

/** Where it was put: once, and again when somebody moves it. */
function placeNews(before: Seen | undefined, { scheduler, id, status }: Seen): string[] {
  // Later it would stand in the middle of the job's own output.
  const place = status?.phase === 'pending' ? placeOf(status) : '';
  if (place === '' || place === placeOf(before?.status)) return [];
  return [`${scheduler} job ${id}: ${place}`];
}

function placeOf(status: JobStatus | undefined): string {
  if (status === undefined || status.phase === 'ended') return '';
  const { partition, account, qos, timeLimit } = status;
  const parts = [
    partition === undefined ? undefined : `partition ${partition}`,
    account === undefined ? undefined : `account ${account}`,
    qos === undefined ? undefined : `qos ${qos}`,
    timeLimit === undefined ? undefined : `time limit ${Number.isFinite(timeLimit) ? durationText(timeLimit) : 'none'}`,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}

/** How it ended is for the verdict to say. */
function stateNews(before: Seen | undefined, now: Seen): string[] {
  const { scheduler, status } = now;
  const was = before?.status;
  if (status === undefined || status.phase === 'ended' || status.phase === 'ending') return [];
  const isChanged = was?.state !== status.state;
  if (status.isUnknownState) {
    return isChanged ? [`${scheduler} says ${status.state}, a state that is not known here; it counts as no end.`] : [];
  }
  if (status.phase === 'running') return isChanged ? runningNews(was, now) : [];
  const isBack = was?.phase === 'running' && !was.isUnknownState;
  const back = isBack ? [`${scheduler} has put the job back into the queue (${status.state}).`] : [];
  if (!isChanged && status.reason === was?.reason) return [];
  return [...back, `Waiting: ${whyOf(now)}.`];
}

function runningNews(was: JobStatus | undefined, { scheduler, runningState, status, waited }: Seen): string[] {
  if (status?.state !== runningState && was?.phase === 'running') return [`${scheduler} says ${status?.state}.`];
  if (was?.phase === 'running' && !was.isUnknownState) return [`The job goes on (${status?.state}).`];
  const where = status?.nodes === undefined ? '' : ` on ${printable(status.nodes)}`;
  return [`Running${where}, after ${durationText(waited)} in the queue.`];
}

function whyOf({ status, reason }: Seen): string {
  const { state = '', reason: word } = status ?? {};
  if (reason === undefined || word === undefined) return state;
  return `${reason.text} (${printable(word)})`;
}

function startNews(before: Seen | undefined, { status, now }: Seen): string[] {
  const start = status?.phase === 'pending' ? status.expectedStart : undefined;
  if (start === undefined) return [];
  const known = before?.status?.expectedStart;
  if (known !== undefined && Math.abs(start - known) <= MOVED_MS) return [];
  return [`Expected to start ${inWords((start - now) / 1000)}.`];
}

/** An expectation is worth its first digits at best. */
function inWords(seconds: number): string {
  if (seconds < 60) return 'at any moment';
  const step = seconds < 3600 ? 60 : seconds < 86_400 ? 600 : 3600;
  return `in about ${durationText(Math.round(seconds / step) * step)}`;
}

function neverNews(before: Seen | undefined, now: Seen): string[] {
  const { never } = now;
  if (never === undefined || never.count === 0 || never.count === before?.never?.count) return [];
  const left = never.limit - never.count;
  if (left <= 0) return [];
  const more = left === 1 ? 'one more answer says' : `${left} more answers say`;
  return [`As it is, this job can never start: ${whyOf(now)}. It is cancelled when ${more} the same.`];
}

function heartbeat(before: Seen | undefined, now: Seen): string[] {
  const isWaiting = now.status === undefined || now.status.phase === 'pending';
  if (before === undefined || !isWaiting || beats(before.waited) === beats(now.waited)) return [];
  const asked = `${now.scheduler} was asked ${now.calls} times by this job so far.`;
  return [`Still waiting after ${durationText(now.waited)}: ${newestOf(now)}. ${asked}`];
}

/** What was heard before a silence may be no longer so. */
function newestOf(now: Seen): string {
  const { scheduler, silence, status } = now;
  if (silence === undefined) return status === undefined ? `${scheduler} has not told of it yet` : whyOf(now);
  const before = status === undefined ? '' : `; before that: ${whyOf(now)}`;
  return `${scheduler} gives no answer (${printable(silence)})${before}`;
}

/** How many signs of life were due until then. */
function beats(waited: number): number {
  return EARLY_HEARTBEATS.filter((due) => due <= waited).length + Math.floor(waited / HEARTBEAT);
}
