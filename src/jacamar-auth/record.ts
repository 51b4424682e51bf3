// What is remembered of one job between the calls of the runner: who was authorized, where it works, what is
// running. One directory per job, and each fact a file that is created once, so that two calls at the same
// time (cleanup beside a run that still lives) cannot undo each other's words.

import { randomInt } from 'node:crypto';
import { linkSync, lstatSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import { AuthorizationError, SystemFailure } from '../contract/errors.ts';
import { makeDirectories } from '../contract/make-directories.ts';
import { fileNameOf, replaceFile, stateDirectory } from './state-directory.ts';
import { readTrustedFile } from './trusted-file.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const recordSchema = v.strictObject({
  version: v.literal(1),
  server: v.string(),
  jobId: count,
  /** `jti` of the token that was authorized. */
  tokenId: v.string(),
  /** Seconds since 1970. */
  tokenExpiry: count,
  userId: v.string(),
  login: v.string(),
  account: v.strictObject({ name: v.string(), uid: count, gid: count, home: v.string() }),
  /** From RunAs, in place of `general.data_dir`. */
  dataDir: v.optional(v.string()),
  /** Where the job wanted its build directories, if it did. */
  customBuildsDir: v.optional(v.string()),
  runner: v.string(),
  concurrent: count,
});

/** The decision of the config stage. */
export type JobRecord = Omit<v.InferOutput<typeof recordSchema>, 'version'>;

const processSchema = v.strictObject({ pid: count, startTime: v.string() });
const runningSchema = v.strictObject({ ...processSchema.entries, starter: v.optional(processSchema) });
/** The jacamar of a run stage, and the sudo or su above it. */
export type RunningJacamar = v.InferOutput<typeof runningSchema>;

const FILES = {
  record: 'record.json',
  slot: 'slot',
  ran: 'ran',
  ended: 'ended',
  closing: 'closing',
  running: 'running.json',
} as const;
const RECORD_LIMIT = 64 * 1024;
/** How long after its token's expiry a record is kept, in seconds, and how many are looked at in one go. */
const PRUNE = { afterSeconds: 7 * 24 * 3600, atMost: 200 } as const;

/** The record of one job; it need not exist. */
export class RecordDirectory {
  readonly #path: string;

  constructor(stateRoot: string, server: string, jobId: number) {
    this.#path = join(stateDirectory(stateRoot, 'jobs'), `${fileNameOf(server)}-${jobId}`);
  }

  /**
   * Creates the record. The runner may repeat the config stage of a job that never ran, with the same token;
   * after a run stage, or after the job's end, the same job is not taken again.
   * @throws {AuthorizationError} the job ran already, or an open record says something else
   */
  create(record: JobRecord): void {
    makeDirectories(this.#path, 0o700);
    if (this.#has('ran') || this.#has('ended')) throw replayed('this job has been here before and is over');
    rmSync(this.#file('closing'), { force: true });
    const temporary = join(this.#path, `.${process.pid}`);
    replaceFile(temporary, JSON.stringify({ version: 1, ...record }));
    try {
      linkSync(temporary, this.#file('record'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      this.#requireSame(record);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** The record; undefined when the config stage did not get that far. */
  read(): JobRecord | undefined {
    if (!this.#has('record')) return undefined;
    const { version: _, ...record } = this.#parse(recordSchema, 'record');
    return record;
  }

  /** When the job began, in milliseconds since 1970: the record is created at its config stage, and never changed. */
  get createdAt(): number {
    return Math.floor(lstatSync(this.#file('record')).mtimeMs);
  }

  get hasEnded(): boolean {
    return this.#has('ended');
  }

  /** The cleanup of the job has begun, and whatever comes later comes too late. */
  get isClosing(): boolean {
    return this.#has('closing') || this.#has('ended');
  }

  /** Said before cleanup looks for a run that goes on, so that one of the two sees the other. */
  markClosing(): void {
    writeFileSync(this.#file('closing'), '', { mode: 0o600 });
  }

  /** The build directory's number, as chosen at the config stage. */
  get slot(): number | undefined {
    return this.#has('slot') ? this.#parse(count, 'slot') : undefined;
  }

  set slot(slot: number) {
    replaceFile(this.#file('slot'), JSON.stringify(slot));
  }

  /** From the first run stage on the job cannot be started afresh. */
  markRun(): void {
    writeFileSync(this.#file('ran'), '', { mode: 0o600 });
  }

  /** The jacamar of the run stage that goes on now, so that cleanup can end it whoever was killed. */
  get running(): RunningJacamar | undefined {
    return this.#has('running') ? this.#parse(runningSchema, 'running') : undefined;
  }

  set running(running: RunningJacamar | undefined) {
    if (running === undefined) rmSync(this.#file('running'), { force: true });
    else replaceFile(this.#file('running'), JSON.stringify(running), true);
  }

  /** Closes the record; one whose job never ran is forgotten, since the runner may try again. */
  end(): void {
    if (this.#has('ran')) writeFileSync(this.#file('ended'), '', { mode: 0o600 });
    else rmSync(this.#path, { recursive: true, force: true });
  }

  /** Removes records of other jobs whose tokens have long expired. */
  prune(nowSeconds: number): void {
    const all = join(this.#path, '..');
    const names = readdirSync(all);
    // From anywhere, since all that lie in front may be young.
    const start = randomInt(names.length + 1);
    for (const name of [...names.slice(start), ...names.slice(0, start)].slice(0, PRUNE.atMost)) {
      if (name !== basename(this.#path) && isStale(join(all, name), nowSeconds)) {
        rmSync(join(all, name), { recursive: true, force: true });
      }
    }
  }

  #requireSame(record: JobRecord): void {
    if (isDeepStrictEqual({ ...this.read() }, { ...record })) return;
    throw replayed('an open record of this job says something else');
  }

  #file(name: keyof typeof FILES): string {
    return join(this.#path, FILES[name]);
  }

  #has(name: keyof typeof FILES): boolean {
    return isThere(this.#file(name));
  }

  #parse<const Schema extends v.GenericSchema>(schema: Schema, name: keyof typeof FILES): v.InferOutput<Schema> {
    try {
      return v.parse(schema, JSON.parse(readTrustedFile(this.#file(name), RECORD_LIMIT).toString('utf8')));
    } catch (cause) {
      throw new SystemFailure({
        code: 'ERR_RECORD',
        message: `the job's record cannot be used: ${(cause as Error).message}`,
        cause,
      });
    }
  }
}

/**
 * A directory without record was left by a process that died between its first two steps. A record that is there
 * and cannot be read is left for an administrator to look at.
 */
function isStale(directory: string, nowSeconds: number): boolean {
  try {
    const stats = lstatSync(directory);
    if (!stats.isDirectory()) return false;
    if (!isThere(join(directory, FILES.record))) return isOld(stats.mtimeMs / 1000, nowSeconds);
    const text = readTrustedFile(join(directory, FILES.record), RECORD_LIMIT).toString('utf8');
    return isOld(v.parse(recordSchema, JSON.parse(text)).tokenExpiry, nowSeconds);
  } catch {
    return false;
  }
}

/** Anything under this name counts, and what the file system cannot tell is an error: no mark is missing for that. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isOld(seconds: number, nowSeconds: number): boolean {
  return seconds + PRUNE.afterSeconds < nowSeconds;
}

function replayed(why: string): AuthorizationError {
  return new AuthorizationError({ code: 'ERR_JOB_REPLAYED', message: `the token was presented again: ${why}` });
}
