// All arguments of a submission, out of four sources. For each thing that can be asked for, the strongest source counts
// alone: typed keys, then the line of arguments, then batch.default_args, then [batch.defaults]. What the scheduler
// would make of two that contradict each other differs from one to the next, so it never sees both.

import { RESOURCE_VARIABLES } from '../../../contract/environment.ts';
import { ConfigurationError, JobError } from '../../../contract/errors.ts';
import type { Handoff } from '../../../contract/handoff.ts';
import { printable } from '../../../contract/text.ts';
import { type Checked, checkArguments, chooseArguments, type Taken } from './arguments.ts';
import { readRequest } from './request.ts';
import type { ResourceRequest, Scheduler } from './scheduler.ts';
import { splitWords } from './words.ts';

type Settings = Handoff['settings']['batch'];
type Meaning = keyof ResourceRequest;

export interface SubmissionArguments {
  /** For `Submission.arguments`. */
  readonly words: readonly string[];
  /** For the job log. */
  readonly notices: readonly string[];
}

/**
 * Reads, checks and joins what site and job ask for.
 * @param variables of the handoff
 * @throws {JobError} the job asks for something that cannot be meant, would break it, or is not allowed here
 * @throws {ConfigurationError} batch.default_args hold something that would break every job
 */
export function submissionArguments(
  scheduler: Scheduler,
  settings: Settings,
  variables: Handoff['variables'],
): SubmissionArguments {
  const request = readRequest(variables);
  const line = lineOf(scheduler, settings, variables);
  requireAllowed(settings.allow, line, request);
  const typed = new Set(Object.keys(request) as Meaning[]);
  const own = line.taken.filter(({ means }) => means === undefined || !typed.has(means));
  const asked = new Set([...typed, ...meaningsOf(own)]);
  const site = defaultArguments(scheduler, settings).filter(({ means }) => means === undefined || !asked.has(means));
  const rest = defaultsBeside(settings.defaults, new Set([...asked, ...meaningsOf(site)]));
  return {
    words: [
      ...site.flatMap(({ words }) => words),
      ...own.flatMap(({ words }) => words),
      ...scheduler.requestArguments({ ...rest, ...request }),
    ],
    notices: [...line.notices, ...line.taken.filter((each) => !own.includes(each)).map(replaced(line.name))],
  };
}

/** The checked line of arguments, and the variable it came from. */
interface Line extends Checked {
  readonly name: string;
}

function lineOf({ grammar }: Scheduler, settings: Settings, variables: Handoff['variables']): Line {
  const chosen = chooseArguments(variables, settings.argumentsVariable);
  if (chosen === undefined) return { name: '', taken: [], notices: [] };
  const checked = checkArguments(splitWords(chosen.text, chosen.name), grammar, {
    source: chosen.name,
    allowIllegal: settings.allowIllegalArgs,
    hasAllowLists: Object.values(settings.allow).some((list) => list !== undefined),
  });
  return { name: chosen.name, ...checked };
}

/** The site may use options that nobody knows here, but none that break every job. */
function defaultArguments({ grammar }: Scheduler, { defaultArgs }: Settings): readonly Taken[] {
  try {
    const strictness = { source: 'batch.default_args', allowIllegal: false, hasAllowLists: false };
    return checkArguments(defaultArgs, { ...grammar, unknown: 'allow' }, strictness).taken;
  } catch (cause) {
    if (!(cause instanceof JobError)) throw cause;
    throw new ConfigurationError({ code: 'ERR_CONFIG_DEFAULT_ARGS', message: cause.message, cause });
  }
}

function meaningsOf(taken: readonly Taken[]): Meaning[] {
  return taken.flatMap(({ means }) => (means === undefined ? [] : [means]));
}

/** What of `[batch.defaults]` nobody has asked for. */
function defaultsBeside({ timeMs, ...others }: Settings['defaults'], asked: ReadonlySet<Meaning>): ResourceRequest {
  const all = { ...others, time: timeMs === undefined ? undefined : Math.ceil(timeMs / 1000) };
  const wanted = Object.entries(all).filter(([name, value]) => value !== undefined && !asked.has(name as Meaning));
  return Object.fromEntries(wanted);
}

/** In both spellings: a list that held for one alone would bind nobody. */
function requireAllowed(allow: Settings['allow'], line: Line, request: ResourceRequest): void {
  for (const [meaning, list] of Object.entries(allow) as [keyof Settings['allow'], readonly string[] | undefined][]) {
    if (list === undefined) continue;
    const given = line.taken.filter(({ means }) => means === meaning);
    for (const { written, value } of given)
      requireListed(meaning, value ?? '', list, `${printable(written)} in ${line.name}`);
    requireListed(meaning, request[meaning], list, RESOURCE_VARIABLES[meaning]);
  }
}

function requireListed(what: string, value: string | undefined, list: readonly string[], source: string): void {
  const other = value?.split(',').find((each) => !list.includes(each));
  if (other === undefined) return;
  throw new JobError({
    code: 'ERR_ARGUMENT_NOT_ALLOWED',
    message: `The ${what} "${printable(other)}" (${source}) may not be used by CI jobs here. These may: ${list.join(', ')}.`,
  });
}

function replaced(source: string): (taken: Taken) => string {
  return ({ written, means }) => {
    const variable = means === undefined ? '' : RESOURCE_VARIABLES[means];
    return `${printable(written)} (in ${source}) has no effect: ${variable} takes its place.`;
  };
}
