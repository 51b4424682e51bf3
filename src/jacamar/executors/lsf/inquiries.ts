// How LSF is asked about jobs: bjobs, whose exit code says little, so its text is read. Source: bjobs(1) of LSF 10.1.

import { printable } from '../../../contract/text.ts';
import type { Answer, Inquired, Inquiry, JobStatus, Usage } from '../batch/scheduler.ts';
import { endOf, phaseOf } from './states.ts';

/** One character is allowed; free text comes last. */
const SEPARATOR = '^';
const FEW = ['jobid', 'stat', 'exit_code', 'queue', 'exec_host'] as const;
const MANY = [
  ...FEW,
  ...(['proj_name', 'nexec_host', 'runtimelimit', 'run_time', 'cpu_used', 'max_mem'] as const),
  ...(['exit_reason', 'pend_reason'] as const),
] as const;
type Row = Readonly<Partial<Record<(typeof MANY)[number], string>>>;

const NOT_FOUND = /^(?:Job <[^>]*> is not found|No (?:unfinished )?job found)\.?$/i;
const NO_SUCH_FIELD = /invalid .*field|unknown .*field|field name|illegal option|usage:/i;
const OUTAGE =
  /LSF is down|not responding|still trying|library call|connect|time ?out|timed out|communication|LSF daemon/i;

/** Older ones do not have all fields. */
export const lsfJobs: Inquiry = form(MANY, form(FEW));

function form(fields: readonly (keyof Row)[], otherwise?: Inquiry): Inquiry {
  const format = `${fields.join(' ')} delimiter='${SEPARATOR}'`;
  return {
    about: (ids) => ({ program: 'bjobs', argv: ['-noheader', '-o', format, ...ids] }),
    read: (answer, ids) => read(answer, ids, fields),
    ...(otherwise === undefined ? {} : { otherwise }),
  };
}

function read(answer: Answer, ids: readonly string[], fields: readonly (keyof Row)[]): Inquired {
  const lines = answer.stdout.split('\n').filter((line) => new RegExp(`^\\d+\\${SEPARATOR}`).test(line));
  if (lines.length === 0) return readNothing(answer);
  const rows = lines.map((line) => parseRow(line, fields));
  const known = rows.flatMap((row) =>
    ids.includes(row.jobid ?? '') ? [[row.jobid ?? '', statusOf(row)] as const] : [],
  );
  return { kind: 'known', jobs: new Map(known) };
}

/** Complaints alone say whether it knows no such job, or could not tell. */
function readNothing(answer: Answer): Inquired {
  const complaints = complaintsOf(answer);
  if (answer.exitCode === undefined) return { kind: 'silent', why: 'it gave no answer in time' };
  if (complaints.some((line) => NO_SUCH_FIELD.test(line))) {
    return { kind: 'unavailable', why: lsfError(answer) ?? 'it does not have these fields' };
  }
  if (complaints.length > 0 && complaints.every((line) => NOT_FOUND.test(line)))
    return { kind: 'known', jobs: new Map() };
  return { kind: 'silent', why: lsfError(answer) ?? 'it said nothing' };
}

/** The answer to a search by name. */
export function readNames(answer: Answer): readonly string[] | undefined {
  const ids = answer.stdout.split('\n').filter((line) => /^\d+$/.test(line.trim()));
  if (ids.length > 0) return ids.map((id) => id.trim());
  const complaints = complaintsOf(answer);
  if (answer.exitCode === undefined || complaints.length === 0) return undefined;
  return complaints.every((line) => NOT_FOUND.test(line)) ? [] : undefined;
}

function complaintsOf({ stdout, stderr }: Answer): string[] {
  return `${stderr}\n${stdout}`
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

export function isLsfOutage({ stderr, exitCode }: Answer): boolean {
  return exitCode === undefined || OUTAGE.test(stderr);
}

/** What a command complained about; of bsub the last words are only that nothing was submitted. */
export function lsfError({ stderr }: Answer): string | undefined {
  const line = stderr.split('\n').find((each) => each.trim() !== '');
  return line === undefined ? undefined : printable(line.replace(/ ?Job not submitted\.?\s*$/, '').trim());
}

function parseRow(line: string, fields: readonly (keyof Row)[]): Row {
  const cells = line.split(SEPARATOR);
  const last = cells.slice(fields.length - 1).join(SEPARATOR);
  return Object.fromEntries(
    fields.map((name, index) => [name, (index === fields.length - 1 ? last : (cells[index] ?? '')).trim()]),
  );
}

function statusOf(row: Row): JobStatus {
  const { stat = '' } = row;
  const phase = phaseOf(stat);
  const limit = amount(row.runtimelimit);
  const all = {
    phase: phase ?? 'running',
    state: printable(stat),
    isUnknownState: phase === undefined ? true : undefined,
    reason: phase === 'pending' ? (text(row.pend_reason) ?? stat) : undefined,
    end: phase === 'ended' ? endOf(stat, amount(row.exit_code), text(row.exit_reason)) : undefined,
    partition: text(row.queue),
    account: text(row.proj_name),
    timeLimit: limit === undefined ? undefined : limit * 60,
    nodes: phase === 'pending' ? undefined : text(row.exec_host),
    nodeCount: amount(row.nexec_host),
    usage: usageOf(row, limit),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as JobStatus;
}

function usageOf(row: Row, limit: number | undefined): Usage {
  const all = {
    wallSeconds: amount(row.run_time),
    wallLimitSeconds: limit === undefined ? undefined : limit * 60,
    cpuSeconds: amount(row.cpu_used),
    memoryPeak: bytes(row.max_mem),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** `-` stands for nothing. */
function text(cell: string | undefined): string | undefined {
  return cell === undefined || cell === '' || cell === '-' ? undefined : printable(cell);
}

/** The number in front of `12 second(s)`, `60.0/host1`. */
function amount(cell = ''): number | undefined {
  const [number] = /^\d+(?:\.\d+)?/.exec(cell) ?? [];
  return number === undefined ? undefined : Number(number);
}

const UNITS = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

function bytes(cell = ''): number | undefined {
  const [, number, unit = 'k'] = /^(\d+(?:\.\d+)?) *([KMGT])/i.exec(cell) ?? [];
  return number === undefined
    ? undefined
    : Math.round(Number(number) * UNITS[unit.toLowerCase() as keyof typeof UNITS]);
}
