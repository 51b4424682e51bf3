// Takes a line of arguments apart as a POSIX shell does with quotes and backslashes, and does nothing else that a
// shell does: no variables, no globbing, no command substitution. Such a line never sees a shell. Line breaks may be
// those of Windows: nobody would see what the scheduler then complains about.

import { JobError } from '../../../contract/errors.ts';

/** Unquoted, single-quoted or double-quoted text; each alternative is one piece of a word. */
const PIECE = /\\\r?\n|\\(.)|'([^']*)'|"((?:\\.|[^"\\])*)"|([^ \t\r\n\\'"]+)/sy;
const BLANKS = /[ \t\r\n]+/y;
const BLANK = new Set([' ', '\t', '\r', '\n']);
/** Between double quotes a backslash is one unless it stands before these (POSIX, Shell Command Language 2.2.3). */
const ESCAPED_IN_QUOTES = /\\([$`"\\\n])/g;

/** In characters. Nobody writes more by hand, and a program cannot be given every length (execve(2)). */
const LONGEST = 16 * 1024;

/**
 * The words of a line.
 * @param source what the line is called, for messages: the name of a CI variable
 * @throws {JobError} a line that is too long, a quote without its end, or a backslash at the end, with its position (from 1)
 */
export function splitWords(text: string, source: string): string[] {
  if (text.length > LONGEST) {
    const message = `${source} has ${text.length} characters; at most ${LONGEST} are taken.`;
    throw new JobError({ code: 'ERR_ARGUMENT', message });
  }
  const words: string[] = [];
  let position = skip(text, 0);
  while (position < text.length) {
    const { word, end } = readWord(text, position, source);
    if (word !== undefined) words.push(word);
    position = skip(text, end);
  }
  return words;
}

function skip(text: string, position: number): number {
  BLANKS.lastIndex = position;
  return BLANKS.test(text) ? BLANKS.lastIndex : position;
}

/** Undefined for nothing but a line that goes on (a backslash before a line break). */
function readWord(text: string, start: number, source: string): { word: string | undefined; end: number } {
  let word: string | undefined;
  let position = start;
  while (position < text.length && !BLANK.has(text[position] ?? '')) {
    PIECE.lastIndex = position;
    const match = PIECE.exec(text);
    if (match === null) throw unbalanced(text, position, source);
    const piece = textOf(match);
    if (piece !== undefined) word = (word ?? '') + piece;
    position = PIECE.lastIndex;
  }
  return { word, end: position };
}

function textOf([, escaped, single, double, plain]: RegExpExecArray): string | undefined {
  if (double === undefined) return escaped ?? single ?? plain;
  return double.replaceAll(ESCAPED_IN_QUOTES, (_, character: string) => (character === '\n' ? '' : character));
}

function unbalanced(text: string, position: number, source: string): JobError {
  const what = text[position] === '\\' ? 'a backslash at the end' : `a quote (${text[position]}) that is never closed`;
  return new JobError({
    code: 'ERR_ARGUMENT_QUOTES',
    message: `${source} has ${what}, at character ${position + 1}. Quotes and backslashes count as in a shell.`,
  });
}
