// A line of arguments comes apart as a POSIX shell would take it apart, if it had nothing but quotes and backslashes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JobError } from '../../../../src/contract/errors.ts';
import { splitWords } from '../../../../src/jacamar/executors/batch/words.ts';

const split = (text: string) => splitWords(text, 'SCHEDULER_PARAMETERS');

const CASES: readonly (readonly [string, readonly string[]])[] = [
  ['', []],
  [' \t\n ', []],
  ['-n 4  -t1', ['-n', '4', '-t1']],
  ['--comment="two words" -n1', ['--comment=two words', '-n1']],
  ['--comment=\'a "b" \\c\'', ['--comment=a "b" \\c']],
  ['"a \\"b\\" \\\\ \\$x \\n"', ['a "b" \\ $x \\n']],
  ['a\\ b \\"c', ['a b', '"c']],
  [`'' ""`, ['', '']],
  [`a'b'"c"d`, ['abcd']],
  ['a\\\nb', ['ab']],
  ['a \\\n b', ['a', 'b']],
  ['"a\\\nb"', ['ab']],
  ['-n 4\r\n-t1\r\n', ['-n', '4', '-t1']],
  ['a \\\r\n b', ['a', 'b']],
  [
    '$HOME `id` $(id) * ~ ; rm | & > x # y',
    ['$HOME', '`id`', '$(id)', '*', '~', ';', 'rm', '|', '&', '>', 'x', '#', 'y'],
  ],
];

describe('a line of arguments', () => {
  for (const [text, words] of CASES) {
    it(`${JSON.stringify(text)} becomes ${JSON.stringify(words)}`, () => assert.deepEqual(split(text), words));
  }

  for (const [text, position] of [
    ['-n 4 "ab', 6],
    ["it's", 3],
    ['a\\', 2],
    ['"a\\"', 1],
  ] as const) {
    it(`${JSON.stringify(text)} is refused at character ${position}`, () => {
      assert.throws(
        () => split(text),
        (error) =>
          error instanceof JobError &&
          error.code === 'ERR_ARGUMENT_QUOTES' &&
          error.message.includes('SCHEDULER_PARAMETERS') &&
          error.message.includes(`at character ${position}.`),
      );
    });
  }

  it('gives back any words that were quoted', () => {
    const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        assert.deepEqual(split(words.map(quote).join(' ')), words);
      }),
    );
  });

  it('comes apart as in a shell', () => {
    // Nothing that a shell would expand.
    const texts = fc.array(fc.constantFrom('a', 'B', ' ', '\t', "'", '"', '\\', '=', '-'), { maxLength: 24 });
    const lines = fc.sample(texts, { numRuns: 400, seed: 7 }).map((parts) => parts.join(''));
    const whole = lines.filter((line) => orUndefined(() => split(line)) !== undefined);
    assert.ok(whole.length > 50);
    assert.deepEqual(whole.map(split), shellWords(whole));
  });
});

function orUndefined<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** One shell for all lines; each begins with a word of its own and ends with an empty line. */
function shellWords(lines: readonly string[]): string[][] {
  const script = lines.map((line) => `printf '%s\\0' x ${line}\nprintf '\\n\\0'\n`).join('');
  const output = execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' });
  return output
    .split('\n\0')
    .slice(0, -1)
    .map((words) => words.split('\0').slice(1, -1));
}
