// How PBS is asked about jobs: qstat, in three forms. Not every site keeps the history of jobs (-x), and not every
// qstat writes JSON; where a form is not to be had the next one takes its place.

import { printable } from '../../../contract/text.ts';
import type { Answer, Inquired, Inquiry, JobStatus, Usage } from '../batch/scheduler.ts';
import { parsePoint, parseSize, parseTime } from './amounts.ts';
import { endOf, phaseOf, stuckEnd } from './states.ts';

/** Attributes of one job, those inside others with a dot: `Resource_List.walltime`. */
type Attributes = ReadonlyMap<string, string>;

const UNKNOWN_JOB = /Unknown Job Id|Job has finished/i;
const NO_HISTORY = /not configured to maintain job history/i;
const NO_SUCH_FORM = /illegal option|invalid option|unrecognized option|usage:/i;
const OUTAGE = /connect|Communication failure|End of File|timed out|No Permission to connect|not responding|munge/i;

const asText: Inquiry = form(['-f'], textJobs);
const asJson: Inquiry = form(['-f', '-F', 'json'], jsonJobs, asText);
const historyAsText: Inquiry = form(['-x', '-f'], textJobs, asJson);
export const pbsJobs: Inquiry = form(['-x', '-f', '-F', 'json'], jsonJobs, historyAsText);

type Parse = (stdout: string) => ReadonlyMap<string, Attributes> | undefined;

function form(options: readonly string[], parse: Parse, otherwise?: Inquiry): Inquiry {
  return {
    about: (ids) => ({ program: 'qstat', argv: [...options, ...ids] }),
    read: (answer, ids) => read(answer, ids, parse),
    ...(otherwise === undefined ? {} : { otherwise }),
  };
}

function read(answer: Answer, ids: readonly string[], parse: Parse): Inquired {
  if (answer.exitCode === undefined) return { kind: 'silent', why: 'it gave no answer in time' };
  if (hasNoSuchForm(answer)) return { kind: 'unavailable', why: pbsError(answer) };
  if (OUTAGE.test(answer.stderr)) return { kind: 'silent', why: pbsError(answer) };
  const jobs = answer.stdout.trim() === '' ? new Map() : parse(answer.stdout);
  if (jobs === undefined) return { kind: 'unavailable', why: 'its answer has another form' };
  if (jobs.size === 0 && answer.exitCode !== 0 && !UNKNOWN_JOB.test(answer.stderr)) {
    return { kind: 'silent', why: pbsError(answer) };
  }
  const known = ids.flatMap((id) => {
    const attributes = jobs.get(id);
    return attributes === undefined ? [] : [[id, statusOf(attributes)] as const];
  });
  return { kind: 'known', jobs: new Map(known) };
}

/** The site keeps no history, or the command does not know the options. */
export function hasNoSuchForm({ stdout, stderr }: Answer): boolean {
  return NO_HISTORY.test(`${stderr}\n${stdout.slice(0, 1_000)}`) || NO_SUCH_FORM.test(stderr);
}

/** What a command complained about, without its name in front. */
export function pbsError({ stderr, exitCode }: Answer): string {
  const line = stderr.split('\n').find((each) => each.trim() !== '');
  return line === undefined ? `it ended with exit status ${exitCode}` : printable(line.replace(/^q\w+: /, '').trim());
}

function jsonJobs(stdout: string): ReadonlyMap<string, Attributes> | undefined {
  try {
    const answer: unknown = JSON.parse(stdout);
    const jobs = isObject(answer) ? (answer['Jobs'] ?? {}) : undefined;
    if (!isObject(jobs)) return undefined;
    return new Map(Object.entries(jobs).flatMap(([id, job]) => (isObject(job) ? [[id, flatten(job)]] : [])));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function flatten(job: Record<string, unknown>): Attributes {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(job)) {
    if (isObject(value)) for (const [inner, deep] of Object.entries(value)) found.set(`${name}.${inner}`, String(deep));
    else found.set(name, String(value));
  }
  return found;
}

/** `Job Id: 12.server`, then indented lines `name = value`; longer values go on behind a tab. */
function textJobs(stdout: string): ReadonlyMap<string, Attributes> | undefined {
  const jobs = new Map<string, Map<string, string>>();
  let job: Map<string, string> | undefined;
  for (const line of stdout.replaceAll(/\n\t/g, '').split('\n')) {
    const [, id] = /^Job Id: *(\S+)/.exec(line) ?? [];
    const [, name, value = ''] = /^ {2,}([\w.]+) = (.*)$/.exec(line) ?? [];
    if (id !== undefined) {
      job = new Map();
      jobs.set(id, job);
    } else if (name !== undefined) job?.set(name, value);
    else if (line.trim() !== '' && job === undefined) return undefined;
  }
  return jobs;
}

function statusOf(job: Attributes): JobStatus {
  const letter = job.get('job_state') ?? '';
  const phase = phaseOf(letter);
  const comment = text(job.get('comment'));
  const started = point(job.get('stime') ?? job.get('start_time'));
  const status = number(job.get('Exit_status') ?? job.get('exit_status'));
  const all = {
    phase: phase ?? 'running',
    state: printable(letter),
    isUnknownState: phase === undefined ? true : undefined,
    reason: phase === 'pending' ? (comment ?? letter) : undefined,
    stuck: stuckEnd(letter, comment),
    end: phase === 'ended' ? endOf({ letter, status, substate: job.get('substate'), comment }) : undefined,
    partition: text(job.get('queue')),
    account: text(job.get('Account_Name')),
    timeLimit: parseTime(job.get('Resource_List.walltime') ?? ''),
    expectedStart: phase === 'pending' ? point(job.get('estimated.start_time')) : undefined,
    startedAt: started,
    nodes: text(job.get('exec_host')?.replaceAll(/\/\d+(?:\*\d+)?/g, '')),
    nodeCount: number(job.get('Resource_List.nodect')),
    restarts: restartsOf(job),
    isSeveral: job.get('array') === 'True' ? true : undefined,
    usage: usageOf(job),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as JobStatus;
}

/** The first run counts as one. */
function restartsOf(job: Attributes): number | undefined {
  const runs = number(job.get('run_count'));
  return runs === undefined ? undefined : Math.max(0, runs - 1);
}

/** Memory is that of the whole job, asked for and used. */
function usageOf(job: Attributes): Usage {
  const all = {
    wallSeconds: parseTime(job.get('resources_used.walltime') ?? ''),
    wallLimitSeconds: parseTime(job.get('Resource_List.walltime') ?? ''),
    cpuSeconds: parseTime(job.get('resources_used.cput') ?? ''),
    cpus: number(job.get('Resource_List.ncpus')),
    memoryPeak: parseSize(job.get('resources_used.mem') ?? ''),
    memoryAsked: parseSize(job.get('Resource_List.mem') ?? ''),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function text(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : printable(value.trim());
}

function number(value: string | undefined): number | undefined {
  return value !== undefined && /^-?\d{1,9}$/.test(value.trim()) ? Number(value) : undefined;
}

function point(value: string | undefined): number | undefined {
  return value === undefined ? undefined : parsePoint(value);
}
