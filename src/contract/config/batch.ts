// The [batch] table: how the batch executors treat their scheduler.

import { batchAllow } from './batch-allow.ts';
import { batchDefaults } from './batch-defaults.ts';
import { key, table } from './table.ts';
import * as value from './value.ts';

export const batch = table({
  description: 'Settings of the batch executors.',
  keys: {
    argumentsVariable: key('arguments_variable', value.variableNames, {
      default: [],
      status: 'works',
      description:
        'CI variables that may hold submission arguments; the first one that is not empty counts, `SCHEDULER_PARAMETERS` is always the last.',
      example: ['SITE_SCHEDULER_PARAMETERS'],
    }),
    commandDelayMs: key('command_delay', value.duration({ min: '0s' }), {
      default: '30s',
      status: 'works',
      description: 'Longest pause after a command of the scheduler that failed, before it is tried again.',
    }),
    nfsTimeoutMs: key('nfs_timeout', value.duration({ min: '0s' }), {
      default: '30s',
      status: 'works',
      description: 'How late a file written on a compute node may appear on this host.',
    }),
    schedulerBin: key('scheduler_bin', value.absolutePath, {
      status: 'works',
      description: "Directory of the scheduler's commands; without it, they are looked for in the system directories.",
      example: '/opt/slurm/bin',
    }),
    envVars: key('env_vars', value.environment, {
      default: [],
      status: 'works',
      description: "Variables for the scheduler's commands, such as `SLURM_CONF`.",
      example: ['SLURM_CONF=/etc/slurm/slurm.conf'],
    }),
    allowIllegalArgs: key('allow_illegal_args', value.flag, {
      default: false,
      status: 'works',
      description: 'Only warns about user arguments that break a CI job or are not known, instead of failing the job.',
      history: 'The only behaviour before upstream merge request 326.',
    }),
    skipCobaltLog: key('skip_cobalt_log', value.flag, {
      default: false,
      status: 'works',
      description:
        "Does without the log file that Cobalt writes about a job (`.cobaltlog`): the script's own word on its end is all that counts then, and time limits are not told from failures.",
      history: "Upstream takes the exit status from the job's output then; for tests.",
    }),
    lsfJobCancellation: key('lsf_job_cancellation', value.flag, {
      default: false,
      status: 'works',
      description:
        'Taken, and without effect: jobs of LSF are not interactive here, so `bkill` ends them in any case when the CI job is cancelled.',
      history: 'Upstream submits with `bsub -I`, and calls `bkill` only with this key.',
    }),
    defaultArgs: key('default_args', value.names, {
      default: [],
      status: 'works',
      description: 'Arguments that every submission gets, one word each, in front of those of the job.',
      example: ['--comment=gitlab-ci'],
    }),
    disableNamePrefix: key('disable_name_prefix', value.flag, {
      default: false,
      status: 'works',
      description: 'Ignores the prefix that a user gives to job names with `SCHEDULER_JOB_PREFIX`.',
    }),
    pollIntervalMinMs: key('poll_interval_min', value.duration({ min: '1s' }), {
      default: '5s',
      origin: 'ours',
      status: 'works',
      description: 'Shortest pause between two questions about a submission, used while it is young.',
    }),
    pollIntervalMaxMs: key('poll_interval_max', value.duration({ min: '1s' }), {
      default: '60s',
      origin: 'ours',
      status: 'works',
      description: 'Longest pause between two questions about a submission.',
    }),
    maxPendingMs: key('max_pending', value.duration({ min: '1s', max: '8760h' }), {
      origin: 'ours',
      status: 'works',
      description: 'How long a submission may wait in the queue before it is cancelled.',
      example: '4h',
    }),
    budget: key('budget', value.choice('off', 'warn', 'refuse'), {
      default: 'off',
      origin: 'ours',
      status: 'works',
      description: 'What to do when the requested run time does not fit into what is left of the CI job.',
    }),
    outputLimitKib: key('output_limit', value.integer({ min: 64, max: 1_048_576 }), {
      default: 4096,
      origin: 'ours',
      status: 'works',
      description:
        "How much the job log takes, in KiB: the `output_limit` of the runner's own configuration. Of a longer output the job log gets the beginning and the end; all of it stays in a file.",
    }),
  },
  tables: { allow: batchAllow, defaults: batchDefaults },
  rule: {
    holds: (t) => t.pollIntervalMinMs <= t.pollIntervalMaxMs,
    wanted: 'poll_interval_min not to be longer than poll_interval_max',
  },
});
