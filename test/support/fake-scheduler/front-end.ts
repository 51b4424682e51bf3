// What the imitations of all schedulers have in common: an engine, commands in front of it, and outages.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FakeCommands, Program, Reply } from './commands.ts';
import type { BatchEngine, FakeJob } from './engine.ts';

export abstract class FrontEnd {
  readonly engine: BatchEngine;
  readonly commands: FakeCommands;
  /** While it is set, commands give up after so long. */
  outage: { delayMs: number } | undefined;
  #isClosed = false;

  constructor(engine: BatchEngine, commands: FakeCommands) {
    this.engine = engine;
    this.commands = commands;
  }

  /** Waits for nothing: jobs that run are killed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.engine.close();
    await this.commands.close();
  }

  /** The only job that has not ended, or the only one at all. */
  get job(): FakeJob {
    const all = [...this.engine.jobs.values()];
    const living = all.filter(({ phase }) => phase !== 'ended');
    const [job, ...others] = living.length > 0 ? living : all;
    if (job === undefined || others.length > 0) throw new Error(`there are ${all.length} jobs`);
    return job;
  }

  /** The scheduler and its memory have never heard of it; what ran is gone. */
  async lose(job: FakeJob): Promise<void> {
    job.isForgotten = true;
    job.isUnrecorded = true;
    await this.engine.signal(job, 'SIGKILL');
  }

  /** A command that gives up with this while there is an outage. */
  protected whenUp(complaint: Reply, program: Program): Program {
    return async (call) => {
      if (this.outage === undefined) return program(call);
      await sleep(this.outage.delayMs, undefined, { ref: false });
      return complaint;
    };
  }

  /** False when an outage, or the end of the test, comes first. */
  protected async untilEnded(job: FakeJob): Promise<boolean> {
    while (job.phase !== 'ended') {
      if (this.outage !== undefined || this.#isClosed) return false;
      await sleep(20, undefined, { ref: false });
    }
    return true;
  }

  /** Ends and unheard-of jobs aside: what the queue holds. */
  protected known(): FakeJob[] {
    return [...this.engine.jobs.values()].filter(({ isForgotten }) => !isForgotten);
  }

  protected find(id: string | undefined): FakeJob | undefined {
    return this.known().find((job) => job.id === id);
  }
}

/** Before it ran. */
export function neverRan({ phase, startedAt, endedAt }: FakeJob): boolean {
  return phase === 'pending' || (phase === 'ended' && startedAt === endedAt);
}

function passwdEntry(uid: number): string[] {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  return lines.find((line) => line.split(':')[2] === String(uid))?.split(':') ?? [];
}

export const nameOf = (uid: number): string => passwdEntry(uid)[0] ?? 'nobody';
export const homeOf = (uid: number): string => passwdEntry(uid)[5] ?? '/';
