// The [batch] table: how the batch executors treat their scheduler.

import { key, table } from './table.ts';
import * as value from './value.ts';

const LATER = { later: 'batch executors' } as const;

export const batch = table({
  description: 'Settings of the batch executors.',
  keys: {
    argumentsVariable: key('arguments_variable', value.variableNames, {
      default: [],
      status: LATER,
      description:
        'CI variables that may hold submission arguments; the first one present counts, `SCHEDULER_PARAMETERS` is always the last.',
    }),
    commandDelayMs: key('command_delay', value.duration({ min: '0s' }), {
      default: '30s',
      status: LATER,
      description: 'Pause between two questions to the scheduler.',
    }),
    nfsTimeoutMs: key('nfs_timeout', value.duration({ min: '0s' }), {
      default: '30s',
      status: LATER,
      description: 'How late a file written on a compute node may appear on this host.',
    }),
    schedulerBin: key('scheduler_bin', value.absolutePath, {
      status: LATER,
      description: "Directory of the scheduler's commands.",
    }),
    envVars: key('env_vars', value.environment, {
      default: [],
      status: LATER,
      description: 'Variables for the submission command.',
    }),
    allowIllegalArgs: key('allow_illegal_args', value.flag, {
      default: false,
      status: LATER,
      description: 'Only warns about user arguments that collide with our own, instead of failing the job.',
      history: 'The only behaviour before upstream merge request 326.',
    }),
    skipCobaltLog: key('skip_cobalt_log', value.flag, {
      default: false,
      status: LATER,
      description: "Takes Cobalt's exit status from the job's output instead of its log file; for tests.",
    }),
    lsfJobCancellation: key('lsf_job_cancellation', value.flag, {
      default: false,
      status: LATER,
      description: 'Ends running LSF jobs with `bkill` when the CI job is cancelled.',
    }),
    defaultArgs: key('default_args', value.names, {
      default: [],
      status: LATER,
      description: 'Arguments that every submission gets.',
    }),
    disableNamePrefix: key('disable_name_prefix', value.flag, {
      default: false,
      status: LATER,
      description: 'Ignores the prefix that a user gives to job names with `SCHEDULER_JOB_PREFIX`.',
    }),
    pollIntervalMinMs: key('poll_interval_min', value.duration({ min: '1s' }), {
      default: '5s',
      origin: 'ours',
      status: LATER,
      description: 'Shortest pause between two questions about a submission, used while it is young.',
    }),
    pollIntervalMaxMs: key('poll_interval_max', value.duration({ min: '1s' }), {
      default: '60s',
      origin: 'ours',
      status: LATER,
      description: 'Longest pause between two questions about a submission.',
    }),
    maxPendingMs: key('max_pending', value.duration({ min: '1s', max: '8760h' }), {
      origin: 'ours',
      status: LATER,
      description: 'How long a submission may wait in the queue before it is cancelled.',
    }),
    budget: key('budget', value.choice('off', 'warn', 'refuse'), {
      default: 'off',
      origin: 'ours',
      status: LATER,
      description: 'What to do when the requested run time does not fit into what is left of the CI job.',
    }),
  },
  rule: {
    holds: (t) => t.pollIntervalMinMs <= t.pollIntervalMaxMs,
    wanted: 'poll_interval_min not to be longer than poll_interval_max',
  },
});
