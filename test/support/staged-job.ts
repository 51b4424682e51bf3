// A job whose driver calls a test makes one by one, also in an order or at a time at which no runner would.

import { type CallParts, ExecutorAttempt, type StageRecord } from '../../src/jacamar-admin/attempt.ts';
import { frame } from '../../src/jacamar-admin/bash-script.ts';
import { type ConfigParse, parseConfigOutput } from '../../src/jacamar-admin/config-output.ts';
import type { JobFacts, JobResponse } from '../../src/jacamar-admin/job.ts';
import { eventually } from './eventually.ts';
import type { PreparedJob } from './job-wishes.ts';
import type { LogLine, World } from './world.ts';

/** A call that goes on. */
export interface LiveCall {
  readonly ended: Promise<StageRecord>;
  /** Of jacamar-auth. */
  pid(): Promise<number>;
  /** What standard output holds so far. */
  output(): string;
  /** From now on, what comes on standard error. */
  onError(hear: (text: string) => void): void;
  /** Waits for text on standard output and returns all of it so far. */
  until(text: string): Promise<string>;
  /** Begins the runner's kill sequence: SIGTERM to the group, SIGKILL later. */
  stop(): void;
}

export class StagedJob {
  readonly facts: JobFacts;
  readonly response: JobResponse;
  readonly attempt: ExecutorAttempt;
  readonly #world: World;
  readonly #calls = new Set<LiveCall>();

  private constructor(world: World, prepared: PreparedJob, attempt: ExecutorAttempt) {
    this.#world = world;
    this.facts = prepared.facts;
    this.response = prepared.response;
    this.attempt = attempt;
  }

  static async open(world: World, prepared: PreparedJob): Promise<StagedJob> {
    return new StagedJob(world, prepared, await ExecutorAttempt.open(prepared.settings, prepared.response));
  }

  /** Calls config and, where it went well, goes on with the directories that it named. */
  async config(parts: CallParts = {}): Promise<StageRecord> {
    const record = await this.attempt.call('config', parts);
    if (record.outcome.kind === 'success') this.#adopt(parseConfigOutput(record.stdout));
    return record;
  }

  /** @throws when config did not go well, with what it said */
  async configured(): Promise<this> {
    const { outcome, stderr } = await this.config();
    if (outcome.kind !== 'success') throw new Error(`config failed: ${stderr}`);
    return this;
  }

  async prepare(parts: CallParts = {}): Promise<StageRecord> {
    return this.attempt.call('prepare', parts);
  }

  async cleanup(parts: CallParts = {}): Promise<StageRecord> {
    return this.attempt.call('cleanup', parts);
  }

  /** Runs commands in the runner's frame, without variables and in no particular directory. */
  async run(commands: string, stage = 'build_script', parts: CallParts = {}): Promise<StageRecord> {
    return this.attempt.runStage(stage, { ...parts, script: frame(commands) });
  }

  /** The same while the test goes on. */
  start(commands: string, stage = 'build_script', parts: CallParts = {}): LiveCall {
    const stop = new AbortController();
    let started: number | undefined;
    let output = '';
    let hear = (_: string) => {};
    const ended = this.run(commands, stage, {
      ...parts,
      stop: stop.signal,
      onStart: (pid) => (started = pid),
      onOutput: (stream, chunk) => {
        if (stream === 'stdout') output += chunk.toString('latin1');
        else hear(chunk.toString('latin1'));
      },
    });
    const call: LiveCall = {
      ended,
      pid: () => eventually('the call starts', () => started),
      output: () => output,
      onError: (listener) => {
        hear = listener;
      },
      until: (text) => eventually(`the job writes "${text}"`, () => output.includes(text) && output),
      stop: () => stop.abort(),
    };
    this.#calls.add(call);
    return call;
  }

  /** What jacamar-auth logged about this job so far. */
  async log(): Promise<LogLine[]> {
    return this.#world.log(this.facts.id);
  }

  /** Ends what goes on. Safe to call twice. */
  async close(): Promise<void> {
    for (const call of this.#calls) call.stop();
    await Promise.all([...this.#calls].map(({ ended }) => ended));
    await this.attempt.close();
  }

  #adopt(parsed: ConfigParse): void {
    if (parsed.kind === 'bad') throw new Error(parsed.text);
    const complaint = this.attempt.adopt(parsed.result);
    if (complaint !== undefined) throw new Error(complaint);
  }
}
