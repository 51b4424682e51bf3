// Durations mean what Go's ParseDuration makes of them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDuration } from '../../src/contract/config/duration.ts';

const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

describe('a duration', () => {
  const known: [string, number][] = [
    ['15m', 900_000],
    ['1h30m', 5_400_000],
    ['120s', 120_000],
    ['500ms', 500],
    ['1.5s', 1500],
    ['.5s', 500],
    ['1.s', 1000],
    ['+2s', 2000],
    ['0', 0],
    ['0s', 0],
    ['1500us', 2],
    ['1500µs', 2],
    ['1500μs', 2],
    ['1000000ns', 1],
    ['1s1h', 3_601_000],
  ];
  for (const [text, milliseconds] of known) {
    it(`reads ${text} as ${milliseconds} ms`, () => assert.equal(parseDuration(text), milliseconds));
  }

  const refused = [
    '',
    ' ',
    '+',
    '-',
    '-1s',
    '1',
    '1.5',
    's',
    '.s',
    '1 s',
    ' 1s',
    '1s ',
    '1d',
    '1S',
    '1h30',
    '1e3s',
    '٣s',
    '++1s',
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseDuration(text), undefined));
  }

  it('refuses a text or a sum too long to be exact', () => {
    assert.equal(parseDuration('1'.repeat(100_000)), undefined);
    assert.equal(parseDuration(`${'9'.repeat(60)}h`), undefined);
  });

  it('is the sum of its parts', () => {
    const part = fc.tuple(fc.integer({ min: 0, max: 9999 }), fc.constantFrom('h', 'm', 's', 'ms'));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), (parts) => {
        const text = parts.map(([count, unit]) => `${count}${unit}`).join('');
        const sum = parts.reduce((total, [count, unit]) => total + count * UNIT_MS[unit], 0);
        assert.equal(parseDuration(text), sum);
      }),
    );
  });

  it('never throws and never is negative or fractional', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.+-hmsnuµ ') }), (text) => {
        const milliseconds = parseDuration(text);
        assert.ok(milliseconds === undefined || (Number.isSafeInteger(milliseconds) && milliseconds >= 0));
      }),
    );
  });
});
