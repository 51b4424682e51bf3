// Sizes as people write and read them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeSize, parseMemory, parseSize } from '../../src/contract/size.ts';

describe('a size', () => {
  const KIB = 1024;
  const taken: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['7B', 7],
    ['500MiB', 500 * KIB ** 2],
    ['16G', 16 * KIB ** 3],
    ['1.5GB', 1.5 * KIB ** 3],
    ['2 tib', 2 * KIB ** 4],
    ['1PiB', KIB ** 5],
  ];
  for (const [text, bytes] of taken) it(`of ${text} is taken`, () => assert.equal(parseSize(text), bytes));
  for (const text of ['', '1', '1024', 'G', '-1G', '1e3G', '1,5G', '16 GG', ' 1G', '1G ', '9999999PiB', '0x1G'])
    it(`is not "${text}"`, () => assert.equal(parseSize(text), undefined));

  const shown: readonly (readonly [number, string])[] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [63_908 * KIB, '62.4 MiB'],
    [KIB ** 6, '1024 PiB'],
  ];
  for (const [bytes, text] of shown)
    it(`of ${bytes} bytes reads ${text}`, () => assert.equal(describeSize(bytes), text));
});

it('an amount of memory is never nothing', () => assert.equal(parseMemory('0'), undefined));
