// Runs a script as a batch job: one CI job is one job of the scheduler. before_script and script go there, every other
// stage of the runner stays on this host. The scheduler is data (batch/scheduler.ts); what stands here is the same
// for all of them.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { JobError } from '../../contract/errors.ts';
import type { Handoff } from '../../contract/handoff.ts';
import { type Lock, loadLock } from '../../contract/lock.ts';
import { openOutput } from '../../contract/output.ts';
import { endOfParent } from '../../contract/runner-life.ts';
import { loginOptions, markBeginning, OUTLIVES_SIGNALS, preamble, shellEnvironment } from '../login-shell.ts';
import { findProgram } from '../subprocess.ts';
import { judgeBudget } from './batch/budget.ts';
import { Commands } from './batch/commands.ts';
import { Commentary, remainingSeconds } from './batch/commentary.ts';
import { conclude } from './batch/conclusion.ts';
import { JobDirectory, withdraw } from './batch/job-directory.ts';
import { JobLog } from './batch/job-log.ts';
import { endLeftovers, endOrphans } from './batch/leftovers.ts';
import { submissionRemarks, submissionSection } from './batch/narrator.ts';
import { Overview } from './batch/overview.ts';
import { CLOCK, type Clock } from './batch/patience.ts';
import type { Scheduler, Submission } from './batch/scheduler.ts';
import { submissionArguments } from './batch/submission-arguments.ts';
import { type Entry, entryFor, Submissions } from './batch/submissions.ts';
import { submit } from './batch/submit.ts';
import { Tail } from './batch/tail.ts';
import { type Seen, type Watched, watch } from './batch/watch.ts';
import { wrapperText } from './batch/wrapper.ts';
import type { Executor } from './executor.ts';
import { runInShell } from './shell.ts';

/** The run stages that hold the user's own commands: build_script, step_script, and what GitLab names step_*. */
const SUBMITTED = /^(build_script|step_.*)$/;
/** Characters of `SCHEDULER_JOB_PREFIX` that are used: PBS takes names of up to 230. */
const LONGEST_PREFIX = 100;
/** After the death of jacamar-auth the runner waits for whoever holds its pipes no longer than 10 s. */
const ABANDONED_PATIENCE_MS = 3_000;

/** @param name of the executor in the configuration */
export function batchExecutor(scheduler: Scheduler, name: string): Executor {
  return {
    prepareScript: (script, runStage) => markBeginning(script, SUBMITTED.test(runStage) ? OUTLIVES_SIGNALS : ''),
    execute: async (task) => {
      const { handoff, place, stop } = task;
      if (SUBMITTED.test(handoff.runStage ?? '')) await runAsJob(open(scheduler, name, handoff, stop), place());
      else await runInShell(task);
    },
    cleanUp: async (handoff, stop) => {
      const batch = open(scheduler, name, handoff, stop);
      await endLeftovers(batch.submissions.of(handoff.job), batch);
    },
  };
}

/** What the steps below work with. */
interface Batch {
  readonly scheduler: Scheduler;
  readonly handoff: Handoff;
  readonly lock: Lock;
  readonly commands: Commands;
  readonly submissions: Submissions;
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

function open(scheduler: Scheduler, name: string, handoff: Handoff, stop: AbortSignal): Batch {
  const lock = loadLock();
  const commands = new Commands(scheduler, handoff, lock);
  const submissions = new Submissions(handoff, `${name}-${commands.destination}`);
  return { scheduler, handoff, lock, commands, submissions, clock: CLOCK, stop };
}

async function runAsJob(batch: Batch, script: string): Promise<void> {
  const { handoff, submissions } = batch;
  closeWhenAbandoned(batch);
  void endOrphans(batch); // what is not over when we are stays for the next job
  const name = jobName(handoff);
  const directory = new JobDirectory(dirname(script), name);
  const log = new JobLog(openOutput(1));
  const tail = new Tail(directory.output, handoff.settings.batch.outputLimitKib * 1024, log);
  try {
    const words = await argumentsFor(batch, log);
    const entry = await handOver(batch, { name, words, script, directory }, log);
    const requestedTime = batch.scheduler.requestedTime(words);
    const commentary = new Commentary({ ...batch, id: entry.id, requestedTime, log });
    const comment = (seen: Seen) => commentary.look(seen);
    const ending = await watch({ ...batch, ...waysToWatch(batch), entry, directory, log, tail, comment });
    // Cleanup looks for copies.
    if (!ending.isPerhapsAlive && !entry.mayHaveCopies) submissions.remove(entry);
    await conclude(batch, ending, { id: entry.id, log, tail, directory, name });
  } finally {
    withdraw(directory.path);
    tail.close();
    batch.commands.close();
  }
}

/** Cleanup cancels again what could not be cancelled by then. */
function closeWhenAbandoned({ commands, clock }: Batch): void {
  const close = () => void clock.pause(ABANDONED_PATIENCE_MS).then(() => commands.close());
  endOfParent().addEventListener('abort', close, { once: true });
}

/** What site and job ask for; refused before anything is submitted when it cannot end in time. */
async function argumentsFor({ scheduler, handoff, clock }: Batch, log: JobLog): Promise<readonly string[]> {
  const { batch: settings } = handoff.settings;
  const { words, notices } = submissionArguments(scheduler, settings, handoff.variables);
  await log.say(...notices);
  const requested = scheduler.requestedTime(words);
  const decision = judgeBudget({ policy: settings.budget, remaining: remainingSeconds(handoff, clock), requested });
  if (decision.kind === 'refuse') throw new JobError({ code: 'ERR_BUDGET', message: decision.text });
  if (decision.kind === 'warn') await log.say(decision.text);
  return words;
}

/** Unique, and in characters that no scheduler minds. */
function jobName({ job, settings, variables }: Handoff): string {
  const prefix = settings.batch.disableNamePrefix ? '' : (variables['SCHEDULER_JOB_PREFIX'] ?? '');
  const readable = prefix.replaceAll(/[^A-Za-z0-9_.-]/g, '_').slice(0, LONGEST_PREFIX);
  return `${readable}ci-${job.id}-${randomBytes(6).toString('hex')}`;
}

interface Given {
  readonly name: string;
  readonly words: readonly string[];
  readonly script: string;
  readonly directory: JobDirectory;
}

/** On record before the scheduler hears of it, so that no death of ours can leave it behind. */
async function handOver(batch: Batch, given: Given, log: JobLog): Promise<Entry & { readonly id: string }> {
  const { handoff, scheduler, commands, submissions, clock } = batch;
  const submission = prepare(batch, given);
  commands.find(scheduler.submit(submission).program); // without it there is nothing to look for later
  const { name, directory } = given;
  const entry = entryFor(handoff, { name, directory: directory.path, submittedAt: clock.date() });
  submissions.write(entry);
  try {
    const longestPauseMs = handoff.settings.batch.commandDelayMs;
    const { id, remarks, mayHaveCopies } = await submit(submission, {
      ...batch,
      longestPauseMs,
      say: (line) => log.say(line),
    });
    const known = { ...entry, id, mayHaveCopies };
    submissions.write(known); // before anything is told: nobody may be reading
    const details = submissionSection(scheduler.submit(submission), submission.output, clock.date());
    await log.say(...details, ...submissionRemarks(scheduler.title, remarks));
    return known;
  } catch (error) {
    // What was refused is nowhere; what got no answer may be.
    if (error instanceof JobError) submissions.remove(entry);
    throw error;
  }
}

function prepare(batch: Batch, { name, words, script, directory }: Given): Submission {
  const { scheduler, handoff } = batch;
  const { settings, variables } = handoff;
  const wrapper = directory.make(
    wrapperText({
      script,
      directory: directory.path,
      nonce: directory.nonce,
      bash: settings.shellPath ?? findProgram('bash'),
      options: loginOptions(variables),
      environment: environmentOf(batch),
      preamble: preamble(variables),
      unset: [...scheduler.unsetInJob, ...Object.keys(scheduler.environment.set)],
      output: scheduler.outputBy === 'scheduler' ? undefined : directory.output,
    }),
  );
  return {
    ...{ name, wrapper, arguments: words, directory: directory.path },
    output: scheduler.outputBy === 'wrapper' ? directory.schedulerOutput : directory.output,
    spool: directory.schedulerOutput,
    callsScheduler: scheduler.ownCommands?.test(readFileSync(script, 'latin1')) ?? false,
  };
}

/**
 * That of the login shell on this host. What the scheduler has set itself stays: its PATH, unless the site has set
 * another, and the variables that tell a job about itself, which nobody else's may replace.
 */
function environmentOf({ scheduler, handoff }: Batch): Record<string, string> {
  const isPathGiven = handoff.settings.userBashEnv.some((entry) => entry.startsWith('PATH='));
  const isOurs = (name: string) => (name === 'PATH' ? isPathGiven : !scheduler.environment.drop.test(name));
  return Object.fromEntries(Object.entries(shellEnvironment(handoff)).filter(([name]) => isOurs(name)));
}

function waysToWatch(batch: Batch): Pick<Watched, 'overview' | 'patience' | 'endLog'> {
  const { scheduler } = batch;
  const { settings } = batch.handoff;
  const { pollIntervalMinMs, pollIntervalMaxMs, nfsTimeoutMs } = settings.batch;
  // A scheduler that tells the end by itself need not be asked often.
  const shortest = scheduler.wait === undefined ? pollIntervalMinMs : pollIntervalMaxMs;
  const bounds = { pollIntervalMinMs: shortest, pollIntervalMaxMs };
  return {
    overview: new Overview({ ...batch, inquiry: scheduler.overview, bounds }),
    patience: { nfsTimeoutMs, killTimeoutMs: settings.killTimeoutMs },
    endLog: scheduler.endLog?.isSkipped(settings.batch) === false ? scheduler.endLog : undefined,
  };
}
