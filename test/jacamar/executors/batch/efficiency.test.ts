// What a job used is told in absolute numbers, and a hint comes only when the gap matters.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { efficiencyCard } from '../../../../src/jacamar/executors/batch/efficiency.ts';
import type { Usage } from '../../../../src/jacamar/executors/batch/scheduler.ts';

const GIB = 1024 ** 3;
const GOOD: Usage = {
  wallSeconds: 3000,
  wallLimitSeconds: 3600,
  cpus: 4,
  cpuSeconds: 10_500,
  memoryPeak: 6 * GIB,
  memoryAsked: 8 * GIB,
};
const hints = (changes: Usage) => efficiencyCard({ ...GOOD, ...changes }).slice(1);

describe('the efficiency card', () => {
  it('tells what was used of what was asked for', () => {
    assert.deepEqual(efficiencyCard(GOOD), [
      'Used: 50 min of 1 h wall time; 3.5 of 4 CPUs busy on average; 6.00 GiB of 8.00 GiB memory at most',
    ]);
  });

  it('leaves out what nobody knows', () => {
    assert.deepEqual(efficiencyCard({}), []);
    assert.deepEqual(efficiencyCard({ wallSeconds: 5, cpus: 1 }), ['Used: 5 s wall time; 1 CPU']);
    assert.deepEqual(efficiencyCard({ wallSeconds: 0, cpuSeconds: 0, memoryPeak: 1024 }), [
      'Used: 0 s wall time; 1.00 KiB memory at most',
    ]);
    assert.deepEqual(efficiencyCard({ wallSeconds: 5, wallLimitSeconds: Number.POSITIVE_INFINITY }), [
      'Used: 5 s wall time',
    ]);
  });

  it('hints at much too long a time', () => {
    assert.equal(hints({ wallLimitSeconds: 86_400 }).length, 1);
    assert.equal(
      hints({ wallSeconds: 200, wallLimitSeconds: 1800, cpuSeconds: 800 }).length,
      0,
      'half an hour is not much',
    );
  });

  it('hints at idle CPUs', () => {
    assert.equal(hints({ cpus: 64 }).length, 1);
    assert.equal(hints({ cpus: 2, cpuSeconds: 10 }).length, 0, 'two are not much');
  });

  it('hints at memory that was never used, and at memory that nearly ran out', () => {
    assert.equal(hints({ memoryAsked: 64 * GIB }).length, 1);
    assert.equal(hints({ memoryAsked: 4 * GIB, memoryPeak: GIB / 2 }).length, 0, 'four are not much');
    assert.equal(hints({ memoryPeak: 7.9 * GIB }).length, 1);
  });

  it('does not hint after a short run, which tells nothing', () => {
    assert.deepEqual(hints({ wallSeconds: 59, wallLimitSeconds: 86_400, cpus: 64, cpuSeconds: 1 }), []);
  });
});
