// Cobalt as data, from its documents and public source alone. It forgets a job at its end: what it then still says
// stands in a log file of the job.

import { JobError } from '../../contract/errors.ts';
import { readArguments } from './batch/option-reader.ts';
import type { Answer, Command, ResourceRequest, Scheduler, Submission, Submitted } from './batch/scheduler.ts';
import { readEnd } from './cobalt/end-log.ts';
import { cobaltError, cobaltJobs, cobaltNames, isCobaltOutage } from './cobalt/inquiries.ts';
import { COBALT_GRAMMAR } from './cobalt/options.ts';
import { cobaltReason } from './cobalt/states.ts';

const FILES = {
  /** Cobalt takes the name of a job from it, where it knows no other. */
  output: (name: string) => `${name}.output`,
  errors: (name: string) => `${name}.error`,
  log: (name: string) => `${name}.cobaltlog`,
} as const;

export const cobalt: Scheduler = {
  title: 'Cobalt',
  runningState: 'running',
  grammar: COBALT_GRAMMAR,
  environment: {
    drop: /^(?:COBALT|C?QSTAT|QSUB|QDEL)_/,
    keep: ['COBALT_CONFIG_FILES'],
    set: {},
  },
  unsetInJob: [],
  // In one file, so that both streams stay in their order.
  outputBy: 'wrapper',
  requestArguments,
  requestedTime,
  submit,
  readSubmitted,
  byName: cobaltNames,
  overview: cobaltJobs,
  details: cobaltJobs,
  endLog: { fileName: FILES.log, isCertain: true, read: readEnd, isSkipped: ({ skipCobaltLog }) => skipCobaltLog },
  errorLog: { fileName: FILES.errors, variable: 'COBALT_SUMMARIZE_ERRORS' },
  cancel,
  readCancelled: (answer) => {
    const said = answer.stdout + answer.stderr;
    return /not found/i.test(said) || (answer.exitCode === 0 && !isCobaltOutage(answer));
  },
  cancelLimitMs: 120_000,
  reason: cobaltReason,
  neverAfterMs: 0,
};

function requestArguments(request: ResourceRequest): string[] {
  const { nodes, tasks, time, partition, account } = request;
  // Whole nodes are all that it gives, so `exclusive` asks for nothing.
  for (const name of ['cpusPerTask', 'gpus', 'memory', 'qos', 'constraint', 'reservation'] as const) {
    if (request[name] !== undefined) throw inexpressible(name);
  }
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ['-n', nodes],
    ['--proccount', tasks],
    ['-t', time === undefined || !Number.isFinite(time) ? undefined : Math.ceil(time / 60)],
    ['-q', partition],
    ['-A', account],
  ];
  return given.flatMap(([name, value]) => {
    if (value === undefined) return [];
    return name.startsWith('--') ? [`${name}=${value}`] : [name, String(value)];
  });
}

function inexpressible(name: string): JobError {
  const message = `Cobalt has no ${name} that a job could ask for by itself; say it with SCHEDULER_PARAMETERS (--attrs, -q).`;
  return new JobError({ code: 'ERR_SCHEDULER_VALUE', message });
}

/** Minutes, or `[days:]hours:minutes:seconds`. */
function requestedTime(words: readonly string[]): number | undefined {
  const last = valuesOf(words, 'time').at(-1) ?? '';
  if (/^\d{1,6}$/.test(last)) return Number(last) * 60;
  const [, days = '0', hours, minutes, seconds] = /^(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}):(\d{1,2})$/.exec(last) ?? [];
  if (hours === undefined) return undefined;
  return Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

function valuesOf(words: readonly string[], means: keyof ResourceRequest): string[] {
  return readArguments(words, COBALT_GRAMMAR).flatMap((argument) => {
    return argument.kind === 'option' && argument.option.means === means ? [argument.value ?? ''] : [];
  });
}

/** Ours come last. A number of nodes it must have. */
function submit({ name, arguments: given, wrapper, directory }: Submission): Command {
  const below = (file: (name: string) => string) => `${directory}/${file(name)}`;
  return {
    program: 'qsub',
    argv: [
      ...given,
      ...(valuesOf(given, 'nodes').length === 0 ? ['-n', '1'] : []),
      ...['-o', below(FILES.output), '-e', below(FILES.errors)],
      `--debuglog=${below(FILES.log)}`,
      `--jobname=${name}`,
      `--cwd=${directory}`,
      '--mode=script',
      wrapper,
    ],
  };
}

/** All but the number goes to standard error. */
function readSubmitted(answer: Answer): Submitted {
  const lines = answer.stdout.split('\n').filter((line) => line.trim() !== '');
  const [first = ''] = lines;
  if (lines.length === 1 && /^\d+$/.test(first.trim())) return { kind: 'accepted', id: first.trim() };
  const why = cobaltError(answer) ?? 'qsub answered without the number of a job';
  if (answer.exitCode === undefined || answer.exitCode === 0 || lines.length > 0) return { kind: 'doubtful', why };
  return { kind: isCobaltOutage(answer) ? 'doubtful' : 'refused', why };
}

function cancel(id: string): Command {
  if (!/^\d+$/.test(id)) throw new Error(`"${id}" is no number of a job`);
  return { program: 'qdel', argv: [id] };
}
