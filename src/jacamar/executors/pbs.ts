// PBS as data: OpenPBS and PBS Pro, measured with OpenPBS 23.06; Torque from its documents.

import { JobError } from '../../contract/errors.ts';
import { OUTPUT } from './batch/job-directory.ts';
import { readArguments } from './batch/option-reader.ts';
import type {
  Answer,
  Command,
  Reason,
  ResourceRequest,
  Scheduler,
  Search,
  Submission,
  Submitted,
} from './batch/scheduler.ts';
import { parseTime, timeArgument } from './pbs/amounts.ts';
import { hasNoSuchForm, pbsError, pbsJobs } from './pbs/inquiries.ts';
import { PBS_GRAMMAR } from './pbs/options.ts';
import { readEpitaph } from './pbs/states.ts';

const MIB = 1024 ** 2;
const ID = /^\d+\.\S+$/;
/** Of an array: its number in brackets. */
const ARRAY_ID = /^\d+\[\]\.\S+$/;
/** PBSE codes modulo 256, as the commands end with them: no server, unknown job, finished job. */
const EXIT = { noServer: 162, unknownJob: 153, finishedJob: 35 } as const;

export const pbs: Scheduler = {
  title: 'PBS',
  runningState: 'R',
  grammar: PBS_GRAMMAR,
  environment: {
    drop: /^PBS_/,
    keep: ['PBS_CONF_FILE', 'PBS_SERVER', 'PBS_DEFAULT', 'PBS_EXEC'],
    set: {},
  },
  unsetInJob: [],
  // Torque has no direct writing.
  outputBy: 'either',
  requestArguments,
  requestedTime,
  submit,
  submitOtherwise,
  readSubmitted,
  byName: search(['-x'], search([])),
  // Without history it forgets a job at its end, but what it kills is told so in the output.
  endLog: { fileName: () => OUTPUT, isCertain: false, read: readEpitaph, isSkipped: () => false },
  overview: pbsJobs,
  details: pbsJobs,
  cancel,
  readCancelled: (answer) =>
    answer.exitCode === 0 ||
    answer.exitCode === EXIT.unknownJob ||
    answer.exitCode === EXIT.finishedJob ||
    /Unknown Job Id|has finished/i.test(answer.stderr),
  // kill_delay is 10 s unless the site says otherwise, and spent in full.
  cancelLimitMs: 60_000,
  reason: reasonOf,
  // Said of every job by a server that has just started, until its next cycle.
  neverAfterMs: 15 * 60_000,
};

function requestArguments(request: ResourceRequest): string[] {
  const { time, partition, account, exclusive } = request;
  for (const name of ['qos', 'constraint', 'reservation'] as const) {
    if (request[name] !== undefined) throw inexpressible(name);
  }
  const resources = [
    ...selection(request),
    ...(time === undefined || !Number.isFinite(time) ? [] : [`walltime=${timeArgument(time)}`]),
    ...(exclusive ? ['place=excl'] : []),
  ];
  return [
    ...resources.flatMap((resource) => ['-l', resource]),
    ...(partition === undefined ? [] : ['-q', partition]),
    ...(account === undefined ? [] : ['-A', account]),
  ];
}

/** Chunks, one for each node. */
function selection(request: ResourceRequest): string[] {
  const { nodes, tasks, cpusPerTask, gpus, memory } = request;
  if ([nodes, tasks, cpusPerTask, gpus, memory].every((each) => each === undefined)) return [];
  const chunks = nodes ?? 1;
  const each = Math.ceil((tasks ?? chunks) / chunks);
  if (tasks !== undefined && each * chunks !== tasks) {
    const message = `${tasks} tasks cannot be shared out evenly among ${chunks} nodes, as PBS wants it.`;
    throw new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
  }
  const parts = [
    `select=${chunks}`,
    ...(tasks === undefined && cpusPerTask === undefined ? [] : [`ncpus=${each * (cpusPerTask ?? 1)}`]),
    ...(tasks === undefined ? [] : [`mpiprocs=${each}`]),
    ...(gpus === undefined ? [] : [`ngpus=${gpus}`]),
    ...(memory === undefined ? [] : [`mem=${Math.ceil(memory / MIB)}mb`]),
  ];
  return [parts.join(':')];
}

function inexpressible(name: string): JobError {
  const message = `PBS has no ${name} in a form that all sites share; say it with SCHEDULER_PARAMETERS (-l, -q or -W).`;
  return new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
}

function requestedTime(words: readonly string[]): number | undefined {
  const times = readArguments(words, PBS_GRAMMAR).flatMap((argument) => {
    if (argument.kind !== 'option' || argument.option.names[0] !== '-l') return [];
    return (argument.value ?? '').match(/(?:^|,)walltime=([^,]+)/)?.[1] ?? [];
  });
  const last = times.at(-1);
  return last === undefined ? undefined : parseTime(last);
}

/** Ours come last. Without -f a qsub stays behind for a minute; the output is written where it is read, as it grows. */
function submit({ name, arguments: given, wrapper, output }: Submission): Command {
  const ours = ['-f', '-r', 'n', '-N', name, '-j', 'oe', '-k', 'oed', '-o', output];
  return { program: 'qsub', argv: [...given, ...ours, wrapper] };
}

/** Torque: its qsub neither stays behind nor writes directly, and what it spools comes when the job is over. */
function submitOtherwise({ name, arguments: given, wrapper, spool }: Submission): Command {
  return { program: 'qsub', argv: [...given, '-r', 'n', '-N', name, '-j', 'oe', '-o', spool, wrapper] };
}

function readSubmitted(answer: Answer): Submitted {
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  const [first = ''] = lines;
  if (lines.length === 1 && ID.test(first)) return { kind: 'accepted', id: first };
  if (lines.length === 1 && ARRAY_ID.test(first)) {
    return { kind: 'refused', why: 'it became an array of jobs, and was cancelled', orphan: first };
  }
  const why = answer.exitCode === undefined ? 'qsub gave no answer in time' : pbsError(answer);
  if (answer.exitCode === undefined || answer.exitCode === 0 || lines.length > 0) return { kind: 'doubtful', why };
  if (/illegal -k value|(?:illegal|invalid) option|usage:/i.test(answer.stderr)) return { kind: 'unavailable', why };
  const isOutage =
    answer.exitCode === EXIT.noServer || /connect|Communication failure|End of File/i.test(answer.stderr);
  return { kind: isOutage ? 'doubtful' : 'refused', why };
}

/** With history where there is one: a short job may have ended by now. */
function search(options: readonly string[], otherwise?: Search): Search {
  return {
    about: (name) => ({ program: 'qselect', argv: [...options, '-N', name] }),
    read: readIds,
    ...(otherwise === undefined ? {} : { otherwise }),
  };
}

function readIds(answer: Answer): string[] | 'unavailable' | undefined {
  if (hasNoSuchForm(answer)) return 'unavailable';
  if (answer.exitCode !== 0) return undefined;
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  return lines.every((line) => ID.test(line)) ? lines : undefined;
}

function cancel(id: string): Command {
  if (!ID.test(id) && !ARRAY_ID.test(id)) throw new Error(`"${id}" is no id of a job`);
  return { program: 'qdel', argv: [id] };
}

const LETTERS: Readonly<Record<string, string>> = {
  Q: 'PBS has not looked at it yet',
  H: 'it is held; "qrls" lets it go',
  W: 'its begin time has not come yet',
  T: 'it is on its way to another server',
  M: 'it was moved to another server',
};

const COMMENTS: readonly (readonly [RegExp, string])[] = [
  [/not enough|insufficient/i, 'it waits until what it asks for is free'],
  [/job is held|on hold/i, 'it is held; "qrls" lets it go'],
  [/limit/i, 'a limit of its queue, account or owner is reached'],
  [/reservation|dedicated time|draining|would conflict/i, 'time that is set aside for others stands in its way'],
  [/queue not started|not in started state/i, 'its queue starts no jobs at the moment'],
];

/** The scheduler's own comment. It can say "never" too early, when a node has not reported yet, so it must last. */
function reasonOf(word: string): Reason {
  if (/can never run/i.test(word)) return { text: 'no node has what it asks for', isNever: true };
  const text = LETTERS[word] ?? COMMENTS.find(([pattern]) => pattern.test(word))?.[1] ?? 'PBS gives this reason';
  return { text, isNever: false };
}
