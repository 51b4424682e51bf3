// The end of a run stage: the rest of the output, what the job used, the verdict, and the error that jacamar reports.

import type { Handoff } from '../../../contract/handoff.ts';
import { describeSize } from '../../../contract/size.ts';
import { printable } from '../../../contract/text.ts';
import type { Commands } from './commands.ts';
import { efficiencyCard } from './efficiency.ts';
import type { JobDirectory } from './job-directory.ts';
import type { JobLog } from './job-log.ts';
import { KEPT_DAYS, keepLog } from './kept-log.ts';
import { BackOff, type Clock } from './patience.ts';
import type { JobEnd, JobStatus, Scheduler, Usage } from './scheduler.ts';
import type { Tail } from './tail.ts';
import { type EndFacts, failureOf, verdictBox, verdictOf } from './verdict.ts';
import type { Ending } from './watch.ts';

/** Accounting hears of an end a moment later; so often it is asked. */
const HISTORY_TRIES = 3;
/** So long each time: a job that is over does not wait for what is only worth a line, in milliseconds. */
const HISTORY_LIMIT_MS = 10_000;
/** Of a summary of errors, in bytes. */
const SUMMARY_LIMIT = 4_096;

export interface Concluded {
  readonly scheduler: Scheduler;
  readonly handoff: Handoff;
  readonly commands: Commands;
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

export interface Job {
  readonly id: string;
  readonly name: string;
  readonly directory: JobDirectory;
  readonly log: JobLog;
  readonly tail: Tail;
}

/**
 * Says how the job ended.
 * @throws {JacamarError} unless it ended well
 */
export async function conclude(by: Concluded, ending: Ending, job: Job): Promise<void> {
  const { scheduler, commands } = by;
  const kept = await deliverOutput(by, ending, job);
  const recorded = await recordedStatus(by, ending, job.id);
  const usage = { ...ending.exit?.usage, ...ending.status?.usage, ...recorded?.usage };
  const end = await endOf(by, ending.status?.end, recorded?.end);
  const facts = factsOf(by, ending, { ...job, usage, kept, end });
  const verdict = verdictOf(facts);
  await job.log.say(
    ...errorSummary(by, job),
    ...efficiencyCard(usage),
    ...verdictBox(verdict, facts),
    `${scheduler.title} was asked ${commands.count} times by this job.`,
  );
  const failure = ending.failure ?? failureOf(verdict);
  if (failure !== undefined) throw failure;
}

/**
 * Passes on what is still to come: what the node has written may arrive late, but the wrapper has said how much it is.
 * @returns where all of it lies, when not all of it went to the job log
 */
async function deliverOutput(by: Concluded, { exit }: Ending, job: Job): Promise<string | undefined> {
  const { clock, stop, handoff } = by;
  const { tail, directory, name } = job;
  const deadline = clock.now() + handoff.settings.batch.nfsTimeoutMs;
  const isWhole = () => tail.size() >= (exit?.outputSize ?? 0);
  while (!isWhole() && clock.now() < deadline && !stop.aborted) await clock.pause(250, stop);
  let kept: string | undefined;
  await tail.finish(({ bytes, size }) => {
    kept = keepLog(handoff, directory.output, name);
    const place = kept === undefined ? 'could not be kept' : `${printable(kept)} (for ${KEPT_DAYS} days)`;
    const where = `All ${describeSize(size)} of it: ${place}`;
    return `[${describeSize(bytes)} of output are left out here, since the job log would be too long. ${where}]`;
  });
  return kept;
}

/** What scheduler and launcher complained about, for a job that wants to know. */
function errorSummary({ scheduler, handoff }: Concluded, { directory, name }: Job): string[] {
  const { errorLog, title } = scheduler;
  if (errorLog === undefined || handoff.variables[errorLog.variable] !== 'true') return [];
  const text = directory.endOf(errorLog.fileName(name), SUMMARY_LIMIT).trimEnd();
  if (text === '') return [`${title} wrote no errors.`];
  return [`The end of what ${title} wrote as errors:`, ...text.split('\n').map((line) => `  ${printable(line)}`)];
}

/** What accounting says, where there is some; it hears of an end a moment later. */
async function recordedStatus(by: Concluded, { status }: Ending, id: string): Promise<JobStatus | undefined> {
  const { history } = by.scheduler;
  if (history === undefined || status === undefined) return undefined;
  const backOff = new BackOff(by.clock, 500, 1_000);
  for (let tries = 0; tries < HISTORY_TRIES && !by.stop.aborted; tries++) {
    const { inquired } = await by.commands.ask(history, [id], { limitMs: HISTORY_LIMIT_MS });
    if (inquired.kind !== 'known') return undefined;
    const found = inquired.jobs.get(id);
    if (found?.phase === 'ended') return found;
    await backOff.pause(by.stop);
  }
  return undefined;
}

/** The scheduler's own memory is the better one, but only accounting may know who cancelled a job. */
async function endOf({ commands }: Concluded, ...ends: readonly (JobEnd | undefined)[]): Promise<JobEnd | undefined> {
  const [end] = ends.filter((each) => each !== undefined);
  const by = ends.find((each) => each?.by !== undefined)?.by;
  if (end === undefined || by === undefined) return end;
  return { ...end, by: /^[0-9]+$/.test(by) ? await commands.accountName(by) : by };
}

function factsOf(
  { scheduler, handoff }: Concluded,
  { exit, startedOn, status, ownStop, lost, isPerhapsAlive }: Ending,
  { id, directory, usage, kept, end }: Job & { usage: Usage; kept: string | undefined; end: JobEnd | undefined },
): EndFacts {
  const doubt = `${scheduler.title} has not confirmed that it is over; cleanup cancels it again.`;
  return {
    ...{ scheduler, id, ownStop, usage, end, evidence: lost ?? (isPerhapsAlive ? [doubt] : undefined) },
    marker: {
      isStarted: startedOn !== undefined || exit !== undefined,
      exitCode: exit?.progress.scriptCode,
      signal: exit?.signal,
      shell: exit === undefined ? undefined : { code: exit.shellCode, progress: exit.progress },
    },
    reason: status?.reason,
    timeLimit: status?.timeLimit,
    maxPending: (handoff.settings.batch.maxPendingMs ?? 0) / 1000,
    nodes: status?.nodes ?? startedOn,
    output: directory.output,
    keptOutput: kept ?? (handoff.settings.retainLogs ? directory.output : undefined),
  };
}
