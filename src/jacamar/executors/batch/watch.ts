// Watches one batch job to its end. Markers and output, which cost the scheduler nothing, are looked at often while
// something happens, and at least every few seconds; the scheduler itself is asked rarely, and what it says has three
// values: there, ended, no answer. No answer is never taken for an end.

import { JacamarError, SystemFailure } from '../../../contract/errors.ts';
import { type Cancelled, cancelJob } from './cancel.ts';
import type { Commands } from './commands.ts';
import type { JobDirectory, Markers } from './job-directory.ts';
import type { JobLog } from './job-log.ts';
import type { Look, Overview } from './overview.ts';
import { BackOff, type Clock } from './patience.ts';
import type { EndLog, Inquired, JobEnd, JobStatus, Scheduler } from './scheduler.ts';
import type { Entry } from './submissions.ts';
import type { Tail } from './tail.ts';
import type { OwnStop } from './verdict.ts';
import type { ExitMarker } from './wrapper.ts';

/** So that a line of a job that writes is passed on within a second. */
const LOOK_EVERY_MS = 750;
/** While nothing happens: hundreds of jobs look at one file system. The runner sends its log every 3 s, too. */
const LOOK_AT_LEAST_EVERY_MS = 3_000;
const LOOK_GROWTH = 1.25;
/** How much later than the wrapper the scheduler may learn that a job runs, in milliseconds. */
const START_LAG_MS = 2_000;
/** How long a scheduler may still call a job running whose script has ended (epilog), in milliseconds. */
const EPILOG_LIMIT_MS = 60_000;
/** Answers in a row without the job, before it may count as lost. */
const ROUNDS_UNTIL_LOST = 3;
const INTERVALS_UNTIL_LOST = 2.5;

/** What is seen of a job at one moment; the narrator tells what is new in it. */
export interface Seen {
  /** Milliseconds since the submission. */
  readonly elapsedMs: number;
  readonly startedOn: string | undefined;
  /** The newest that the scheduler said, also while it is silent. */
  readonly status: JobStatus | undefined;
  /** Increases with every answer of the scheduler. */
  readonly answers: number;
  /** Why it gives no answer, as long as it does not. */
  readonly silence: string | undefined;
}

/** How a job ended, with everything that the verdict needs. */
export interface Ending {
  readonly exit: ExitMarker | undefined;
  readonly startedOn: string | undefined;
  readonly status: JobStatus | undefined;
  /** Why we ended it. */
  readonly ownStop: OwnStop | undefined;
  /** What went wrong on this side, so that we ended it. */
  readonly failure: JacamarError | undefined;
  /** We cancelled it, and do not know that it is over. */
  readonly isPerhapsAlive: boolean;
  /** Nobody knows of the job: what was seen instead. */
  readonly lost: readonly string[] | undefined;
}

/** What a watch works with. */
export interface Watched {
  readonly entry: Entry & { readonly id: string };
  readonly scheduler: Scheduler;
  /** That of the scheduler, unless the site does without. */
  readonly endLog?: EndLog | undefined;
  readonly commands: Commands;
  readonly overview: Overview;
  readonly directory: JobDirectory;
  readonly log: JobLog;
  readonly tail: Tail;
  readonly patience: {
    /** How late a file written on a compute node may appear here, in milliseconds. */
    readonly nfsTimeoutMs: number;
    /** How long we may take to end when the runner wants it, in milliseconds. */
    readonly killTimeoutMs: number;
  };
  readonly stop: AbortSignal;
  readonly clock: Clock;
  /** Tells what is new; returns why the job shall be ended, if it shall. */
  comment(seen: Seen): Promise<OwnStop | undefined>;
}

/** Returns when the job has ended, or nothing more can be learned of it. */
export async function watch(watched: Watched): Promise<Ending> {
  return await new Watch(watched).untilEnd();
}

class Watch {
  readonly #with: Watched;
  readonly #submitted: number;
  #markers: Markers = { startedOn: undefined, exit: undefined, againOn: undefined };
  #status: JobStatus | undefined;
  /** When it was asked for, or before that, in milliseconds since 1970: a silent scheduler makes it no newer. */
  #statusAskedAt = 0;
  #look: Look | undefined;
  #answers = 0;
  #asking: Promise<void> | undefined;
  #failure: unknown;
  #stopping: Promise<Ending> | undefined;
  /** Since the scheduler called it ended although no marker says so, in milliseconds of the process's clock. */
  #endedSince: number | undefined;
  #absence: Absence | undefined;
  /** An answer of this time or later cannot call the job pending unless it waits again; milliseconds since 1970. */
  #begunBy = Number.POSITIVE_INFINITY;
  /** How often the scheduler had tried to start it when the script ran: attempts that failed before that are none. */
  #restarts = Number.POSITIVE_INFINITY;

  constructor(watched: Watched) {
    this.#with = watched;
    this.#submitted = watched.clock.now();
  }

  async untilEnd(): Promise<Ending> {
    const waiter = this.#startWaiter();
    try {
      // A reader of our output that has stopped reading must not hold up the end.
      return await Promise.race([this.#lookAgainAndAgain(), this.#untilStopped()]);
    } finally {
      waiter.abort();
    }
  }

  async #lookAgainAndAgain(): Promise<Ending> {
    const { tail, directory, stop, clock } = this.#with;
    const pace = new BackOff(clock, LOOK_EVERY_MS, LOOK_AT_LEAST_EVERY_MS, LOOK_GROWTH);
    for (let before = ''; !stop.aborted; ) {
      this.#markers = directory.look();
      const { startedOn, exit } = this.#markers;
      if ((startedOn ?? exit) !== undefined) this.#begunBy = Math.min(this.#begunBy, clock.date() + START_LAG_MS);
      this.#askInBackground();
      const ending = await this.#ending();
      if (ending !== undefined) return ending;
      if (!this.#isWaiting) await tail.pump();
      const now = `${tail.position} ${startedOn} ${this.#status?.state}`;
      if (now !== before) pace.reset();
      before = now;
      await pace.pause(stop);
    }
    return await this.#untilStopped();
  }

  /** Nobody writes output yet. */
  get #isWaiting(): boolean {
    return this.#markers.startedOn === undefined && (this.#status === undefined || this.#status.phase === 'pending');
  }

  async #untilStopped(): Promise<Ending> {
    const { stop } = this.#with;
    if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
    this.#stopping ??= this.#cancel({ ownStop: 'stopped' });
    return await this.#stopping;
  }

  async #ending(): Promise<Ending | undefined> {
    const { log, comment } = this.#with;
    if (this.#failure !== undefined) return await this.#cancel({ failure: asError(this.#failure) });
    if (log.isBroken) return await this.#cancel({ failure: unread() });
    const ownStop = await comment(this.#seen());
    if (ownStop !== undefined) return await this.#cancel({ ownStop });
    if (this.#markers.exit !== undefined) return await this.#settle(this.#markers.exit);
    if (this.#wasBegunAgain()) return await this.#cancel({ ownStop: 'requeued' });
    if (this.#status?.isSeveral) return await this.#cancel({ ownStop: 'several-jobs' });
    if (this.#status?.stuck !== undefined) return await this.#endStuck(this.#status, this.#status.stuck);
    if (this.#isOverWithoutMarker()) return await this.#describeEnded();
    if (this.#absence?.isLost(this.#with.patience.nfsTimeoutMs)) return await this.#giveUp();
    return undefined;
  }

  /** Undefined when it runs again meanwhile, which its wrapper has a word for: that is no end. */
  async #describeEnded(): Promise<Ending | undefined> {
    const details = await this.#details();
    const status = typeof details === 'string' ? this.#status : details;
    if (status?.phase === 'ended') return this.#describe({ status });
    if (status?.phase === 'pending') return await this.#cancel({ ownStop: 'requeued' });
    if (status !== undefined) this.#take(status);
    return undefined;
  }

  #seen(): Seen {
    return {
      elapsedMs: this.#with.clock.now() - this.#submitted,
      startedOn: this.#markers.startedOn,
      status: this.#status,
      answers: this.#answers,
      silence: this.#look?.answer.kind === 'silent' ? this.#look.answer.why : undefined,
    };
  }

  /** The script's end is known; the scheduler's word on it may need a moment. */
  async #settle(exit: ExitMarker): Promise<Ending> {
    const { tail, stop, clock } = this.#with;
    const backOff = new BackOff(clock, 250, 8_000);
    const deadline = clock.now() + EPILOG_LIMIT_MS;
    for (;;) {
      await tail.pump();
      const askedAt = clock.date();
      const details = await this.#details();
      if (details === 'unknown') return this.#describe({ exit, status: await this.#fromHistory() });
      const isAnswer = details !== 'silent';
      if (isAnswer && this.#wasBegunAgain(details, askedAt)) return await this.#cancel({ ownStop: 'requeued' });
      const status = isAnswer ? details : this.#status;
      if (status?.phase === 'ended' || clock.now() > deadline || stop.aborted) return this.#describe({ exit, status });
      await backOff.pause(stop);
    }
  }

  /** All that the scheduler knows of the job. */
  async #details(): Promise<JobStatus | 'unknown' | 'silent'> {
    const { scheduler, entry } = this.#with;
    const inquired = await this.#inquire(scheduler.details);
    return inquired.kind === 'known' ? (inquired.jobs.get(entry.id) ?? 'unknown') : 'silent';
  }

  async #fromHistory(): Promise<JobStatus | undefined> {
    const { history } = this.#with.scheduler;
    if (history === undefined) return (await this.#endLogInTime()) ?? this.#status;
    const inquired = await this.#inquire(history);
    return (inquired.kind === 'known' ? inquired.jobs.get(this.#with.entry.id) : undefined) ?? this.#status;
  }

  /** What the scheduler wrote about the end; over the network that may come late. */
  async #endLogInTime(): Promise<JobStatus | undefined> {
    const { endLog, clock, stop, patience: allowed } = this.#with;
    const deadline = clock.now() + (endLog?.isCertain ? allowed.nfsTimeoutMs : 0);
    for (let status = this.#fromEndLog(); ; status = this.#fromEndLog()) {
      if (status !== undefined || clock.now() >= deadline || stop.aborted) return status;
      await clock.pause(LOOK_EVERY_MS, stop);
    }
  }

  #fromEndLog(): JobStatus | undefined {
    const { endLog, directory, entry } = this.#with;
    const end = endLog?.read(directory.endOf(endLog.fileName(entry.name)));
    return end === undefined ? undefined : { ...this.#status, phase: 'ended', state: 'ended', end };
  }

  async #inquire(inquiry: Scheduler['details']): Promise<Inquired> {
    const { commands, entry } = this.#with;
    return (await commands.ask(inquiry, [entry.id])).inquired;
  }

  /** One question at a time, while output goes on: a scheduler that is down lets its commands wait for long. */
  #askInBackground(): void {
    this.#asking ??= this.#ask()
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#asking = undefined;
      });
  }

  async #ask(): Promise<void> {
    const look = await this.#with.overview.look(this.#with.entry);
    if (look === undefined || look.askedAt === this.#look?.askedAt) return;
    this.#look = look;
    this.#answers += 1;
    if (look.answer.kind === 'silent') return;
    if (look.answer.kind === 'listed') return this.#take(look.answer.status);
    await this.#searchFor(look);
  }

  #take(status: JobStatus): void {
    this.#status = status;
    this.#statusAskedAt = this.#look?.askedAt ?? 0;
    if (this.#statusAskedAt > this.#begunBy)
      this.#restarts = Math.min(this.#restarts, status.restarts ?? this.#restarts);
    this.#absence = undefined;
    this.#endedSince = status.phase === 'ended' ? (this.#endedSince ?? this.#with.clock.now()) : undefined;
  }

  /** Not listed is not ended: the scheduler may have forgotten an ended job, or answer from a fresh start. */
  async #searchFor(look: Look): Promise<void> {
    const { scheduler } = this.#with;
    this.#absence ??= new Absence(this.#with.clock);
    const sources = scheduler.history === undefined ? [scheduler.details] : [scheduler.details, scheduler.history];
    for (const inquiry of sources) {
      const inquired = await this.#inquire(inquiry);
      const found = inquired.kind === 'known' ? inquired.jobs.get(this.#with.entry.id) : undefined;
      if (found !== undefined) return this.#take(found);
      // An answer that did not come is no evidence.
      if (inquired.kind === 'silent') return;
    }
    const told = this.#fromEndLog();
    if (told !== undefined) return this.#take(told);
    this.#absence.addRound(look.interval);
  }

  /** A marker may be on its way over the network; of a job that never ran none will come. */
  #isOverWithoutMarker(): boolean {
    const { nfsTimeoutMs } = this.#with.patience;
    const kind = this.#status?.end?.kind;
    const mayHaveRun = this.#markers.startedOn !== undefined || kind === 'completed' || kind === 'failed';
    const grace = mayHaveRun ? nfsTimeoutMs : Math.min(nfsTimeoutMs, START_LAG_MS);
    return this.#endedSince !== undefined && this.#with.clock.now() - this.#endedSince >= grace;
  }

  #wasBegunAgain(status = this.#status, askedAt = this.#statusAskedAt): boolean {
    const waitsAgain = status?.phase === 'pending' && askedAt > this.#begunBy;
    return this.#markers.againOn !== undefined || waitsAgain || (status?.restarts ?? 0) > this.#restarts;
  }

  async #endStuck(status: JobStatus, end: JobEnd): Promise<Ending> {
    return { ...(await this.#cancel({})), status: { ...status, phase: 'ended', end } };
  }

  async #cancel(why: Pick<Partial<Ending>, 'failure' | 'ownStop'>): Promise<Ending> {
    const { entry, patience: allowed } = this.#with;
    const limit = Math.max(this.#with.scheduler.cancelLimitMs, 1_000);
    const patience = why.ownStop !== 'stopped' ? limit : Math.min(limit, allowed.killTimeoutMs * 0.8);
    const cancelled: Cancelled = await cancelJob(entry.id, this.#with, patience);
    await this.#awaitMarker(why.ownStop === 'stopped' ? 0 : allowed.nfsTimeoutMs);
    return this.#describe({ ...why, status: cancelled.status ?? this.#status, isPerhapsAlive: !cancelled.isOver });
  }

  /** Of a job that ran: with it comes how much output there is, which may be on its way as well. */
  async #awaitMarker(limitMs: number): Promise<void> {
    const { directory, clock, stop } = this.#with;
    const deadline = clock.now() + limitMs;
    for (;;) {
      this.#markers = directory.look();
      const { exit, startedOn } = this.#markers;
      if (exit !== undefined || startedOn === undefined || clock.now() >= deadline || stop.aborted) return;
      await clock.pause(LOOK_EVERY_MS, stop);
    }
  }

  #describe(ending: Partial<Ending>): Ending {
    return {
      exit: this.#markers.exit,
      startedOn: this.#markers.startedOn,
      status: this.#status,
      ownStop: undefined,
      failure: undefined,
      isPerhapsAlive: false,
      lost: undefined,
      ...ending,
    };
  }

  /** A scheduler that finds the job again later shall find it cancelled. */
  async #giveUp(): Promise<Ending> {
    const { scheduler, commands, entry } = this.#with;
    await commands.try(scheduler.cancel(entry.id));
    return this.#describe({ lost: this.#evidence() });
  }

  #evidence(): string[] {
    const { directory, entry } = this.#with;
    return [
      `job ${entry.id} was not listed in ${this.#absence?.rounds} answers in a row`,
      `last known state: ${this.#status === undefined ? 'none' : this.#status.state}`,
      `files of the job: ${directory.listing().join(' ') || 'none'}`,
    ];
  }

  /** Where the scheduler has a command that waits for the end, that end is asked about at once. */
  #startWaiter(): AbortController {
    const abort = new AbortController();
    const { scheduler, commands, entry, overview, clock } = this.#with;
    const command = scheduler.wait?.(entry.id);
    if (command !== undefined) {
      const wait = async () => {
        const backOff = new BackOff(clock, 1_000, 60_000);
        while (!abort.signal.aborted) {
          await commands.run(command, abort.signal, Number.POSITIVE_INFINITY);
          overview.expire();
          await backOff.pause(abort.signal);
        }
      };
      wait().catch(() => {}); // the questions go on without it
    }
    return abort;
  }
}

/** How long and how often nobody knew of the job. */
class Absence {
  readonly #clock: Clock;
  readonly #since: number;
  #interval = 0;
  rounds = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  addRound(intervalMs: number): void {
    this.rounds += 1;
    this.#interval = Math.max(this.#interval, intervalMs);
  }

  isLost(graceMs: number): boolean {
    const longEnough = INTERVALS_UNTIL_LOST * this.#interval + graceMs;
    return this.rounds >= ROUNDS_UNTIL_LOST && this.#clock.now() - this.#since >= longEnough;
  }
}

function asError(error: unknown): JacamarError {
  if (error instanceof JacamarError) return error;
  const message = `the batch job could not be watched any more: ${error instanceof Error ? error.message : String(error)}`;
  return new SystemFailure({ code: 'ERR_BATCH_WATCH', message, publicMessage: message, cause: error });
}

function unread(): SystemFailure {
  const message = 'the runner stopped reading the output of the job, so the batch job was cancelled';
  return new SystemFailure({ code: 'ERR_OUTPUT_CLOSED', message, publicMessage: message });
}
