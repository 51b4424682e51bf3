// What the administrator sees of the build directories: a table or JSON, and on standard error how far things are.

import { describeSize } from '../contract/size.ts';
import { printable } from '../contract/text.ts';
import type { DirectoryLine } from '../contract/workspace-lines.ts';
import type { Account } from './workspace-errand.ts';

const COLUMNS = ['SIZE', 'FILES', 'LAST USED', 'STATE', 'PATH'] as const;

/** One account with its directories, the least recently used first; empty for an account that has none. */
export function describeAccount({ user, base, directories, error }: Account, now: number): string {
  if (directories.length === 0 && error === undefined) return '';
  const rows = directories.toSorted((one, other) => one.lastUse - other.lastUse).map((line) => rowOf(line, now));
  const bytes = sumOf(directories);
  return [
    `${user}: ${describeSize(bytes)} below ${printable(base)}, build directories: ${directories.length}`,
    ...(rows.length === 0 ? [] : tableOf([COLUMNS, ...rows])),
    ...directories.flatMap(notesOf),
    ...(error === undefined ? [] : [`  Error: ${printable(error)}`]),
    '',
  ].join('\n');
}

/** The last lines: what there is, and what became of it. */
export function describeTotals(accounts: readonly Account[]): string {
  const directories = accounts.flatMap((account) => account.directories);
  const part = (state: DirectoryLine['state']) => directories.filter((line) => line.state === state);
  const said = (state: DirectoryLine['state'], text: string) =>
    part(state).length === 0
      ? []
      : [`${text}: ${describeSize(sumOf(part(state)))}, build directories: ${part(state).length}`];
  return [
    `All: ${describeSize(sumOf(directories))}, build directories: ${directories.length}`,
    ...said('chosen', 'Would be removed'),
    ...said('removed', 'Removed'),
    ...said('remains', 'Could not be removed whole'),
  ].join('\n');
}

/** The same for programs. Sizes in bytes, times in seconds since 1970. */
export function toJson(accounts: readonly Account[]): string {
  const withoutTag = ({ line: _, ...directory }: DirectoryLine & { line?: unknown }) => directory;
  const cleaned = accounts.map((account) => ({ ...account, directories: account.directories.map(withoutTag) }));
  return JSON.stringify({ accounts: cleaned }, undefined, 2);
}

function sumOf(directories: readonly DirectoryLine[]): number {
  return directories.reduce((sum, { bytes }) => sum + bytes, 0);
}

function rowOf({ bytes, entries, lastUse, state, path }: DirectoryLine, now: number): string[] {
  return [describeSize(bytes), String(entries), describeAge(now - lastUse), state, printable(path)];
}

/** @param seconds since then */
function describeAge(seconds: number): string {
  if (seconds < 3600) return 'this hour';
  return seconds < 2 * 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} days ago`;
}

function tableOf(rows: readonly (readonly string[])[]): string[] {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

function notesOf({ path, notes }: DirectoryLine): string[] {
  return notes.map((note) => `  ${printable(path)}: ${printable(note)}`);
}

const SAY_EVERY_MS = 2_000;

/** Says on standard error how far things are, now and then. */
export class ProgressReport {
  readonly #say: (text: string) => void;
  readonly #total: number;
  #done = 0;
  #last = performance.now();

  constructor(total: number, say: (text: string) => void) {
    this.#total = total;
    this.#say = say;
  }

  busy(user: string, entries: number): void {
    this.#tell(`${user}: ${entries} files`);
  }

  done(): void {
    this.#done += 1;
    this.#tell('');
  }

  #tell(detail: string): void {
    if (performance.now() - this.#last < SAY_EVERY_MS) return;
    this.#last = performance.now();
    this.#say(`${this.#done} of ${this.#total} accounts${detail === '' ? '' : `, now ${detail}`}`);
  }
}
