// Says what is wrong with a configuration file, for the administrator who has to mend it: which key, on which
// line, what was expected, what is there, and for an unknown name the one that was probably meant.

import type { BaseIssue } from 'valibot';
import { closest } from '../closest.ts';
import { ConfigurationError } from '../errors.ts';
import { printable } from '../text.ts';
import { type KeyPath, lineFinder } from './key-line.ts';
import type { Table } from './table.ts';
import { isEnvironmentEntry } from './value.ts';

/** What the messages are about. */
interface Source {
  readonly fileName: string;
  readonly text: string;
  readonly root: Table<unknown>;
}

interface Problem {
  readonly code: string;
  readonly path: KeyPath;
  /** Before and after the place. */
  readonly before: string;
  readonly after: string;
}

/** More would hide the first ones. */
const MOST = 20;
/** Longest piece of a value that a message repeats. */
const LONGEST_VALUE = 80;

/** One error that tells all problems, one per line, in the order of the file. */
export function problemsError(issues: readonly BaseIssue<unknown>[], source: Source): ConfigurationError {
  const lineOf = lineFinder(source.text);
  const first = new Map<string, Problem & { line: number | undefined }>();
  for (const issue of issues) {
    const problem = problemOf(issue, source);
    const name = JSON.stringify(problem.path);
    if (!first.has(name)) first.set(name, { ...problem, line: lineOf(problem.path) });
  }
  const problems = [...first.values()].sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
  const lines = problems.slice(0, MOST).map((problem) => {
    const place = problem.line === undefined ? source.fileName : `${source.fileName}, line ${problem.line}`;
    return `${problem.before} (${place})${problem.after}`;
  });
  if (problems.length > MOST) lines.push(`… and ${problems.length - MOST} more`);
  return new ConfigurationError({ code: problems[0]?.code ?? 'ERR_CONFIG_VALUE', message: lines.join('\n') });
}

/** `auth.user_allowlist[2]`, with quotes where TOML would need them. */
function keyName(path: KeyPath): string {
  const parts = path.map((part) => {
    if (typeof part === 'number') return `[${part}]`;
    return /^[A-Za-z0-9_-]+$/.test(part) ? `.${part}` : `.${JSON.stringify(printable(part))}`;
  });
  return parts.join('').replace(/^\./, '');
}

function problemOf(issue: BaseIssue<unknown>, { root }: Source): Problem {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const here = keyName(path);
  if (issue.type === 'strict_object' && issue.expected === 'never') return unknownName(path, issue, root);
  if (issue.type === 'strict_object' && issue.expected !== 'Object') {
    return { code: 'ERR_CONFIG_KEY_MISSING', path, before: `missing key ${here}`, after: ': it is required' };
  }
  if (issue.type === 'raw_check') {
    const written = shown(issue.path?.at(-1)?.value); // the issue itself has the value as read
    return { code: 'ERR_CONFIG_KEY_NOT_SUPPORTED', path, before: here, after: ` = ${written}: ${issue.message}` };
  }
  return { code: 'ERR_CONFIG_VALUE', path, before: here, after: `: expected ${issue.message}${got(issue)}` };
}

function unknownName(path: KeyPath, issue: BaseIssue<unknown>, root: Table<unknown>): Problem {
  const isTable = isTableLike(issue.path?.at(-1)?.value);
  const what = isTable ? 'table' : 'key';
  const meant = nearest(path, root);
  const after = meant === undefined ? '' : `; did you mean ${meant}?`;
  const code = isTable ? 'ERR_CONFIG_TABLE_UNKNOWN' : 'ERR_CONFIG_KEY_UNKNOWN';
  return { code, path, before: `unknown ${what} ${keyName(path)}`, after };
}

function isTableLike(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0 && value.every(isTableLike);
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;
}

/** The name of the same table that differs least, or else that of another table. */
function nearest(path: KeyPath, root: Table<unknown>): string | undefined {
  const name = String(path.at(-1));
  return closest(name, namesOf(tableAt(path.slice(0, -1), root))) ?? closest(name, allNames(root, []));
}

function tableAt(path: KeyPath, root: Table<unknown>): Table<unknown> {
  return path.reduce<Table<unknown>>((table, part) => {
    return typeof part === 'number' ? table : (table.tables[part] ?? table);
  }, root);
}

function namesOf(table: Table<unknown>): string[] {
  return [...Object.values(table.keys).map(({ name }) => name), ...Object.keys(table.tables)];
}

function allNames(table: Table<unknown>, path: readonly string[]): string[] {
  const inner = Object.entries(table.tables).flatMap(([name, each]) => allNames(each, [...path, name]));
  return [...namesOf(table).map((name) => [...path, name].join('.')), ...inner];
}

/** A text that may hold a secret is not repeated, nor is a whole table. */
function got(issue: BaseIssue<unknown>): string {
  if (issue.requirement === isEnvironmentEntry) return '; the text is not repeated here';
  const isTableRule = issue.type === 'check' && typeof issue.input === 'object';
  return isTableRule ? '' : `, got ${shown(issue.input)}`;
}

function shown(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > LONGEST_VALUE ? `${value.slice(0, LONGEST_VALUE)}…` : value);
  }
  if (Array.isArray(value)) return value.length === 0 ? '[]' : 'an array';
  if (value instanceof Date) return 'a date';
  return typeof value === 'object' ? 'a table' : String(value);
}
