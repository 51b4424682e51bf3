// One config call as the runner makes it, and what it may come to: refused, allowed, or failed for a reason of the
// site. Each judgement looks at everything that the outcome promises, so that no test of a refusal can pass by halves.

import assert from 'node:assert/strict';
import type { CallParts, StageRecord } from '../../src/jacamar-admin/attempt.ts';
import type { JobWishes } from './job-wishes.ts';
import type { StagedJob } from './staged-job.ts';
import type { LogLine, World } from './world.ts';

export type Details = Readonly<Record<string, unknown>>;

/** A job after its config call. */
export interface Asked {
  readonly job: StagedJob;
  readonly record: StageRecord;
  readonly log: readonly LogLine[];
}

export interface RefusalWishes {
  /** What the administrator's log says of it. */
  readonly reason?: RegExp;
  /** How the call differs from the runner's usual one. */
  readonly parts?: CallParts;
  /** What the user reads; default: the one neutral sentence. */
  readonly told?: RegExp;
}

const NEUTRAL = /^This job is not authorized to run here\. \(reference [0-9a-f]{8}\)\n$/;

/** Makes the config call, and the cleanup that the runner makes in any case. */
export async function ask(world: World, wishes: JobWishes, parts: CallParts = {}): Promise<Asked> {
  const job = await world.stages(wishes);
  const record = await job.config(parts);
  const log = await job.log();
  await job.cleanup();
  await job.close();
  return { job, record, log };
}

/** The job is refused by this rule: said once to the user, once to the administrator, once for the audit; nothing ran. */
export async function refused(
  world: World,
  wishes: JobWishes,
  code: string,
  more: RefusalWishes = {},
): Promise<Details> {
  const { job, record, log } = await ask(world, wishes, more.parts);
  assert.equal(record.outcome.kind, 'build-failure', `${record.outcome.kind}: ${record.stderr}`);
  assert.equal(record.stdout, '');
  assert.match(record.stderr, more.told ?? NEUTRAL);
  const details = only(log, /^(?:job refused|stage failed)$/).details ?? {};
  assert.equal(details['code'], code, String(details['error']));
  if (more.reason !== undefined) assert.match(String(details['error']), more.reason);
  const audit = auditLine(log);
  assert.equal(audit['result'], 'refused');
  assert.equal(audit['rule'], code);
  assert.equal(audit['job'], job.facts.id);
  nothingRan(log);
  assert.deepEqual(await world.recordOf(job.facts.id), []);
  return audit;
}

/** The job is let in; gives its audit line. */
export async function allowed(world: World, wishes: JobWishes = {}): Promise<Details> {
  const { record, log } = await ask(world, wishes);
  assert.equal(record.outcome.kind, 'success', record.stderr);
  const audit = auditLine(log);
  assert.equal(audit['result'], 'allowed');
  assert.ok(log.some(({ msg }) => msg === `local account (${audit['account']}) authorized for CI job execution`));
  return audit;
}

/** Nobody could decide: the runner may try again, nothing ran, and there is no audit line, because no decision. */
export async function failed(world: World, wishes: JobWishes, code: string, reason?: RegExp): Promise<Asked> {
  const asked = await ask(world, wishes);
  const { record, log } = asked;
  assert.equal(record.outcome.kind, 'system-failure', `${record.outcome.kind}: ${record.stderr}`);
  assert.equal(record.stdout, '');
  const details = only(log, /^stage failed$/).details ?? {};
  assert.equal(details['code'], code, String(details['error']));
  if (reason !== undefined) assert.match(String(details['error']), reason);
  assert.deepEqual(
    log.filter(({ msg }) => msg === 'authorization decision'),
    [],
  );
  nothingRan(log);
  return asked;
}

/** The audit line of one call. */
export function auditLine(log: readonly LogLine[]): Details {
  return only(log, /^authorization decision$/).details ?? {};
}

function nothingRan(log: readonly LogLine[]): void {
  assert.deepEqual(
    log.filter(({ msg }) => /^jacamar started|authorized for CI/.test(msg)),
    [],
  );
}

function only(log: readonly LogLine[], title: RegExp): LogLine {
  const found = log.filter(({ msg }) => title.test(msg));
  const [line] = found;
  if (line === undefined || found.length > 1) {
    assert.fail(`${found.length} lines like ${title} in ${JSON.stringify(log)}`);
  }
  return line;
}
