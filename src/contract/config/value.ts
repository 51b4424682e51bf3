// The kinds of value that the configuration file knows. Each carries the words for the documentation and, as the
// message of its schema, what an administrator should have written: it follows "expected" in error texts.

import * as v from 'valibot';
import { MEMORY_WANTED, parseMemory, parseSize } from '../size.ts';
import { hasControls } from '../text.ts';
import { parseDuration } from './duration.ts';

/** A kind of value: how the documentation calls it, and the schema that reads it. */
export interface Kind<Input, Output> {
  readonly label: string;
  readonly schema: v.GenericSchema<Input, Output>;
}

/** Bounds of a number, or of a duration in its written form. */
interface Bounds<T> {
  readonly min: T;
  readonly max?: T;
}

export const flag = kind('boolean', v.boolean('true or false'));

export const line = kind('string', v.pipe(string('a text of one line'), v.check(isLine, 'a text of one line')));

const NAME = 'a name without blanks around it and without control characters';
export const name = kind('string', nameSchema(NAME));
export const names = kind('array of strings', v.array(nameSchema(NAME), 'an array of strings'));

/** An allowlist that is written but empty could mean "everyone" or "no one": refuse to guess. */
const NOT_EMPTY = 'at least one entry (without a list, leave the key out)';
export const allowlist = kind(
  'array of strings',
  v.pipe(v.array(nameSchema(NAME), 'an array of strings'), v.minLength(1, NOT_EMPTY)),
);
export const numberAllowlist = kind(
  'array of integers',
  v.pipe(v.array(wholeNumber({ min: 1 }), 'an array of whole numbers'), v.minLength(1, NOT_EMPTY)),
);

const FULL_PATH = 'a full path such as "group/project", without a slash at either end';
const fullPath = v.pipe(nameSchema(FULL_PATH), v.check(isFullPath, FULL_PATH));
export const fullPathAllowlist = kind(
  'array of strings',
  v.pipe(v.array(fullPath, 'an array of strings'), v.minLength(1, NOT_EMPTY)),
);

const ABSOLUTE = 'an absolute path';
export const absolutePath = kind('absolute path', v.pipe(string(ABSOLUTE), v.check(isAbsolutePath, ABSOLUTE)));

const VARIABLE = 'the name of an environment variable';
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const variable = v.pipe(string(VARIABLE), v.regex(VARIABLE_NAME, VARIABLE));
export const variableName = kind('variable name', variable);
export const variableNames = kind('array of variable names', v.array(variable, 'an array of variable names'));

const ENTRY = '"NAME=value" with a valid variable name';
export const environment = kind(
  'array of "NAME=value"',
  v.array(v.pipe(string(ENTRY), v.check(isEnvironmentEntry, ENTRY)), 'an array of "NAME=value"'),
);

/** Becomes bytes. */
export const memory = kind(
  'amount of memory',
  v.pipe(
    string(MEMORY_WANTED),
    v.check((text: string) => parseMemory(text) !== undefined, MEMORY_WANTED),
    v.transform((text: string) => parseMemory(text) ?? Number.NaN),
  ),
);

/** Text for people; line breaks, tabs and colours are theirs to choose. */
const MESSAGE = 'a text without control characters';
export const message = kind('string', v.pipe(string(MESSAGE), v.check(isMessage, MESSAGE)));

const HEX = '64 hexadecimal digits, as sha256sum prints them';
export const sha256 = kind(
  'string',
  v.pipe(
    string(HEX),
    v.regex(/^[0-9A-Fa-f]{64}$/, HEX),
    v.transform((text: string) => text.toLowerCase()),
  ),
);

const AUDIENCE = 'an audience or an array of audiences';
export const audiences = kind(
  'string or array of strings',
  v.pipe(
    v.union([nameSchema(AUDIENCE), v.pipe(v.array(nameSchema(AUDIENCE)), v.minLength(1, AUDIENCE))], AUDIENCE),
    v.transform((given: string | string[]) => (typeof given === 'string' ? [given] : given)),
  ),
);

const ORIGIN = 'an http or https URL without credentials, query or fragment';
export const serverUrl = kind(
  'URL',
  v.pipe(string(ORIGIN), v.check(isServerUrl, ORIGIN), v.transform(withoutLastSlash)),
);

const DIRECTORY =
  'an absolute path, or one that starts with $HOME or ~; elsewhere only $USER is replaced, and ".." is not taken';
export const dataDirectory = kind('path', v.pipe(string(DIRECTORY), v.check(isDataDirectory, DIRECTORY)));

const LOCATION = '"syslog" or an absolute path';
export const logLocation = kind(
  '"syslog" or absolute path',
  v.pipe(
    string(LOCATION),
    v.check((text: string) => text === 'syslog' || isAbsolutePath(text), LOCATION),
  ),
);

/** Upstream's documents do not say whether this one is a number or a switch. libseccomp takes no more than 4094. */
const ERROR_NUMBER = 'true, false or an error number up to 4094';
export const errorNumber = kind(
  'boolean or integer',
  v.union([v.boolean(), wholeNumber({ min: 0, max: 4094 })], ERROR_NUMBER),
);

/** One of a few words. */
export function choice<const Words extends readonly string[]>(...words: Words): Kind<Words[number], Words[number]> {
  const quoted = words.map((word) => JSON.stringify(word)).join(', ');
  return kind(`one of ${quoted}`, v.picklist(words, `one of ${quoted}`));
}

/** A whole number within bounds. */
export function integer(bounds: Bounds<number>): Kind<number, number> {
  return kind('integer', wholeNumber(bounds));
}

/** A duration in Go's notation; becomes milliseconds. */
export function duration(bounds: Bounds<string>): Kind<string, number> {
  const min = parseDuration(bounds.min) ?? Number.NaN;
  const max = parseDuration(bounds.max ?? '24h') ?? Number.NaN;
  const wanted = `a duration such as "90s" or "1h30m", from ${bounds.min} to ${bounds.max ?? '24h'}`;
  const within = (text: string) => {
    const milliseconds = parseDuration(text);
    return milliseconds !== undefined && milliseconds >= min && milliseconds <= max;
  };
  const milliseconds = (text: string) => parseDuration(text) ?? Number.NaN;
  return kind('duration', v.pipe(string(wanted), v.check(within, wanted), v.transform(milliseconds)));
}

const SIZE = 'a size such as "500MiB" or "2GiB", or "0"';
/** Becomes bytes. */
export const size = kind(
  'size',
  v.pipe(
    string(SIZE),
    v.check((text: string) => parseSize(text) !== undefined, SIZE),
    v.transform((text: string) => parseSize(text) ?? Number.NaN),
  ),
);

/** Whether a text is `NAME=value`. Exported because such a text may hold a secret: messages do not repeat it. */
export function isEnvironmentEntry(text: string): boolean {
  const equals = text.indexOf('=');
  return equals > 0 && VARIABLE_NAME.test(text.slice(0, equals)) && !text.includes('\0');
}

function kind<Input, Output>(label: string, schema: v.GenericSchema<Input, Output>): Kind<Input, Output> {
  return { label, schema };
}

function string(wanted: string) {
  return v.string(wanted);
}

function nameSchema(wanted: string) {
  return v.pipe(string(wanted), v.check(isName, wanted));
}

function wholeNumber({ min, max }: Bounds<number>) {
  const wanted = max === undefined ? `a whole number, ${min} or more` : `a whole number from ${min} to ${max}`;
  const most = max ?? Number.MAX_SAFE_INTEGER;
  return v.pipe(v.number(wanted), v.integer(wanted), v.minValue(min, wanted), v.maxValue(most, wanted));
}

function isLine(text: string): boolean {
  return text.trim() !== '' && !hasControls(text);
}

function isName(text: string): boolean {
  return isLine(text) && text.trim() === text;
}

function isFullPath(text: string): boolean {
  return text.split('/').every((part) => part !== '');
}

function isMessage(text: string): boolean {
  return !hasControls(text.replaceAll(/[\r\n\t]/g, '').replaceAll('\u001b', ''));
}

function isAbsolutePath(text: string): boolean {
  return text.startsWith('/') && !hasControls(text);
}

function isDataDirectory(text: string): boolean {
  const anchored = text.replace(/^(?:~|\$HOME|\$\{HOME\})(?=\/|$)/, '/');
  const expanded = anchored.replaceAll(/\$USER(?![A-Za-z0-9_])|\$\{USER\}/g, 'user');
  return isAbsolutePath(expanded) && !/[$~]/.test(expanded) && !expanded.split('/').includes('..');
}

/** The URL parser mends much by itself (backslashes, tabs, a missing "//"), so the text is looked at as well. */
function isServerUrl(text: string): boolean {
  return /^https?:\/\/[^\s\\?#@/][^\s\\?#@]*$/.test(text) && !hasControls(text) && URL.canParse(text);
}

/** One spelling, because the issuer of a token is compared with it exactly. */
function withoutLastSlash(text: string): string {
  const { origin, pathname } = new URL(text);
  let end = pathname.length;
  while (end > 0 && pathname[end - 1] === '/') end--;
  return origin + pathname.slice(0, end);
}
