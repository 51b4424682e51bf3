// The three ways to ask Slurm about jobs: squeue for many, scontrol for one, sacct for what they have forgotten. Names
// of jobs, which may hold anything, are never asked for.

import { printable } from '../../../contract/text.ts';
import type { Answer, Inquired, Inquiry, JobStatus, Usage } from '../batch/scheduler.ts';
import { errorText, isOutage, isUnknownJob } from './answers.ts';
import { endOf, parseExitCode, phaseOf } from './states.ts';
import { parsePoint, parseTime } from './times.ts';

/** Unit separator: stands in no name. */
const SEPARATOR = '\u001f';
/** Id as `21_0`, `27+0`, state, reason, partition, account, qos, limit, (expected) start, nodes and their number. */
const SQUEUE_FIELDS = ['%i', '%T', '%r', '%P', '%a', '%q', '%l', '%S', '%N', '%D'] as const;
const SACCT_FIELDS = [
  'JobID',
  'State',
  'ExitCode',
  'Partition',
  'Account',
  'QOS',
  'Timelimit',
  'Start',
  'End',
  'NodeList',
  'AllocNodes',
  'AllocCPUS',
  'ElapsedRaw',
  'TotalCPU',
  'MaxRSS',
  'AllocTRES',
  'ReqTRES',
] as const;

/** What the sources say in words of their own; empty and placeholder texts are absent. */
interface Told {
  readonly state: string;
  readonly reason?: string | undefined;
  readonly exitCode?: string | undefined;
  readonly partition?: string | undefined;
  readonly account?: string | undefined;
  readonly qos?: string | undefined;
  readonly limit?: string | undefined;
  readonly start?: string | undefined;
  readonly end?: string | undefined;
  readonly nodes?: string | undefined;
  readonly nodeCount?: string | undefined;
  readonly restarts?: string | undefined;
  readonly isSeveral?: boolean;
  readonly usage?: Usage | undefined;
}

export const slurmOverview: Inquiry = {
  about: (ids) => ({
    program: 'squeue',
    argv: ['--noheader', '--states=all', `--jobs=${ids.join(',')}`, `--format=${SQUEUE_FIELDS.join(SEPARATOR)}`],
  }),
  read: (answer, ids) => read(answer, () => collect(answer.stdout, ids, squeueRow)),
};

export const slurmDetails: Inquiry = {
  about: (ids) => ({ program: 'scontrol', argv: ['--oneliner', 'show', 'job', ids[0] ?? ''] }),
  read: (answer, ids) => read(answer, () => collect(withoutFreeText(answer.stdout), ids, scontrolRecord)),
};

export const slurmHistory: Inquiry = {
  // Without a start sacct may look back to midnight only.
  about: (ids) => ({
    program: 'sacct',
    argv: [
      '--noheader',
      '--parsable2',
      `--delimiter=${SEPARATOR}`,
      '--units=K',
      '--starttime=now-60days',
      `--jobs=${ids.join(',')}`,
      `--format=${SACCT_FIELDS.join(',')}`,
    ],
  }),
  read: (answer, ids) => {
    if (/accounting storage is disabled|ENOENT|command not found/i.test(answer.stderr)) {
      return { kind: 'unavailable', why: errorText(answer) ?? 'there is no accounting' };
    }
    return read(answer, () => sacctJobs(answer.stdout, ids));
  },
};

/** An answer without sense is no answer, and neither is one of a controller that is away. */
function read(answer: Answer, parse: () => ReadonlyMap<string, JobStatus> | undefined): Inquired {
  if (isUnknownJob(answer)) return { kind: 'known', jobs: new Map() };
  const silent = (why: string) => ({ kind: 'silent', why: errorText(answer) ?? why }) as const;
  if (isOutage(answer)) return silent('it gave no answer in time');
  if (answer.exitCode !== 0) return silent(`it ended with exit status ${answer.exitCode}`);
  const jobs = parse();
  return jobs === undefined ? silent('its answer makes no sense') : { kind: 'known', jobs };
}

/** A record that stands more than once under an id, or under `21_0` and `27+0`, is of several jobs. */
function collect(
  stdout: string,
  ids: readonly string[],
  parse: (line: string) => readonly [string, Told] | undefined,
): ReadonlyMap<string, JobStatus> | undefined {
  const jobs = new Map<string, JobStatus>();
  for (const line of stdout.split('\n').filter((each) => each.trim() !== '')) {
    const parsed = parse(line);
    if (parsed === undefined) return undefined;
    const [id, told] = parsed;
    if (ids.includes(id)) jobs.set(id, statusOf({ ...told, isSeveral: told.isSeveral === true || jobs.has(id) }));
  }
  return jobs;
}

function squeueRow(line: string): readonly [string, Told] | undefined {
  const [id = '', state = '', reason, partition, account, qos, limit, start, nodes, nodeCount, ...more] =
    line.split(SEPARATOR);
  const [, base, part] = /^(\d+)([_+].*)?$/.exec(id) ?? [];
  if (base === undefined || nodeCount === undefined || more.length > 0 || !/^[A-Z_]+$/.test(state)) return undefined;
  return [
    base,
    { state, reason, partition, account, qos, limit, start, nodes, nodeCount, isSeveral: part !== undefined },
  ];
}

/** A comment may hold line breaks, and is printed as it is, also where a job is to be one line. */
function withoutFreeText(stdout: string): string {
  const lines = stdout.split('\n');
  return lines[0]?.startsWith('JobId=') ? lines.filter((line) => line.startsWith('JobId=')).join('\n') : stdout;
}

/** Free text (comment, command, directory) comes behind everything that is read here, so the first match counts. */
function scontrolRecord(line: string): readonly [string, Told] | undefined {
  const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1];
  const id = field('JobId');
  const state = field('JobState');
  if (id === undefined || state === undefined) return undefined;
  const array = field('ArrayJobId') ?? field('HetJobId');
  return [
    array ?? id,
    {
      state,
      reason: /(?: )Reason=(.*?) Dependency=/.exec(line)?.[1] ?? field('Reason'),
      exitCode: field('ExitCode'),
      partition: field('Partition'),
      account: field('Account'),
      qos: field('QOS'),
      limit: field('TimeLimit'),
      start: field('StartTime'),
      end: field('EndTime'),
      nodes: field('NodeList'),
      nodeCount: field('NumNodes'),
      restarts: field('Restarts'),
      isSeveral: array !== undefined,
      usage: usageOf({
        elapsed: parseTime(field('RunTime') ?? ''),
        limit: parseTime(field('TimeLimit') ?? ''),
        cpus: field('NumCPUs'),
        tres: field('AllocTRES') ?? field('TRES') ?? field('ReqTRES'),
        nodes: field('NumNodes'),
      }),
    },
  ];
}

/** A line per job and per step; steps know how much memory was used. */
function sacctJobs(stdout: string, ids: readonly string[]): ReadonlyMap<string, JobStatus> | undefined {
  const rows = stdout.split('\n').filter((line) => line !== '');
  const cells = rows.map((row) => row.split(SEPARATOR));
  if (cells.some((row) => row.length !== SACCT_FIELDS.length)) return undefined;
  const records = cells.map((row) => new Map(SACCT_FIELDS.map((name, index) => [name as string, row[index] ?? ''])));
  const jobs = new Map<string, JobStatus>();
  for (const record of records) {
    const [, id, part] = /^(\d+)([_+].*)?$/.exec((record.get('JobID') ?? '').replace(/\..*$/, '')) ?? [];
    if (id === undefined || !ids.includes(id) || record.get('JobID')?.includes('.')) continue;
    const steps = records.filter((step) => step.get('JobID')?.startsWith(`${id}.`));
    const told = sacctRecord(record, steps);
    jobs.set(id, statusOf({ ...told, isSeveral: part !== undefined || jobs.has(id) }));
  }
  return jobs;
}

function sacctRecord(record: ReadonlyMap<string, string>, steps: readonly ReadonlyMap<string, string>[]): Told {
  const peaks = steps.map((step) => bytesOf(step.get('MaxRSS') ?? '')).filter((peak) => peak !== undefined);
  return {
    state: record.get('State') ?? '',
    exitCode: trustedExitCode(record.get('ExitCode') ?? ''),
    partition: record.get('Partition'),
    account: record.get('Account'),
    qos: record.get('QOS'),
    limit: record.get('Timelimit'),
    start: record.get('Start'),
    end: record.get('End'),
    nodes: record.get('NodeList'),
    nodeCount: record.get('AllocNodes'),
    usage: usageOf({
      elapsed: numberOf(record.get('ElapsedRaw')),
      limit: parseTime(record.get('Timelimit') ?? ''),
      cpus: record.get('AllocCPUS'),
      cpuTime: parseTime(record.get('TotalCPU') ?? ''),
      peak: peaks.length === 0 ? undefined : Math.max(...peaks),
      tres: record.get('AllocTRES') || record.get('ReqTRES'),
      nodes: record.get('AllocNodes'),
    }),
  };
}

/** Before Slurm 25.11 sacct takes 128 from an exit code that is greater, so that a small one may be another. */
function trustedExitCode(text: string): string | undefined {
  const isDoubtful = /^(?:[1-9]|[1-9]\d|1[01]\d|12[0-7]):0$/.test(text);
  return isDoubtful ? undefined : text;
}

/** `CANCELLED by 1001` and the cut `CANCELLED+` are of sacct. */
function statusOf(told: Told): JobStatus {
  const [, state = told.state, by] = /^([A-Z_]+)\+?(?: by (\S+))?/.exec(told.state) ?? [];
  const phase = phaseOf(state);
  // Only while it waits `None` says something: nobody has looked at it yet.
  const reason = phase === 'pending' && told.reason === 'None' ? 'None' : present(told.reason);
  const exit = parseExitCode(told.exitCode ?? '');
  const start = parsePoint(told.start ?? '');
  const end = phase === 'ended' ? endOf({ state, exit, reason, by }) : undefined;
  return {
    phase: phase ?? 'running',
    state: printable(state),
    ...(phase === undefined ? { isUnknownState: true } : {}),
    ...defined({
      reason,
      end,
      // A cancel on the cluster where it was submitted reaches all of its siblings.
      stuck: end?.kind === 'elsewhere' ? end : undefined,
      partition: present(told.partition),
      account: present(told.account),
      qos: present(told.qos),
      timeLimit: parseTime(told.limit ?? ''),
      expectedStart: phase === 'pending' ? start : undefined,
      startedAt: phase === 'pending' ? undefined : start,
      endedAt: phase === 'ended' ? parsePoint(told.end ?? '') : undefined,
      nodes: present(told.nodes),
      nodeCount: numberOf(told.nodeCount),
      restarts: numberOf(told.restarts),
      usage: told.usage,
    }),
    ...(told.isSeveral ? { isSeveral: true } : {}),
  };
}

interface UsageFacts {
  readonly elapsed?: number | undefined;
  readonly limit?: number | undefined;
  readonly cpus?: string | undefined;
  readonly cpuTime?: number | undefined;
  readonly peak?: number | undefined;
  /** `cpu=1,mem=4G,node=1` */
  readonly tres?: string | undefined;
  readonly nodes?: string | undefined;
}

/** Memory asked is that of one node, since the peak is that of one process or node. */
function usageOf({ elapsed, limit, cpus, cpuTime, peak, tres, nodes }: UsageFacts): Usage {
  const [, memory = ''] = /(?:^|,)mem=([^,]+)/.exec(tres ?? '') ?? [];
  const asked = bytesOf(memory, 'M');
  return defined({
    wallSeconds: elapsed,
    wallLimitSeconds: limit,
    cpus: numberOf(cpus),
    cpuSeconds: cpuTime,
    memoryPeak: peak,
    memoryAsked: asked === undefined ? undefined : asked / Math.max(1, numberOf(nodes) ?? 1),
  });
}

/** Bytes of `4G`, `1234K`, `512Mn`; without a unit `unit` is meant. */
function bytesOf(text: string, unit = ''): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)[nc]?$/.exec(text);
  if (match === null) return undefined;
  const power = ' KMGTP'.indexOf(match[2] || unit || ' ');
  return Math.round(Number(match[1]) * 1024 ** power);
}

function numberOf(text: string | undefined): number | undefined {
  const match = /^(\d{1,15})(?:-\d+)?$/.exec(text ?? '');
  return match === null ? undefined : Number(match[1]);
}

function present(text: string | undefined): string | undefined {
  const isPlaceholder = text === undefined || /^(?:|\(null\)|N\/A|None assigned|Unknown|None)$/.test(text);
  return isPlaceholder ? undefined : printable(text);
}

/** Without the members that are undefined. */
function defined<T extends object>(parts: { readonly [Name in keyof T]: T[Name] | undefined }): T {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as T;
}
