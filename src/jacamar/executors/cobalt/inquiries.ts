// How Cobalt is asked about jobs: qstat, a table. A job that is not in it has ended. Source: qstat.py.

import { printable } from '../../../contract/text.ts';
import type { Answer, Inquired, Inquiry, JobStatus, Search } from '../batch/scheduler.ts';
import { phaseOf } from './states.ts';

/** In this order. A cell may hold single blanks. */
const COLUMNS = ['JobID', 'JobName', 'State', 'Queue', 'WallTime', 'Nodes', 'Location'] as const;
const HEADER = ['--header', COLUMNS.join(':')] as const;
type Row = Readonly<Partial<Record<(typeof COLUMNS)[number], string>>>;

/** Of none of the jobs that were asked for does it know: nothing is written. */
const KNOWS_NONE = 1;
const OUTAGE = /connect|contact|queue.manager|timed out|Traceback|communicat/i;

export const cobaltJobs: Inquiry = {
  about: (ids) => ({ program: 'qstat', argv: [...HEADER, ...ids] }),
  read: (answer, ids) => {
    const rows = readTable(answer);
    if (rows === undefined) return silent(answer);
    const known = rows.flatMap((row) =>
      ids.includes(row.JobID ?? '') ? [[row.JobID ?? '', statusOf(row)] as const] : [],
    );
    return { kind: 'known', jobs: new Map(known) };
  },
};

/** It cannot be asked for a name, so everything is listed. */
export const cobaltNames: Search = {
  about: () => ({ program: 'qstat', argv: [...HEADER] }),
  read: (answer, name) =>
    readTable(answer)?.flatMap((row) => (row.JobName === name && row.JobID !== undefined ? [row.JobID] : [])),
};

/** Undefined when it is no answer. Behind a line of `=` stand the rows. */
function readTable(answer: Answer): readonly Row[] | undefined {
  const { stdout, stderr, exitCode } = answer;
  if (exitCode === undefined || isCobaltOutage(answer)) return undefined;
  const lines = stdout.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0) return exitCode === 0 || (exitCode === KNOWS_NONE && stderr.trim() === '') ? [] : undefined;
  const rule = lines.findIndex((line) => /^[= ]*={3}[= ]*$/.test(line));
  if (exitCode !== 0 || rule < 0) return undefined;
  return lines.slice(rule + 1).map(parseRow);
}

function parseRow(line: string): Row {
  const cells = line.trim().split(/\s{2,}/);
  return Object.fromEntries(COLUMNS.map((name, index) => [name, cells[index] ?? '']));
}

function statusOf({ State: state = '', ...row }: Row): JobStatus {
  const phase = phaseOf(state);
  const all = {
    phase: phase ?? 'running',
    state: printable(state),
    isUnknownState: phase === undefined ? true : undefined,
    reason: phase === 'pending' ? printable(state) : undefined,
    partition: text(row.Queue),
    timeLimit: seconds(row.WallTime),
    nodes: phase === 'pending' ? undefined : text(row.Location),
    nodeCount: /^[1-9]\d*$/.test(row.Nodes ?? '') ? Number(row.Nodes) : undefined,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as unknown as JobStatus;
}

function text(cell = ''): string | undefined {
  return ['', '-', 'None', '[]'].includes(cell) ? undefined : printable(cell);
}

/** `hours:minutes:seconds` */
function seconds(cell = ''): number | undefined {
  const [, hours, minutes, rest] = /^(\d{1,5}):(\d\d):(\d\d)$/.exec(cell) ?? [];
  return hours === undefined ? undefined : Number(hours) * 3600 + Number(minutes) * 60 + Number(rest);
}

function silent(answer: Answer): Inquired {
  return { kind: 'silent', why: cobaltError(answer) ?? 'it gave no answer that makes sense' };
}

/** Some of its commands complain on standard output. */
export function isCobaltOutage({ stdout, stderr, exitCode }: Answer): boolean {
  return exitCode === undefined || OUTAGE.test(stderr) || /^Failed to (?:connect|get|contact)/im.test(stdout);
}

/** qsub tells the wall time there, too. */
export function cobaltError({ stderr }: Answer): string | undefined {
  const line = stderr.split('\n').find((each) => each.trim() !== '' && !/submitting walltime=/.test(each));
  return line === undefined ? undefined : printable(line.trim());
}
