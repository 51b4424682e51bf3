// Flux as data. A plain job where the script is all there is; a nested instance (`flux batch`) where the script starts
// jobs of its own, or asks for more than one task: flux submit would start as many copies of the script. From the
// documents and measurements of 0.88.

import { JobError } from '../../contract/errors.ts';
import { readArguments } from './batch/option-reader.ts';
import type { Answer, Command, Reason, ResourceRequest, Scheduler, Submission, Submitted } from './batch/scheduler.ts';
import { durationArgument, parseDuration } from './flux/durations.ts';
import { fluxError, fluxJobs, isFluxOutage, isUnknownJob, plainId } from './flux/inquiries.ts';
import { FLUX_GRAMMAR } from './flux/options.ts';

const ID = /^(?:ƒ|f)[1-9A-HJ-NP-Za-km-z]+$/;

export const flux: Scheduler = {
  title: 'Flux',
  runningState: 'RUN',
  grammar: FLUX_GRAMMAR,
  environment: {
    // Inside a job of Flux, FLUX_URI means the nested instance: only one that the site gives counts.
    drop: /^FLUX_/,
    keep: [],
    set: { FLUX_F58_FORCE_ASCII: '1' },
  },
  unsetInJob: [],
  outputBy: 'scheduler',
  requestArguments,
  requestedTime: (words) => {
    const last = valuesOf(words, 'time').at(-1);
    return last === undefined ? undefined : parseDuration(last);
  },
  ownCommands: /(?:^|[\s;&|(`"'$])flux\s+(?:run|submit|batch|alloc|bulksubmit|exec|resource|jobs|queue|start)\b/m,
  submit,
  readSubmitted,
  byName: {
    about: (name) => command('jobs', '-a', '-n', `--name=${name}`, '--format={id.f58plain}'),
    read: readIds,
  },
  overview: fluxJobs,
  details: fluxJobs,
  wait: (id) => command('job', 'status', id),
  cancel: (id) => command('cancel', checkedId(id)),
  readCancelled: (answer) => answer.exitCode === 0 || /inactive/i.test(answer.stderr) || isUnknownJob(answer),
  // TERM, and KILL 5 s later.
  cancelLimitMs: 30_000,
  reason: reasonOf,
  neverAfterMs: 0,
};

function command(...argv: readonly string[]): Command {
  return { program: 'flux', argv };
}

function requestArguments(request: ResourceRequest): string[] {
  const { nodes, tasks, cpusPerTask, time, partition, account, constraint, exclusive } = request;
  for (const name of ['memory', 'qos', 'reservation'] as const) {
    if (request[name] !== undefined) throw inexpressible(name);
  }
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ['-N', nodes],
    ['-n', tasks],
    ['-c', cpusPerTask],
    ['-g', gpusPerTask(request)],
    ['-t', time === undefined ? undefined : durationArgument(time)],
    ['-q', partition],
    ['-B', account],
  ];
  const options = given.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  const requires = constraint === undefined ? [] : [`--requires=${constraint}`];
  return [...options, ...requires, ...(exclusive ? ['-x'] : [])];
}

/** Asked for by node, given by task. */
function gpusPerTask({ gpus, nodes = 1, tasks = nodes }: ResourceRequest): number | undefined {
  if (gpus === undefined) return undefined;
  const each = (gpus * nodes) / tasks;
  if (Number.isInteger(each)) return each;
  const message = `${gpus} GPUs on each of ${nodes} node(s) cannot be shared out evenly among ${tasks} tasks, as Flux wants it.`;
  throw new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
}

function inexpressible(name: string): JobError {
  const message = `Flux has no ${name} that a job could ask for; leave SCHEDULER_${name.toUpperCase()} out.`;
  return new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
}

function valuesOf(words: readonly string[], means: keyof ResourceRequest): string[] {
  return readArguments(words, FLUX_GRAMMAR).flatMap((argument) => {
    return argument.kind === 'option' && argument.option.means === means ? [argument.value ?? ''] : [];
  });
}

/** Ours come last, because flux takes the last of what is given twice. */
function submit({ name, arguments: given, wrapper, output, directory, callsScheduler }: Submission): Command {
  const size = [...valuesOf(given, 'nodes'), ...valuesOf(given, 'tasks')];
  const nodes = valuesOf(given, 'nodes').length === 0 && valuesOf(given, 'exclusive').length > 0 ? ['-N', '1'] : [];
  const isNested = callsScheduler || size.some((value) => value !== '1');
  return command(
    isNested ? 'batch' : 'submit',
    ...(size.length === 0 ? ['-n', '1'] : []),
    // Whole nodes need their number.
    ...nodes,
    ...given,
    `--job-name=${name}`,
    // A template: {{id}} and the like would be filled in.
    `--output=${output}`,
    '--setopt=output.mode=append',
    `--cwd=${directory}`,
    wrapper,
  );
}

function readSubmitted(answer: Answer): Submitted {
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  const [first = ''] = lines;
  if (lines.length === 1 && ID.test(first)) return { kind: 'accepted', id: plainId(first) };
  const why = fluxError(answer) ?? 'flux answered without the number of a job';
  if (answer.exitCode === undefined || answer.exitCode === 0 || lines.length > 0) return { kind: 'doubtful', why };
  return { kind: isFluxOutage(answer) ? 'doubtful' : 'refused', why };
}

function readIds(answer: Answer): string[] | undefined {
  if (answer.exitCode !== 0) return undefined;
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  return lines.every((line) => ID.test(line)) ? lines.map(plainId) : undefined;
}

function checkedId(id: string): string {
  if (ID.test(id)) return id;
  throw new Error(`"${id}" is no id of a job`);
}

const REASONS: Readonly<Record<string, string>> = {
  depend: 'it depends on something that has not come true yet',
  priority: 'it has no priority yet; an urgency of 0 holds it',
  sched: 'it waits for the resources that it asks for',
  new: 'Flux has not looked at it yet',
};

/** The scheduler's own sentence, where it gives one. */
function reasonOf(word: string): Reason {
  const isNever = /unsatisfiable|infeasible|never|not feasible/i.test(word);
  if (isNever) return { text: 'no node has what it asks for', isNever };
  return { text: (Object.hasOwn(REASONS, word) ? REASONS[word] : undefined) ?? 'Flux gives this reason', isNever };
}
