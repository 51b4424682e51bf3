// LSF as data, from its documents alone. Jobs are not interactive (`bsub -I`): that would tie their life to a
// connection. Without that LSF delivers output at the end, so our wrapper writes it.

import { JobError } from '../../contract/errors.ts';
import { inShell } from '../login-shell.ts';
import { readArguments } from './batch/option-reader.ts';
import type { Answer, Command, ResourceRequest, Scheduler, Submission, Submitted } from './batch/scheduler.ts';
import { isLsfOutage, lsfError, lsfJobs, readNames } from './lsf/inquiries.ts';
import { LSF_GRAMMAR } from './lsf/options.ts';
import { lsfReason } from './lsf/reasons.ts';

const MIB = 1024 ** 2;

export const lsf: Scheduler = {
  title: 'LSF',
  runningState: 'RUN',
  grammar: LSF_GRAMMAR,
  environment: {
    // BSUB_QUIET hides the number of a job; LSB_… act as options and change the form of answers.
    drop: /^(?:LSB|LSF|BSUB)_/,
    keep: ['LSF_ENVDIR', 'LSF_BINDIR', 'LSF_LIBDIR', 'LSF_SERVERDIR'],
    set: {},
  },
  unsetInJob: [],
  outputBy: 'wrapper',
  requestArguments,
  requestedTime,
  submit,
  readSubmitted,
  byName: {
    about: (name) => ({ program: 'bjobs', argv: ['-a', '-noheader', '-o', 'jobid', '-J', name] }),
    read: readNames,
  },
  overview: lsfJobs,
  details: lsfJobs,
  cancel,
  readCancelled: ({ exitCode, stdout, stderr }) =>
    exitCode === 0 || /already finished|No matching job|is not found/i.test(stdout + stderr),
  // INT, TERM, KILL, with JOB_TERMINATE_INTERVAL (10 s) between them.
  cancelLimitMs: 60_000,
  reason: lsfReason,
  neverAfterMs: 0,
};

function requestArguments(request: ResourceRequest): string[] {
  if (request.qos !== undefined) {
    const message = 'LSF has no qos that a job could ask for; leave SCHEDULER_QOS out.';
    throw new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
  }
  const { gpus, memory, time, partition, account, constraint, reservation, exclusive } = request;
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ['-n', request.tasks ?? request.nodes],
    ['-R', span(request)],
    ['-R', request.cpusPerTask === undefined ? undefined : `affinity[core(${request.cpusPerTask})]`],
    ['-R', memory === undefined ? undefined : `rusage[mem=${Math.ceil(memory / MIB)}MB/host]`],
    ['-R', constraint === undefined ? undefined : `select[${constraint}]`],
    ['-gpu', gpus === undefined ? undefined : `num=${gpus}`],
    ['-W', time === undefined || !Number.isFinite(time) ? undefined : Math.ceil(time / 60)],
    ['-q', partition],
    ['-P', account],
    ['-U', reservation],
  ];
  const options = given.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]));
  return exclusive ? [...options, '-x'] : options;
}

/** LSF counts slots; nodes are how they are spread. */
function span({ nodes, tasks = nodes }: ResourceRequest): string | undefined {
  if (nodes === undefined || tasks === undefined) return undefined;
  if (tasks % nodes === 0) return `span[ptile=${tasks / nodes}]`;
  const message = `${tasks} tasks cannot be shared out evenly among ${nodes} nodes, as LSF wants it.`;
  throw new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
}

/** `[hours:]minutes`, and perhaps a host whose speed is meant. */
function requestedTime(words: readonly string[]): number | undefined {
  const times = readArguments(words, LSF_GRAMMAR).flatMap((argument) => {
    return argument.kind === 'option' && argument.option.means === 'time' ? [argument.value ?? ''] : [];
  });
  const [, hours = '0', minutes] = /^(?:(\d{1,5}):)?(\d{1,6})(?:\/\S+)?$/.exec(times.at(-1) ?? '') ?? [];
  return minutes === undefined ? undefined : (Number(hours) * 60 + Number(minutes)) * 60;
}

/** Ours come last. What stands behind the options is a command line for a shell. */
function submit({ name, arguments: given, wrapper, output }: Submission): Command {
  return { program: 'bsub', argv: [...given, '-rn', '-J', name, '-oo', output, shellWord(wrapper)] };
}

function shellWord(text: string): string {
  return /^[\w./+@:,-]+$/.test(text) ? text : inShell(text);
}

function readSubmitted(answer: Answer): Submitted {
  const ids = [...answer.stdout.matchAll(/^Job <(\d+)> is submitted\b/gm)].map(([, id = '']) => id);
  const [first] = ids;
  if (ids.length === 1 && first !== undefined) return { kind: 'accepted', id: first };
  const why = lsfError(answer) ?? 'bsub answered without the number of a job';
  if (answer.exitCode === undefined || answer.exitCode === 0 || ids.length > 0) return { kind: 'doubtful', why };
  return { kind: isLsfOutage(answer) ? 'doubtful' : 'refused', why };
}

/** Never without a number: bkill would end the last job of the account. */
function cancel(id: string): Command {
  if (!/^[1-9]\d*$/.test(id)) throw new Error(`"${id}" is no number of a job`);
  return { program: 'bkill', argv: [id] };
}
