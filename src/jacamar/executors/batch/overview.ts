// One question to the scheduler for all of an account's CI jobs on this host. Whoever finds the last answer too old
// takes the lock and asks, for everybody; the others read what it wrote down. So thirty waiting jobs are as cheap
// for the scheduler as one.

import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Handoff } from '../../../contract/handoff.ts';
import type { Lock } from '../../../contract/lock.ts';
import { type Commands, formOf } from './commands.ts';
import { type Clock, jittered } from './patience.ts';
import type { Answer, Inquired, Inquiry, JobStatus } from './scheduler.ts';
import type { Entry, Submissions } from './submissions.ts';
import { takeTurn } from './turn.ts';

const answerSchema = v.object({
  /** Milliseconds since 1970, when it was asked. */
  askedAt: v.number(),
  /** Until the next question, in milliseconds. */
  interval: v.number(),
  /** When that is: hosts shall not ask in step, and many watchers of one host not earlier than one. */
  dueAt: v.number(),
  ids: v.array(v.string()),
  /** The form of the inquiry that this answers. */
  form: v.number(),
  stdout: v.string(),
  stderr: v.string(),
  exitCode: v.optional(v.number()),
});
type Shared = v.InferOutput<typeof answerSchema>;

/** An answer, as it concerns one job. */
export interface Look {
  readonly askedAt: number;
  /** Until the next one, in milliseconds. */
  readonly interval: number;
  readonly answer:
    | { readonly kind: 'listed'; readonly status: JobStatus }
    | { readonly kind: 'not-listed' }
    | { readonly kind: 'silent'; readonly why: string };
}

/** A young job may fail at once: it is asked for so long after its submission, in milliseconds. */
const FIRST_LOOK_MS = 2_000;
const GROWTH = 1.5;
/** A scheduler that answers slowly is asked less often: at most this share of the time. */
const PATIENCE_WITH_SLOW = 5;
/** Whoever holds the lock for longer than any question takes was stopped: nobody waits for him, in milliseconds. */
const LOCK_PATIENCE_MS = 120_000;

type Bounds = Pick<Handoff['settings']['batch'], 'pollIntervalMinMs' | 'pollIntervalMaxMs'>;

export class Overview {
  readonly #inquiry: Inquiry;
  readonly #commands: Commands;
  readonly #submissions: Submissions;
  readonly #bounds: Bounds;
  readonly #lock: Pick<Lock, 'tryLock'>;
  readonly #clock: Clock;
  #shared: Shared | undefined;
  /** Which file that was read from; an answer is never written into the file of another. */
  #stamp = '';
  #understood: { readonly of: Shared; readonly inquired: Inquired } | undefined;
  #isExpired = false;
  /** Since when somebody else has the lock and writes down no answer, in milliseconds of the process's clock. */
  #waitsSince: number | undefined;
  /** When the answer was asked for that could not be written down. */
  #unsaved: number | undefined;

  constructor(parts: {
    inquiry: Inquiry;
    commands: Commands;
    submissions: Submissions;
    bounds: Bounds;
    lock: Pick<Lock, 'tryLock'>;
    clock: Clock;
  }) {
    this.#inquiry = parts.inquiry;
    this.#commands = parts.commands;
    this.#submissions = parts.submissions;
    this.#bounds = parts.bounds;
    this.#lock = parts.lock;
    this.#clock = parts.clock;
  }

  /** The newest answer about this job; asks for a new one where that is due and nobody else does. */
  async look(entry: Entry & { id: string }): Promise<Look | undefined> {
    this.#read();
    if (this.#isDue(entry)) await this.#ask(entry.id);
    return this.#shared === undefined ? undefined : this.#lookAt(this.#shared, entry);
  }

  /** Something says that the last answer is out of date. */
  expire(): void {
    this.#isExpired = true;
  }

  #isDue(entry: Entry): boolean {
    const shared = this.#shared;
    const now = this.#clock.date();
    if (this.#isExpired) return true;
    if (shared === undefined) return now >= entry.submittedAt + FIRST_LOOK_MS;
    if (shared.askedAt > now) return true; // the clock was set back
    const isNew = entry.id !== undefined && !shared.ids.includes(entry.id);
    const regular = shared.dueAt;
    if (!isNew) return now >= regular;
    return now >= Math.min(regular, Math.max(entry.submittedAt + FIRST_LOOK_MS, shared.askedAt + this.#shortest()));
  }

  /** Whose turn it is asks; its answer will do. */
  async #ask(id: string): Promise<void> {
    using turn = takeTurn(join(this.#submissions.directory, 'lock'), this.#lock);
    if (!this.#isOurTurn(turn !== undefined)) return;
    const before = this.#shared?.askedAt;
    this.#read();
    if (this.#shared?.askedAt === before) await this.#askNow(id);
  }

  #isOurTurn(isFree: boolean): boolean {
    this.#waitsSince = isFree ? undefined : (this.#waitsSince ?? this.#clock.now());
    return this.#waitsSince === undefined || this.#clock.now() - this.#waitsSince > LOCK_PATIENCE_MS;
  }

  /** About all submissions on record, and this one in any case: somebody may have removed the records. */
  async #askNow(id: string): Promise<void> {
    const recorded = this.#submissions.all().flatMap((each) => (each.id === undefined ? [] : [each.id]));
    const ids = [...new Set([...recorded, id])];
    const askedAt = this.#clock.date();
    this.#isExpired = false;
    const { answer, form, inquired } = await this.#commands.ask(this.#inquiry, ids, { form: this.#shared?.form });
    const interval = this.#nextInterval(inquired, this.#clock.date() - askedAt);
    this.#shared = { askedAt, interval, dueAt: askedAt + jittered(interval), ids, form, ...withoutAbsent(answer) };
    this.#understood = { of: this.#shared, inquired };
    this.#save(this.#shared);
  }

  /** Short after a change, longer and longer while nothing happens. */
  #nextInterval(inquired: Inquired, took: number): number {
    const { pollIntervalMaxMs: longest } = this.#bounds;
    const before = this.#shared;
    const isSame = before !== undefined && essence(this.#understand(before)) === essence(inquired);
    const next = isSame ? before.interval * GROWTH : this.#shortest();
    return Math.min(Math.max(next, this.#shortest(), took * PATIENCE_WITH_SLOW), Math.max(longest, this.#shortest()));
  }

  #shortest(): number {
    return this.#bounds.pollIntervalMinMs;
  }

  #lookAt(shared: Shared, { id }: Entry & { id: string }): Look | undefined {
    const { askedAt, interval, ids } = shared;
    if (!ids.includes(id)) return undefined;
    const inquired = this.#understand(shared);
    if (inquired.kind !== 'known') return { askedAt, interval, answer: { kind: 'silent', why: inquired.why } };
    const status = inquired.jobs.get(id);
    return { askedAt, interval, answer: status ? { kind: 'listed', status } : { kind: 'not-listed' } };
  }

  /** Once for each answer: everybody who waits looks every few seconds, and it may be about hundreds of jobs. */
  #understand(shared: Shared): Inquired {
    if (shared === this.#understood?.of) return this.#understood.inquired;
    const { ids, form, stdout, stderr, exitCode } = shared;
    const inquired = formOf(this.#inquiry, form).read({ stdout, stderr, exitCode }, ids);
    this.#understood = { of: shared, inquired };
    return inquired;
  }

  /** What was written down; our own answer stays where it could not be, or was removed. */
  #read(): void {
    const loaded = this.#load();
    if (loaded === undefined) return;
    if (loaded.askedAt !== this.#shared?.askedAt) this.#waitsSince = undefined;
    if (this.#unsaved === undefined || loaded.askedAt > this.#unsaved) this.#shared = loaded;
  }

  /** Undefined when it is the one that was read last, is being replaced by an older version's, or is damaged. */
  #load(): Shared | undefined {
    try {
      const stamp = stampOf(this.#file);
      if (stamp === this.#stamp) return undefined;
      const loaded = v.parse(answerSchema, JSON.parse(readFileSync(this.#file, 'utf8')));
      this.#stamp = stamp;
      return loaded;
    } catch {
      return undefined;
    }
  }

  /** Without room for it the answer serves this job alone. */
  #save(shared: Shared): void {
    const temporary = `${this.#file}.${process.pid}`;
    this.#unsaved = undefined;
    try {
      writeFileSync(temporary, JSON.stringify(shared), { mode: 0o600 });
      const stamp = stampOf(temporary);
      renameSync(temporary, this.#file);
      this.#stamp = stamp;
    } catch {
      rmSync(temporary, { force: true });
      this.#unsaved = shared.askedAt;
    }
  }

  get #file(): string {
    return join(this.#submissions.directory, 'answer');
  }
}

function stampOf(file: string): string {
  const { ino, mtimeNs, size } = statSync(file, { bigint: true });
  return `${ino} ${mtimeNs} ${size}`;
}

function withoutAbsent({ stdout, stderr, exitCode }: Answer): Answer | Omit<Answer, 'exitCode'> {
  return exitCode === undefined ? { stdout, stderr } : { stdout, stderr, exitCode };
}

/** What counts as a change: states, not estimates and reasons to wait, which move all the time. */
function essence(inquired: Inquired): string {
  if (inquired.kind !== 'known') return inquired.kind;
  return [...inquired.jobs].map(([id, { state }]) => `${id} ${state}`).join('\n');
}
