// How Flux is asked about jobs: `flux jobs`, which starts Python and takes its time, so rarely. Source: flux-jobs(1).

import { printable } from '../../../contract/text.ts';
import type { Answer, EndKind, Inquired, Inquiry, JobEnd, JobStatus, Phase } from '../batch/scheduler.ts';

/** Unit separator: stands in no name. The note comes last, for it may hold anything. */
const SEPARATOR = '\u001f';
const FIELDS = [
  'id.f58plain',
  'state',
  'result',
  'returncode',
  'exception.type',
  'queue',
  'duration',
  't_run',
  't_inactive',
  'nodelist',
  'nnodes',
  'sched.t_estimate',
  'sched.reason_pending',
  'exception.note',
] as const;
type Row = Readonly<Record<(typeof FIELDS)[number], string>>;

const PHASES: Readonly<Record<string, Phase>> = {
  NEW: 'pending',
  DEPEND: 'pending',
  PRIORITY: 'pending',
  SCHED: 'pending',
  RUN: 'running',
  CLEANUP: 'ending',
  INACTIVE: 'ended',
};

/** No Flux answers: the broker is gone, or cannot be reached. */
const OUTAGE = /broker|connect|Connection|No route|ENOSYS|Function not implemented|not running|timed out|FLUX_URI/i;
const UNKNOWN_JOB = /No such job|unknown job|JobID \S+ unknown|does not exist/i;

export const fluxJobs: Inquiry = {
  about: (ids) => ({
    program: 'flux',
    argv: ['jobs', '-n', `--format=${FIELDS.map((name) => `{${name}}`).join(SEPARATOR)}`, ...ids],
  }),
  read,
};

/** A question about one job that failed: it is missing among the lines of the others. */
const FAILED_CALL = /^rpc: /m;

/** A purged job is an error beside the lines of the others. */
function read(answer: Answer, ids: readonly string[]): Inquired {
  const rows = answer.stdout.split('\n').filter((line) => line.includes(SEPARATOR));
  if (answer.exitCode === undefined || FAILED_CALL.test(answer.stderr)) return silent(answer);
  if (rows.length === 0 && !isUnknownJob(answer)) return silent(answer);
  const statuses = rows.map(parseRow).filter((row) => row !== undefined);
  if (statuses.length < rows.length) return { kind: 'silent', why: 'its answer makes no sense' };
  return { kind: 'known', jobs: new Map(statuses.filter(([id]) => ids.includes(id))) };
}

function silent(answer: Answer): Inquired {
  return { kind: 'silent', why: fluxError(answer) ?? 'it gave no answer in time' };
}

/** The first line of what it complained about, without its name in front. */
export function fluxError({ stderr }: Answer): string | undefined {
  const line = stderr.split('\n').find((each) => each.trim() !== '');
  return line === undefined ? undefined : printable(line.replace(/^flux-\w+: (?:ERROR: )?/, '').trim());
}

export function isFluxOutage({ stderr, exitCode }: Answer): boolean {
  return exitCode === undefined || (OUTAGE.test(stderr) && !UNKNOWN_JOB.test(stderr));
}

export function isUnknownJob({ stderr }: Answer): boolean {
  return UNKNOWN_JOB.test(stderr);
}

/** An id in its plain form: some versions write the first letter as ƒ whatever they are asked. */
export function plainId(text: string): string {
  return text.trim().replace(/^ƒ/, 'f');
}

function parseRow(line: string): readonly [string, JobStatus] | undefined {
  const cells = line.split(SEPARATOR);
  if (cells.length < FIELDS.length) return undefined;
  const note = cells.slice(FIELDS.length - 1).join(' ');
  const named = FIELDS.map((name, index) => [name, index === FIELDS.length - 1 ? note : (cells[index] ?? '').trim()]);
  const row = Object.fromEntries(named) as Row;
  return [plainId(row['id.f58plain']), statusOf(row)];
}

function statusOf(row: Row): JobStatus {
  const phase = PHASES[row.state];
  const ended = phase === 'ended' ? { end: endOf(row), endedAt: milliseconds(row.t_inactive) } : {};
  const estimate = phase === 'pending' ? milliseconds(row['sched.t_estimate']) : undefined;
  const all = {
    phase: phase ?? 'running',
    state: printable(row.state),
    isUnknownState: phase === undefined ? true : undefined,
    reason: phase === 'pending' ? reasonOf(row) : undefined,
    partition: text(row.queue),
    timeLimit: seconds(row.duration),
    expectedStart: estimate,
    startedAt: milliseconds(row.t_run),
    nodes: text(row.nodelist),
    nodeCount: seconds(row.nnodes),
    ...ended,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as JobStatus;
}

function reasonOf(row: Row): string {
  return text(row['sched.reason_pending']) ?? row.state.toLowerCase();
}

/** `-` and nothing stand for what is not known yet. */
function text(cell: string): string | undefined {
  return cell === '' || cell === '-' ? undefined : printable(cell);
}

function seconds(cell: string): number | undefined {
  const number = cell.trim() === '' ? Number.NaN : Number(cell);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}

function milliseconds(cell: string): number | undefined {
  const at = seconds(cell);
  return at === undefined ? undefined : Math.round(at * 1000);
}

/** An exception says what happened; without one the job came to its end by itself. */
function endOf(row: Row): JobEnd {
  const note = text(row['exception.note']);
  const code = Number(row.returncode);
  const hasCode = row.returncode !== '' && Number.isInteger(code);
  return {
    kind: kindOf(row, note ?? ''),
    ...(hasCode && code >= 0 ? { exitCode: code } : {}),
    // -128 stands for a job that never ran.
    ...(hasCode && code < 0 && code > -128 ? { signal: -code } : {}),
    ...(note === undefined ? {} : { note }),
  };
}

function kindOf(row: Row, note: string): EndKind {
  const type = row['exception.type'];
  if (row.result === 'COMPLETED') return 'completed';
  if (row.result === 'TIMEOUT' || type === 'timeout') return 'time-limit';
  if (/lost contact|node[ -]failure|node .*(?:down|offline)/i.test(note)) return 'node-failure';
  if (row.result === 'CANCELED' || type === 'cancel') return 'cancelled';
  // What cannot be granted is ended by the scheduler before it ran.
  if (type === 'alloc' || type === 'feasibility' || type === 'depend') return 'cancelled';
  if (type === 'exec') return /shell_init|No such file/.test(note) ? 'output-unopened' : 'start-failure';
  return 'failed';
}
