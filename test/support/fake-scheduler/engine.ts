// A batch system without a language: jobs that wait, run as processes of their owner on this machine, and end, in ways
// that a plan or the test decides. The commands of a certain scheduler are a front end to it (see slurm.ts).

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { treeOf } from '../processes.ts';

/** What is submitted. */
export interface JobRequest {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly script: Buffer;
  readonly output: (id: string) => string;
  readonly appends?: boolean;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Of the scheduler, by id. */
  readonly settings: (id: string) => Readonly<Record<string, string>>;
  /** In seconds. */
  readonly timeLimit?: number;
  readonly held?: boolean;
  readonly mayRequeue?: boolean;
}

/** How a job of the engine ends; `unopened`: its output could not be opened. */
export type End =
  | 'exited'
  | 'signalled'
  | 'cancelled'
  | 'time-limit'
  | 'node-failure'
  | 'out-of-memory'
  | 'unopened'
  | 'start-failure';

/** What becomes of jobs that are submitted from now on, as far as it is not left to them. */
export interface Plan {
  /** Reasons to wait, one after the other, each for so many milliseconds; `Infinity` until the test starts the job. */
  readonly waits?: readonly { readonly reason: string; readonly ms: number }[];
  /** How long it is still there after its script has ended: an epilog. */
  readonly completingMs?: number;
  /** Ends instead of running. */
  readonly ends?: End;
}

export interface FakeJob {
  readonly id: string;
  readonly request: JobRequest;
  readonly submittedAt: number;
  readonly plan: Plan;
  phase: 'pending' | 'running' | 'completing' | 'ended';
  reason: string;
  startedAt?: number;
  endedAt?: number;
  end?: End;
  /** Who cancelled it. */
  cancelledBy?: number;
  exitCode?: number;
  signal?: number;
  restarts: number;
  isHeld: boolean;
  /** The queries that list jobs do not know it any more. */
  isForgotten: boolean;
  /** Nor does the accounting. */
  isUnrecorded: boolean;
}

interface Running {
  readonly pid: number;
}

/** Words of the front end. */
export interface Dialect {
  /** What a killed job finds at the end of its output. */
  readonly epitaph: (job: FakeJob, end: End) => string;
  readonly firstId: number;
  readonly idOf: (number: number) => string;
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class BatchEngine {
  readonly jobs = new Map<string, FakeJob>();
  /** For jobs that come. */
  plan: Plan = {};
  /** Between SIGTERM and SIGKILL for a job that is ended from outside. */
  killWaitMs = 1_000;
  /** After its end a job is forgotten in so many milliseconds. */
  forgetMs = Number.POSITIVE_INFINITY;
  readonly #directory: string;
  readonly #dialect: Dialect;
  readonly #running = new Map<string, Running>();
  #isClosed = false;
  #number: number;

  private constructor(directory: string, dialect: Dialect) {
    this.#directory = directory;
    this.#dialect = dialect;
    this.#number = dialect.firstId;
  }

  static async open(dialect: Dialect): Promise<BatchEngine> {
    const directory = await mkdtemp(join(tmpdir(), 'jt_engine_'));
    await chmod(directory, 0o755);
    return new BatchEngine(directory, dialect);
  }

  submit(request: JobRequest): FakeJob {
    const id = this.#dialect.idOf(this.#number);
    this.#number += 1;
    const job: FakeJob = {
      ...{ id, request, submittedAt: Date.now(), plan: this.plan, phase: 'pending', reason: 'None', restarts: 0 },
      ...{ isHeld: request.held === true, isForgotten: false, isUnrecorded: false },
    };
    this.jobs.set(id, job);
    this.#keepCopy(job);
    void this.#live(job);
    return job;
  }

  /** Lets a job go on that waits for the test or was held. */
  start(job: FakeJob): void {
    job.isHeld = false;
    if (job.phase === 'pending') void this.#run(job);
  }

  async cancel(job: FakeJob, by: number): Promise<void> {
    if (job.phase !== 'ended') job.cancelledBy ??= by;
    await this.end(job, 'cancelled');
  }

  /** Ends a job from outside, with the signals that a scheduler sends; not one that is at its end already. */
  async end(job: FakeJob, end: End): Promise<void> {
    if (job.phase === 'completing' || job.phase === 'ended') return;
    job.end = end;
    if (job.phase === 'pending') return this.#ended(job);
    job.phase = 'completing';
    this.#write(job, this.#dialect.epitaph(job, end));
    await this.#terminate(job);
  }

  /** A node is gone with all that ran there. */
  async failNode(job: FakeJob): Promise<void> {
    job.end = 'node-failure';
    job.phase = 'completing';
    await this.#kill(job, 'SIGKILL');
  }

  /** An administrator has the job run once more, whatever its owner wished. */
  async requeue(job: FakeJob): Promise<void> {
    const running = this.#running.get(job.id);
    job.restarts += 1;
    job.phase = 'pending';
    job.reason = 'BeginTime';
    delete job.startedAt;
    this.#running.delete(job.id);
    if (running !== undefined) await killTree(running.pid, 'SIGKILL');
  }

  /** Signals the whole job. */
  async signal(job: FakeJob, signal: NodeJS.Signals): Promise<void> {
    await this.#kill(job, signal);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running.values()].map(({ pid }) => killTree(pid, 'SIGKILL')));
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #live(job: FakeJob): Promise<void> {
    for (const { reason, ms } of job.plan.waits ?? []) {
      if (job.phase !== 'pending') return;
      job.reason = reason;
      if (ms === Number.POSITIVE_INFINITY) return;
      await sleep(ms, undefined, { ref: false });
    }
    if (job.isHeld || job.phase !== 'pending') return;
    if (job.plan.ends !== undefined) return void this.end(job, job.plan.ends);
    await this.#run(job);
  }

  /** A scheduler runs a copy from its spool. */
  #keepCopy({ id, request }: FakeJob): void {
    const directory = join(this.#directory, `job${id}`);
    mkdirSync(directory, { mode: 0o755 });
    writeFileSync(this.#copyOf(id), request.script, { mode: 0o500 });
    chownSync(this.#copyOf(id), request.uid, request.gid);
  }

  #copyOf(id: string): string {
    return join(this.#directory, `job${id}`, 'script');
  }

  async #run(job: FakeJob): Promise<void> {
    if (this.#isClosed) return;
    const child = this.#spawn(job);
    if (child.pid === undefined) return;
    const running = { pid: child.pid };
    this.#running.set(job.id, running);
    this.#limit(job);
    let isOpened = false;
    child.stdio[3]?.on('data', () => {
      isOpened = true;
    });
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    // Another run of it may have begun.
    if (this.#running.get(job.id) !== running) return;
    this.#running.delete(job.id);
    await this.#settle(job, isOpened ? { code, signal } : undefined);
  }

  /** Its output is opened by its owner; that this went well is told on descriptor 3. */
  #spawn(job: FakeJob): ChildProcess {
    const { request, id } = job;
    job.phase = 'running';
    job.reason = 'None';
    job.startedAt = Date.now();
    const redirect = request.appends === true ? '>>' : '>';
    const open = `exec ${redirect}"$1" 2>&1; printf o >&3; exec 3>&-; cd "$2" || cd /tmp; exec "$3"`;
    return spawn('/bin/sh', ['-c', open, 'sh', request.output(id), request.directory, this.#copyOf(id)], {
      uid: request.uid,
      gid: request.gid,
      env: { ...request.environment, ...request.settings(id) },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
    });
  }

  #limit(job: FakeJob): void {
    const { timeLimit = Number.POSITIVE_INFINITY } = job.request;
    const ms = Math.min(timeLimit * 1000, LONGEST_TIMER_MS);
    setTimeout(() => void this.end(job, 'time-limit'), ms).unref();
  }

  /** @param exit absent when its output could not be opened */
  async #settle(job: FakeJob, exit: Exit | undefined): Promise<void> {
    job.phase = 'completing';
    job.end ??= exit === undefined ? 'unopened' : exit.signal === null ? 'exited' : 'signalled';
    if (typeof exit?.code === 'number') job.exitCode = exit.code;
    if (typeof exit?.signal === 'string') job.signal = constants.signals[exit.signal];
    await sleep(job.plan.completingMs ?? 0, undefined, { ref: false });
    this.#ended(job);
  }

  #ended(job: FakeJob): void {
    job.phase = 'ended';
    job.endedAt = Date.now();
    job.startedAt ??= job.endedAt;
    if (this.forgetMs === Number.POSITIVE_INFINITY) return;
    setTimeout(() => {
      job.isForgotten = true;
    }, this.forgetMs).unref();
  }

  /** SIGTERM to everything of the job, and after a while SIGKILL to what is left. */
  async #terminate(job: FakeJob): Promise<void> {
    await this.#kill(job, 'SIGTERM');
    const timer = setTimeout(() => void this.#kill(job, 'SIGKILL'), this.killWaitMs);
    timer.unref();
  }

  async #kill(job: FakeJob, signal: NodeJS.Signals): Promise<void> {
    const running = this.#running.get(job.id);
    if (running !== undefined) await killTree(running.pid, signal);
  }

  #write({ id, request }: FakeJob, text: string): void {
    const path = request.output(id);
    if (existsSync(path)) appendFileSync(path, text);
  }
}

async function killTree(pid: number, signal: NodeJS.Signals): Promise<void> {
  for (const each of await treeOf(pid)) {
    try {
      process.kill(each.pid, signal);
    } catch {
      // it has ended meanwhile
    }
  }
}
