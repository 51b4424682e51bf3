// The arguments of a submission that came as one line: which CI variable holds them, and which of them are taken.

import { closest } from '../../../contract/closest.ts';
import { ARGUMENTS_VARIABLE } from '../../../contract/environment.ts';
import { JobError } from '../../../contract/errors.ts';
import { printable } from '../../../contract/text.ts';
import { type Argument, readArguments, writeArgument } from './option-reader.ts';
import type { Grammar, ResourceRequest } from './scheduler.ts';

/** An argument that goes to the scheduler, in its plain form. */
export interface Taken {
  readonly words: readonly string[];
  /** As the user wrote it. */
  readonly written: string;
  readonly means?: keyof ResourceRequest;
  readonly value?: string;
}

export interface Checked {
  readonly taken: readonly Taken[];
  /** For the job log. */
  readonly notices: readonly string[];
}

/** How strict to be. */
export interface Strictness {
  /** What the line is called, for messages: the name of its variable. */
  readonly source: string;
  /** `batch.allow_illegal_args` */
  readonly allowIllegal: boolean;
  /** Unknown options stay refused whatever else is allowed: an allow list cannot look into them. */
  readonly hasAllowLists: boolean;
}

/** Who reads more than that? */
const MOST_REFUSALS = 12;
/** Of one argument, in characters. */
const LONGEST_TOLD = 200;

/** The line of arguments that counts, and the variable it is in; variables that are empty do not count. */
export function chooseArguments(
  variables: Readonly<Record<string, string>>,
  argumentsVariable: readonly string[],
): { readonly name: string; readonly text: string } | undefined {
  for (const name of [...argumentsVariable, ARGUMENTS_VARIABLE]) {
    const text = variables[name];
    if (text !== undefined && text.trim() !== '') return { name, text };
  }
  return undefined;
}

/**
 * Decides about each argument.
 * @throws {JobError} ERR_ARGUMENT, with a line for each that is refused: which, why, and what to do
 */
export function checkArguments(words: readonly string[], grammar: Grammar, strictness: Strictness): Checked {
  const decisions = readArguments(words, grammar).map((argument) => decide(argument, grammar, strictness));
  const refusals = decisions.flatMap(({ refusal }) => (refusal === undefined ? [] : [refusal]));
  if (refusals.length > 0) throw new JobError({ code: 'ERR_ARGUMENT', message: some(refusals).join('\n') });
  return {
    taken: decisions.flatMap(({ taken }) => (taken === undefined ? [] : [taken])),
    notices: decisions.flatMap(({ notice }) => (notice === undefined ? [] : [notice])),
  };
}

/** A message has to stay short enough to be reported. */
function some(refusals: readonly string[]): readonly string[] {
  const left = refusals.length - MOST_REFUSALS;
  return left > 0 ? [...refusals.slice(0, MOST_REFUSALS), `So it is with ${left} more.`] : refusals;
}

interface Decision {
  readonly taken?: Taken;
  readonly notice?: string;
  readonly refusal?: string;
}

function decide(argument: Argument, grammar: Grammar, strictness: Strictness): Decision {
  const name = `${printable(argument.written.slice(0, LONGEST_TOLD))} (in ${strictness.source})`;
  switch (argument.kind) {
    case 'option':
      return decideOption(argument, name, strictness);
    case 'unknown':
      return decideUnknown(argument, name, grammar, strictness);
    case 'malformed':
      return { refusal: `${name} is not possible: ${argument.why}.` };
    case 'word':
      return { refusal: `${name} is not possible: ${wordRefusal(argument.written, grammar)}` };
  }
}

function decideOption(argument: Argument & { kind: 'option' }, name: string, { allowIllegal }: Strictness): Decision {
  const { option, value, written } = argument;
  const { rule, why = '', means } = option;
  const taken: Taken = {
    words: writeArgument(option, value),
    written,
    ...(means === undefined ? {} : { means }),
    ...(value === undefined ? {} : { value }),
  };
  if (rule === 'ours') return { notice: `${name} has no effect: ${why}` };
  const isHarmless = rule === 'allow' || (option.values !== undefined && !option.values.test(value ?? ''));
  if (isHarmless) return { taken, ...(rule === 'allow' && why !== '' ? { notice: `${name}: ${why}` } : {}) };
  if (allowIllegal) return { taken, notice: `${name} can break this job: ${why}` };
  return { refusal: `${name} is not possible: ${why}` };
}

function decideUnknown(
  { written, words }: Argument & { kind: 'unknown' },
  name: string,
  grammar: Grammar,
  { allowIllegal, hasAllowLists }: Strictness,
): Decision {
  const taken = { words, written };
  if (grammar.unknown === 'allow' && !hasAllowLists) return { taken };
  if (allowIllegal && !hasAllowLists) return { taken, notice: `${name} is not known here, and passed on as it is.` };
  const long = grammar.options.flatMap(({ names }) => names.filter((each) => each.startsWith('--')));
  const meant = closest(written.split('=', 1)[0] ?? '', long);
  const advice =
    meant === undefined ? 'Leave it out, or ask the site whether it can be allowed.' : `Is ${meant} meant?`;
  return { refusal: `${name} is not among the options that are taken here. ${advice}` };
}

/** Blanks, hyphens and quotes of a text processor: who sees the line in a message sees nothing wrong with it. */
const LOOKALIKE = /[\u00a0\u2000-\u201f\u202f\u205f\u2212\u3000\ufeff]/;

function wordRefusal(word: string, { refusedWords }: Grammar): string {
  const why = Object.hasOwn(refusedWords, word) ? refusedWords[word] : undefined;
  if (why !== undefined) return why;
  const [strange] = LOOKALIKE.exec(word) ?? [];
  if (strange !== undefined) {
    const code = strange.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
    return `it holds a character (U+${code}) that only looks like a blank, a hyphen or a quote. Type it anew.`;
  }
  if (word === '--') return 'it would end the options, and ours come behind yours. Leave it out.';
  return (
    'it is no option, and would be taken for the script of the job. ' +
    'If it belongs to an option, write both in one word (--option=value) or use quotes.'
  );
}
