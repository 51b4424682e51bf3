// Reads arguments as the scheduler's own submission command will: abbreviated long options, bundled short ones, values
// in the same word or the next. What was understood is written out again in one plain form, so that the scheduler
// cannot understand anything else.

import type { Grammar, Option } from './scheduler.ts';

/** One argument as it was understood. `written`: as the user wrote it, for messages. */
export type Argument =
  | { readonly kind: 'option'; readonly written: string; readonly option: Option; readonly value?: string }
  | { readonly kind: 'unknown'; readonly written: string; readonly words: readonly string[] }
  /** No option: it would be taken for the job's script, or ends the options. */
  | { readonly kind: 'word'; readonly written: string }
  | { readonly kind: 'malformed'; readonly written: string; readonly why: string };

/** Understands words; consumes the values of options. */
export function readArguments(words: readonly string[], grammar: Grammar): Argument[] {
  const found: Argument[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) found.push(...readWord(word, rest, grammar));
  return found;
}

/** The same in the form that leaves no doubt: `--name=value`, or the short name where there is no long one. */
export function writeArgument(option: Option, value: string | undefined): string[] {
  const name = option.plain ?? option.names.find((each) => each.startsWith('--')) ?? option.names[0] ?? '';
  if (value === undefined) return [name];
  if (name.startsWith('--')) return [`${name}=${value}`];
  return option.takes === 'optional' ? [`${name}${value}`] : [name, value];
}

function readWord(word: string, rest: string[], grammar: Grammar): Argument[] {
  if (word === '-' || word === '--' || !word.startsWith('-')) return [{ kind: 'word', written: word }];
  if (word.startsWith('--') || grammar.longOptionsWithOneDash) return [readLong(word, rest, grammar)];
  return readShort(word, rest, grammar);
}

function readLong(word: string, rest: string[], grammar: Grammar): Argument {
  const equals = word.startsWith('--') ? word.indexOf('=') : -1;
  const name = equals < 0 ? word : word.slice(0, equals);
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  const meant = optionsNamed(name, grammar);
  if (meant.length > 1) return { kind: 'malformed', written: word, why: ambiguous(meant) };
  const [option] = meant;
  if (option === undefined) return unknown(word, attached === undefined, rest);
  if (attached !== undefined && option.takes === 'nothing') {
    return { kind: 'malformed', written: word, why: 'it takes no value' };
  }
  return withValue(word, option, attached, rest);
}

/** As much of a word as is told with each letter in it. */
const LONGEST_BUNDLE = 40;

/** Letters one by one; the first that takes a value gets what follows it. */
function readShort(word: string, rest: string[], grammar: Grammar): Argument[] {
  const found: Argument[] = [];
  for (let position = 1; position < word.length; position++) {
    const name = `-${word[position]}`;
    const behind = word.slice(position + 1);
    const [option] = optionsNamed(name, grammar);
    const isAlone = position === 1 && (behind === '' || option?.takes !== 'nothing');
    const written = isAlone ? word : `${name} in ${word.slice(0, LONGEST_BUNDLE)}`;
    if (option === undefined) return [...found, unknown(`-${word.slice(position)}`, behind === '', rest)];
    if (option.takes !== 'nothing') return [...found, withValue(written, option, behind || undefined, rest)];
    found.push({ kind: 'option', written, option });
    if (behind !== '' && !grammar.bundlesShortOptions) {
      return [...found, { kind: 'malformed', written: word, why: `nothing may follow ${name} in the same word` }];
    }
  }
  return found;
}

function withValue(written: string, option: Option, attached: string | undefined, rest: string[]): Argument {
  if (option.takes !== 'value' || attached !== undefined) {
    return { kind: 'option', written, option, ...(attached === undefined ? {} : { value: attached }) };
  }
  const value = rest.shift();
  if (value === undefined) return { kind: 'malformed', written, why: 'it needs a value' };
  return { kind: 'option', written: `${written} ${value}`, option, value };
}

/** Whether it takes a value nobody knows; the last word of all could as well be meant for a script. */
function unknown(written: string, mayTakeNext: boolean, rest: string[]): Argument {
  const [next] = rest;
  const takesNext = mayTakeNext && rest.length > 1 && next !== undefined && !next.startsWith('-') && next !== ':';
  return { kind: 'unknown', written, words: takesNext ? [written, ...rest.splice(0, 1)] : [written] };
}

/** The option of that name, or all that it abbreviates. */
function optionsNamed(name: string, { options, abbreviatesLongOptions }: Grammar): Option[] {
  const exact = options.filter(({ names }) => names.includes(name));
  if (exact.length > 0 || !abbreviatesLongOptions || !name.startsWith('--')) return exact;
  return options.filter(({ names }) => names.some((each) => each.startsWith(name)));
}

function ambiguous(meant: readonly Option[]): string {
  const names = meant.flatMap(({ names }) => names.filter((name) => name.startsWith('--')).slice(0, 1));
  return `it can stand for ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', …' : ''}; write it out`;
}
