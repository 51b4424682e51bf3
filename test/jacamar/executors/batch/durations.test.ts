// Durations in the job log are short, and never off by a unit.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { durationText } from '../../../../src/jacamar/executors/batch/durations.ts';

describe('a duration', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 s'],
    [-5, '0 s'],
    [59.4, '59 s'],
    [60, '1 min'],
    [90, '1 min 30 s'],
    [600, '10 min'],
    [615, '10 min'],
    [3599, '59 min'],
    [3600, '1 h'],
    [5400, '1 h 30 min'],
    [86_399, '1 day'],
    [93_600, '1 day 2 h'],
    [172_800, '2 days'],
    [Number.POSITIVE_INFINITY, 'no limit'],
  ];
  for (const [seconds, text] of cases) {
    it(`of ${seconds} s reads ${text}`, () => assert.equal(durationText(seconds), text));
  }
});
