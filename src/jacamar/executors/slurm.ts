// Slurm as data: how its commands are called and what their answers mean. Checked against 22.05; what newer ones do
// is from their documents.

import { readArguments } from './batch/option-reader.ts';
import type { Answer, Command, ResourceRequest, Scheduler, Submission, Submitted } from './batch/scheduler.ts';
import { errorText, isOutage } from './slurm/answers.ts';
import { slurmDetails, slurmHistory, slurmOverview } from './slurm/inquiries.ts';
import { SLURM_GRAMMAR } from './slurm/options.ts';
import { slurmReason } from './slurm/reasons.ts';
import { parseTime, SLURM_TIME_FORMAT, timeArgument } from './slurm/times.ts';

const MIB = 1024 ** 2;

export const slurm: Scheduler = {
  title: 'Slurm',
  runningState: 'RUNNING',
  grammar: SLURM_GRAMMAR,
  environment: {
    drop: /^(?:SBATCH|SALLOC|SRUN|SQUEUE|SACCT|SCANCEL|SCONTROL|SINFO|SLURM)_/,
    keep: ['SLURM_CONF'],
    set: SLURM_TIME_FORMAT,
  },
  // --export=ALL sets nothing that an srun in the script would heed.
  unsetInJob: [],
  outputBy: 'scheduler',
  requestArguments,
  requestedTime,
  submit,
  readSubmitted,
  byName: {
    about: (name) => command('squeue', '--noheader', '--states=all', `--name=${name}`, '--format=%A'),
    read: readIds,
  },
  overview: slurmOverview,
  details: slurmDetails,
  history: slurmHistory,
  cancel,
  readCancelled,
  // KillWait is 30 s unless the site says otherwise, and comes in full when the job traps SIGTERM.
  cancelLimitMs: 60_000,
  reason: slurmReason,
  neverAfterMs: 0,
};

function command(program: string, ...argv: readonly string[]): Command {
  return { program, argv };
}

function requestArguments(request: ResourceRequest): string[] {
  const { nodes, tasks, cpusPerTask, gpus, memory, time, exclusive } = request;
  const { partition, account, qos, constraint, reservation } = request;
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ['--nodes', nodes],
    ['--ntasks', tasks],
    ['--cpus-per-task', cpusPerTask],
    ['--gpus-per-node', gpus],
    ['--mem', memory === undefined ? undefined : `${Math.ceil(memory / MIB)}M`],
    ['--time', time === undefined ? undefined : timeArgument(time)],
    ['--partition', partition],
    ['--account', account],
    ['--qos', qos],
    ['--constraint', constraint],
    ['--reservation', reservation],
  ];
  const options = given.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return exclusive ? [...options, '--exclusive'] : options;
}

/** sbatch takes the last one. */
function requestedTime(words: readonly string[]): number | undefined {
  const times = readArguments(words, SLURM_GRAMMAR).flatMap((argument) => {
    return argument.kind === 'option' && argument.option.means === 'time' ? [argument.value ?? ''] : [];
  });
  const last = times.at(-1);
  return last === undefined ? undefined : parseTime(last);
}

/** Ours come last, because sbatch takes the last of what is given twice. */
function submit({ name, arguments: given, wrapper, output, directory }: Submission): Command {
  return command(
    'sbatch',
    ...given,
    '--parsable',
    '--no-requeue',
    '--kill-on-invalid-dep=yes',
    `--job-name=${name}`,
    `--output=${output.replaceAll('%', '%%')}`,
    // What was written before an administrator forced a second start would be lost otherwise.
    '--open-mode=append',
    `--chdir=${directory}`,
    '--export=ALL',
    wrapper,
  );
}

/** The id is the only sign of a submission, whatever the exit code: several options make sbatch end well without one. */
function readSubmitted(answer: Answer): Submitted {
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  const [first = ''] = lines;
  if (lines.length === 1 && /^\d+$/.test(first)) return { kind: 'accepted', id: first };
  if (lines.length === 1 && /^\d+;\S+$/.test(first)) {
    const why = `sbatch gave the job to another cluster (${first}), where it cannot be followed`;
    return { kind: 'refused', why, orphan: first };
  }
  const why = errorText(answer) ?? 'sbatch answered without the number of a job';
  if (answer.exitCode === 0 || answer.exitCode === undefined || lines.length > 0) return { kind: 'doubtful', why };
  // Nothing reached a controller. Trouble with credentials is no such case: the answer may be what was not believed.
  if (/connect failure|standby|temporarily unable to accept/i.test(answer.stderr)) return { kind: 'transient', why };
  return isOutage(answer) ? { kind: 'doubtful', why } : { kind: 'refused', why };
}

function readIds(answer: Answer): string[] | undefined {
  if (answer.exitCode !== 0 || isOutage(answer)) return undefined;
  const lines = answer.stdout.split('\n').filter((line) => line !== '');
  return lines.every((line) => /^\d+$/.test(line)) ? [...new Set(lines)] : undefined;
}

/** An id with a cluster is one that `readSubmitted` refused. */
function cancel(id: string): Command {
  const [job = '', cluster] = id.split(';');
  // Never without a number: scancel would look for other things to end.
  if (!/^\d+$/.test(job)) throw new Error(`"${id}" is no number of a job`);
  return command('scancel', ...(cluster === undefined ? [] : [`--clusters=${cluster}`]), job);
}

/** Of a job that has ended or never was scancel says nothing, or one of these. */
function readCancelled(answer: Answer): boolean {
  if (answer.exitCode === 0) return !isOutage(answer);
  return /Invalid job id|already completing or completed/i.test(answer.stderr);
}
