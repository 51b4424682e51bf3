// How Slurm writes about a job: states, exit codes, times, the fields of its queries. Pure.

import type { FakeJob } from './engine.ts';

export const NODE = 'fake1';
export const PARTITION = 'batch';
const TRES = 'cpu=1,mem=100M,node=1,billing=1';

interface Ended {
  readonly state: string;
  readonly reason: string;
  /** `code:signal`, as scontrol shows it. */
  readonly exitCode: string;
}

function ended(job: FakeJob): Ended {
  const { exitCode = 0, signal = 15 } = job;
  const reason = waitsFor(job);
  const wasPending = job.startedAt === job.endedAt;
  switch (job.end) {
    case 'signalled':
      return { state: 'FAILED', reason: 'JobLaunchFailure', exitCode: `0:${signal}` };
    case 'unopened':
      return { state: 'FAILED', reason: 'JobLaunchFailure', exitCode: '0:53' };
    case 'cancelled':
      return wasPending
        ? { state: 'CANCELLED', reason, exitCode: '0:0' }
        : { state: 'CANCELLED', reason: 'None', exitCode: `0:${signal}` };
    case 'time-limit':
      return { state: 'TIMEOUT', reason: 'TimeLimit', exitCode: '0:15' };
    case 'node-failure':
      return { state: 'NODE_FAIL', reason: 'NodeDown', exitCode: '0:15' };
    case 'out-of-memory':
      return { state: 'OUT_OF_MEMORY', reason: 'OutOfMemory', exitCode: '0:125' };
    case 'start-failure':
      return { state: 'BOOT_FAIL', reason: 'None', exitCode: '0:0' };
    default:
      return exitCode === 0
        ? { state: 'COMPLETED', reason: 'None', exitCode: '0:0' }
        : { state: 'FAILED', reason: 'NonZeroExitCode', exitCode: `${exitCode}:0` };
  }
}

export function stateOf(job: FakeJob): string {
  return job.phase === 'ended' ? ended(job).state : job.phase.toUpperCase();
}

export function reasonOf(job: FakeJob): string {
  if (job.phase === 'ended') return ended(job).reason;
  return waitsFor(job);
}

function waitsFor({ isHeld, reason }: FakeJob): string {
  return isHeld ? 'JobHeldUser' : reason;
}

/** Who asks how. */
export interface Form {
  /** Name of the job's owner. */
  readonly owner: string;
  /** `SLURM_TIME_FORMAT` of the caller; of all forms that it may name, seconds since 1970 are known here. */
  readonly timeFormat: string | undefined;
  /** The line of the batch step, which has what is measured. */
  readonly isStep?: boolean;
}

function point(time: number | undefined, { timeFormat }: Form, absent = 'Unknown'): string {
  if (time === undefined) return absent;
  return timeFormat === '%s' ? String(Math.floor(time / 1000)) : stamp(time);
}

/** Local time. */
export function stamp(time: number): string {
  const shifted = new Date(time - new Date(time).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

/** `1-02:03:04`; squeue leaves out leading zeros. */
function duration(seconds: number, isShort: boolean): string {
  if (seconds === Number.POSITIVE_INFINITY) return 'UNLIMITED';
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const clock = `${two((seconds / 3600) % 24)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days > 0) return `${days}-${clock}`;
  return isShort ? clock.replace(/^00:/, '').replace(/^0/, '') : clock;
}

function ranFor({ phase, startedAt, endedAt }: FakeJob): number {
  if (startedAt === undefined || phase === 'pending') return 0;
  return Math.floor(((endedAt ?? Date.now()) - startedAt) / 1000);
}

/** The partition's when none is asked for. */
function limitOf({ request }: FakeJob): number {
  return request.timeLimit ?? 600;
}

const nodeOf = (job: FakeJob) => (job.phase === 'pending' || job.startedAt === job.endedAt ? '' : NODE);
const startOf = (job: FakeJob) => (job.phase === 'pending' ? undefined : job.startedAt);

/** `squeue --format`, by letter. */
const SQUEUE: Readonly<Record<string, (job: FakeJob, form: Form) => string>> = {
  i: ({ id }) => id,
  A: ({ id }) => id,
  T: stateOf,
  r: reasonOf,
  R: (job) => nodeOf(job) || `(${reasonOf(job)})`,
  P: () => PARTITION,
  a: () => '(null)',
  q: () => 'normal',
  j: ({ request }) => request.name,
  u: (_, { owner }) => owner,
  U: ({ request }) => String(request.uid),
  l: (job) => duration(limitOf(job), true),
  L: (job) => duration(limitOf(job) - ranFor(job), true),
  M: (job) => duration(ranFor(job), true),
  S: (job, form) => point(startOf(job), form, 'N/A'),
  e: ({ endedAt }, form) => point(endedAt, form, 'N/A'),
  V: ({ submittedAt }, form) => point(submittedAt, form),
  N: nodeOf,
  B: (job) => nodeOf(job) || 'n/a',
  D: () => '1',
  C: () => '1',
  m: () => '100M',
  k: () => '(null)',
  Q: () => '4294901759',
};

/** @throws for a letter that the imitation does not know, so that a test does not pass for the wrong reason */
export function squeueLine(format: string, job: FakeJob, form: Form): string {
  return format.replace(/%\.?\d*([A-Za-z])/g, (_, letter: string) => known(SQUEUE, letter)(job, form));
}

/** `sacct --format`, in lower case. */
const SACCT: Readonly<Record<string, (job: FakeJob, form: Form) => string>> = {
  jobid: ({ id }, { isStep }) => (isStep ? `${id}.batch` : id),
  jobidraw: ({ id }, { isStep }) => (isStep ? `${id}.batch` : id),
  jobname: ({ request }, { isStep }) => (isStep ? 'batch' : request.name),
  state: (job, { isStep }) => {
    const state = stateOf(job);
    return state === 'CANCELLED' && !isStep ? `CANCELLED by ${job.cancelledBy ?? 0}` : state;
  },
  exitcode: sacctExitCode,
  derivedexitcode: () => '0:0',
  elapsed: (job) => duration(ranFor(job), false),
  elapsedraw: (job) => String(ranFor(job)),
  timelimit: (job, { isStep }) => (isStep ? '' : duration(limitOf(job), false)),
  timelimitraw: (job, { isStep }) => (isStep ? '' : String(limitOf(job) / 60)),
  totalcpu: () => '00:00.010',
  cputimeraw: (job) => String(ranFor(job)),
  alloccpus: () => '1',
  ncpus: () => '1',
  reqcpus: () => '1',
  nnodes: () => '1',
  allocnodes: (job) => (nodeOf(job) === '' ? '0' : '1'),
  alloctres: (job) => (nodeOf(job) === '' ? '' : TRES),
  reqtres: (_, { isStep }) => (isStep ? '' : TRES),
  reqmem: (_, { isStep }) => (isStep ? '' : '100M'),
  maxrss: (_, { isStep }) => (isStep ? '1536K' : ''),
  submit: ({ submittedAt }, form) => point(submittedAt, form),
  start: (job, form) => point(startOf(job), form),
  end: ({ endedAt }, form) => point(endedAt, form),
  nodelist: (job) => nodeOf(job) || 'None assigned',
  partition: (_, { isStep }) => (isStep ? '' : PARTITION),
  account: () => '',
  qos: (_, { isStep }) => (isStep ? '' : 'normal'),
  reason: (job) => reasonOf(job),
  user: (_, { owner, isStep }) => (isStep ? '' : owner),
  restarts: ({ restarts }) => String(restarts),
};

/** Slurm before 25.11 subtracts 128, and knows nothing of the signal that ended a cancelled job. */
function sacctExitCode(job: FakeJob): string {
  if (job.phase !== 'ended') return '0:0';
  const { state, exitCode } = ended(job);
  const [code = 0, signal = 0] = exitCode.split(':').map(Number);
  if (state === 'CANCELLED') return '0:0';
  return `${code >= 128 ? code - 128 : code}:${signal}`;
}

export function sacctLine(format: string, delimiter: string, job: FakeJob, form: Form): string {
  const fields = format.split(',').map((field) => field.replace(/%.*/, '').toLowerCase());
  return fields.map((field) => known(SACCT, field)(job, form)).join(delimiter);
}

/** A record of `scontrol --oneliner show job`. */
export function scontrolRecord(job: FakeJob, form: Form): string {
  const { id, request, restarts } = job;
  const { owner } = form;
  const output = request.output(id);
  const fields = {
    JobId: id,
    JobName: request.name,
    UserId: `${owner}(${request.uid})`,
    GroupId: `${owner}(${request.gid})`,
    MCS_label: 'N/A',
    Priority: job.isHeld ? '0' : '4294901759',
    Nice: '0',
    Account: '(null)',
    QOS: 'normal',
    JobState: stateOf(job),
    Reason: reasonOf(job),
    Dependency: '(null)',
    Requeue: request.mayRequeue === true ? '1' : '0',
    Restarts: String(restarts),
    BatchFlag: '1',
    Reboot: '0',
    ExitCode: job.phase === 'ended' ? ended(job).exitCode : '0:0',
    RunTime: duration(ranFor(job), false),
    TimeLimit: duration(limitOf(job), false),
    TimeMin: 'N/A',
    SubmitTime: point(job.submittedAt, form),
    EligibleTime: point(job.submittedAt, form),
    StartTime: point(startOf(job), form),
    EndTime: point(job.endedAt, form),
    Deadline: 'N/A',
    Partition: PARTITION,
    NodeList: nodeOf(job),
    ...(nodeOf(job) === '' ? {} : { BatchHost: NODE }),
    NumNodes: '1',
    NumCPUs: '1',
    NumTasks: '1',
    'CPUs/Task': '1',
    TRES,
    MinMemoryCPU: '100M',
    Command: '(null)',
    WorkDir: request.directory,
    StdErr: output,
    StdIn: '/dev/null',
    StdOut: output,
    Power: '',
  };
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')} \n`;
}

function known<T>(table: Readonly<Record<string, T>>, word: string): T {
  const found = table[word];
  if (found === undefined) throw new Error(`the imitation of Slurm does not know the field ${word}`);
  return found;
}
