// What Slurm calls the states of a job, and how one ended. Source: job_state_codes and job_exit_code of its
// documentation, and measurements with 22.05.

import type { EndKind, JobEnd, Phase } from '../batch/scheduler.ts';

const PHASES: Readonly<Record<Exclude<Phase, 'ended'>, readonly string[]>> = {
  pending: [
    'PENDING',
    'CONFIGURING',
    'REQUEUED',
    'REQUEUE_FED',
    'REQUEUE_HOLD',
    'SPECIAL_EXIT',
    'RESV_DEL_HOLD',
    'EXPEDITING',
    'POWER_UP_NODE',
  ],
  running: ['RUNNING', 'SUSPENDED', 'STOPPED', 'RESIZING', 'SIGNALING', 'UPDATE_DB'],
  ending: ['COMPLETING', 'STAGE_OUT'],
};

const ENDS: Readonly<Record<string, EndKind>> = {
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TIMEOUT: 'time-limit',
  DEADLINE: 'time-limit',
  OUT_OF_MEMORY: 'out-of-memory',
  NODE_FAIL: 'node-failure',
  PREEMPTED: 'preempted',
  BOOT_FAIL: 'start-failure',
  LAUNCH_FAILED: 'start-failure',
  RECONFIG_FAIL: 'start-failure',
  // In a federation: a sibling of it has started on another cluster.
  REVOKED: 'elsewhere',
};

/** Signal numbers of Slurm's own: the batch script could not open its output, or lost a process to the memory limit. */
const OUTPUT_UNOPENED = 53;
const OUT_OF_MEMORY = 125;

/** `a:b` of Slurm: exit status and signal of the batch script. */
export interface ExitCode {
  readonly status: number;
  readonly signal: number;
}

/** Undefined for anything else. */
export function parseExitCode(text: string): ExitCode | undefined {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  return match === null ? undefined : { status: Number(match[1]), signal: Number(match[2]) };
}

/** Where a job with this state is; undefined for a word that no table has. */
export function phaseOf(state: string): Phase | undefined {
  if (Object.hasOwn(ENDS, state)) return 'ended';
  const phases = Object.entries(PHASES) as [Exclude<Phase, 'ended'>, readonly string[]][];
  return phases.find(([, states]) => states.includes(state))?.[0];
}

/** What is known of an end. */
interface EndFacts {
  readonly state: string;
  readonly exit?: ExitCode | undefined;
  readonly reason?: string | undefined;
  readonly by?: string | undefined;
}

/** How a job in an end state ended. The exit code is that of a script which ended by itself, and of no other. */
export function endOf({ state, exit, reason, by }: EndFacts): JobEnd {
  const kind = kindOf(ENDS[state] ?? 'failed', exit, reason);
  const isScripts = kind === 'failed' || kind === 'completed';
  return {
    kind,
    ...(isScripts && exit !== undefined && exit.signal === 0 ? { exitCode: exit.status } : {}),
    ...(isScripts && exit !== undefined && exit.signal > 0 ? { signal: exit.signal } : {}),
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { note: reason }),
  };
}

/** FAILED says little by itself: some of Slurm's own failures hide behind signal numbers and reasons. */
function kindOf(kind: EndKind, exit: ExitCode | undefined, reason: string | undefined): EndKind {
  if (exit?.signal === OUT_OF_MEMORY) return 'out-of-memory';
  if (kind !== 'failed') return kind;
  if (exit?.signal === OUTPUT_UNOPENED) return 'output-unopened';
  if (reason === 'OutOfMemory') return 'out-of-memory';
  if (reason === 'NodeDown') return 'node-failure';
  const hasNoCode = exit === undefined || (exit.status === 0 && exit.signal === 0);
  return hasNoCode && reason === 'JobLaunchFailure' ? 'start-failure' : kind;
}
