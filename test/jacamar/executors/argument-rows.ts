// Rows of the table of arguments that break a CI job: what a scheduler's table of options makes of a user's words.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Checked, checkArguments } from '../../../src/jacamar/executors/batch/arguments.ts';
import type { Grammar } from '../../../src/jacamar/executors/batch/scheduler.ts';

const STRICT = { source: 'SCHEDULER_PARAMETERS', allowIllegal: false, hasAllowLists: false };

export function checked(grammar: Grammar, words: string): Checked {
  return checkArguments(words.split(' '), grammar, STRICT);
}

/** By effect: words of which each line is refused, with the effect as title. */
export function refuses(grammar: Grammar, effects: Readonly<Record<string, readonly string[]>>): void {
  for (const [effect, lines] of Object.entries(effects)) {
    it(`refuses what ${effect}: ${lines.join(', ')}`, () => {
      for (const line of lines) assert.throws(() => checked(grammar, line), { code: 'ERR_ARGUMENT' }, line);
    });
  }
}

/** By effect: words that are left out, with a notice, since ours count. */
export function leavesOut(grammar: Grammar, effects: Readonly<Record<string, readonly string[]>>): void {
  for (const [effect, lines] of Object.entries(effects)) {
    it(`leaves out what ${effect}, and says so: ${lines.join(', ')}`, () => {
      for (const line of lines) {
        const { taken, notices } = checked(grammar, line);
        assert.deepEqual([taken.length, notices.length], [0, 1], line);
      }
    });
  }
}

/** What goes to the scheduler, and how it is written there. */
export function takes(grammar: Grammar, lines: Readonly<Record<string, readonly string[]>>): void {
  for (const [line, words] of Object.entries(lines)) {
    it(`takes ${line}`, () => {
      assert.deepEqual(
        checked(grammar, line).taken.flatMap((each) => each.words),
        words,
      );
    });
  }
}

/** What is taken with a word on what it comes to. */
export function tells(grammar: Grammar, lines: readonly string[]): void {
  it(`takes what makes a job wait, and says so: ${lines.join(', ')}`, () => {
    for (const line of lines) {
      const { taken, notices } = checked(grammar, line);
      assert.deepEqual([taken.length, notices.length], [1, 1], line);
    }
  });
}
