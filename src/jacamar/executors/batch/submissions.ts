// What this account has submitted from this host and what has not been seen to end: a file per submission, written
// before the scheduler is called. Cleanup ends from it what a killed stage left; the next job does, when the runner
// itself died; and one question to the scheduler serves all of them.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Handoff } from '../../../contract/handoff.ts';
import { identityOf } from '../../../contract/process-identity.ts';
import { localOwner } from '../../claim/owner.ts';
import { claimSchema } from '../../claim/store.ts';
import { claimFor, isLive } from '../../claim.ts';
import { makePrivate } from '../../workspace.ts';

const entrySchema = v.object({
  /** The CI job, its runner, and until when it may be at work. */
  claim: claimSchema,
  runStage: v.string(),
  /** Unique name of the batch job. */
  name: v.string(),
  /** Where the job's files lie; absent in records of older versions. */
  directory: v.optional(v.string()),
  /** Absent until the scheduler has said it. */
  id: v.optional(v.string()),
  /** Others may bear the name: an earlier try may have arrived after it was given up. */
  mayHaveCopies: v.optional(v.boolean()),
  /** Milliseconds since 1970. */
  submittedAt: v.number(),
  /** Cleanup has been here and could not end it. */
  isAbandoned: v.optional(v.boolean()),
});
export type Entry = v.InferOutput<typeof entrySchema>;

const KEY = /^[0-9a-f]{16}\.json$/;

/** Not yet ended, as far as anybody here knows. */
export class Submissions {
  /** Also the place for what its users share. */
  readonly directory: string;

  readonly #handoff: Handoff;

  /** @param scheduler what tells the scheduler from others on this host, in characters of a file's name */
  constructor(handoff: Handoff, scheduler: string) {
    this.#handoff = handoff;
    this.directory = join(handoff.base, 'batch', `${thisHost()}-${scheduler}`);
  }

  write(entry: Entry): void {
    makePrivate(this.#handoff, this.directory);
    const temporary = join(this.directory, `.${process.pid}`);
    writeFileSync(temporary, JSON.stringify(entry), { mode: 0o600 });
    renameSync(temporary, this.#file(entry));
  }

  remove(entry: Entry): void {
    rmSync(this.#file(entry), { force: true });
  }

  all(): Entry[] {
    return namesIn(this.directory)
      .filter((name) => KEY.test(name))
      .flatMap((name) => read(join(this.directory, name)));
  }

  /** Of one CI job; several when a stage of it was called again. */
  of({ id, server }: Pick<Handoff['job'], 'id' | 'server'>): Entry[] {
    return this.all().filter(({ claim }) => claim.jobId === id && claim.server === server);
  }

  /** Those for which no cleanup will come: it has been, or the runner has ended. */
  orphans(): Entry[] {
    return this.all().filter(({ isAbandoned, claim }) => isAbandoned || !isLive(claim));
  }

  #file({ claim, name }: Entry): string {
    const key = createHash('sha256').update(`${claim.server} ${name}`).digest('hex').slice(0, 16);
    return join(this.directory, `${key}.json`);
  }
}

/** For a submission that is about to be made. */
export function entryFor(handoff: Handoff, what: Pick<Entry, 'name' | 'directory' | 'submittedAt'>): Entry {
  return { claim: claimFor(handoff), runStage: handoff.runStage ?? '', ...what };
}

/** Two hosts that share a home may bear one name. */
function thisHost(): string {
  const { host, machine } = localOwner(identityOf(process.pid));
  return `${host.replaceAll(/[^A-Za-z0-9.-]/g, '_')}-${machine.slice(0, 8)}`;
}

/** None before the first submission. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(path: string): Entry[] {
  try {
    return [v.parse(entrySchema, JSON.parse(readFileSync(path, 'utf8')))];
  } catch {
    return []; // removed at this moment, or not ours
  }
}
