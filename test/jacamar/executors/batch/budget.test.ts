// The timeout of the CI job against the time that the batch job asks for, at submission and in the last minutes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BudgetFacts, judgeBudget, lastMinutes } from '../../../../src/jacamar/executors/batch/budget.ts';

describe('the time budget', () => {
  const facts: BudgetFacts = { policy: 'refuse', remaining: 3600 };
  const kind = (changes: Partial<BudgetFacts>) => judgeBudget({ ...facts, ...changes }).kind;

  it('holds what fits', () => {
    assert.equal(kind({}), 'fits');
    assert.equal(kind({ requested: 3600 }), 'fits');
    assert.equal(kind({ requested: 3000, startsIn: 600 }), 'fits');
    assert.equal(kind({ requested: 3000, startsIn: -600 }), 'fits');
  });

  it('does not hold a wall time that is longer than what is left', () => {
    assert.equal(kind({ requested: 3601 }), 'refuse');
    assert.equal(kind({ requested: 3601, policy: 'warn' }), 'warn');
    assert.equal(kind({ requested: Number.POSITIVE_INFINITY }), 'refuse');
  });

  it('warns when the start is expected too late, and never refuses for that: it is a guess', () => {
    assert.equal(kind({ requested: 3000, startsIn: 601 }), 'warn');
    assert.equal(kind({ startsIn: 3601 }), 'warn');
  });

  it('says nothing where the site does not want it', () => {
    assert.equal(kind({ policy: 'off', requested: Number.POSITIVE_INFINITY, startsIn: 9999 }), 'fits');
  });

  it('names both times', () => {
    const decision = judgeBudget({ ...facts, requested: 7200 });
    assert.match(decision.kind === 'refuse' ? decision.text : '', /2 h.*1 h/);
  });
});

describe('the last minutes', () => {
  const look = (remaining: number, before: number | undefined, timeout = 3600) =>
    lastMinutes({ isPending: false, remaining, before, timeout, cancelSeconds: 60 });

  it('are told at 10, 5 and 2 minutes, each once', () => {
    const told = [];
    for (let remaining = 3600; remaining > 76; remaining -= 7) {
      if (look(remaining, remaining + 7).lines.length > 0) told.push(Math.ceil(remaining / 60));
    }
    assert.deepEqual(told, [10, 5, 2]);
  });

  it('are told once when several notices are passed in one step', () => assert.equal(look(100, 3000).lines.length, 1));

  it('say whether the job waits or runs', () => {
    const facts = { remaining: 599, before: 601, timeout: 3600, cancelSeconds: 60 };
    const [waits, runs] = [true, false].map((isPending) => lastMinutes({ ...facts, isPending }).lines[0]);
    assert.notEqual(waits, runs);
  });

  it('end with a cancel, as long before the timeout as the scheduler may need', () => {
    assert.equal(look(76, 80).isTimeToCancel, false);
    assert.equal(look(75, 76).isTimeToCancel, true);
    assert.equal(look(-3, 76).isTimeToCancel, true);
    assert.equal(look(75, undefined).lines.length, 1);
  });

  it('take no more than a tenth of a short CI job', () => {
    assert.equal(look(7, 8, 60).isTimeToCancel, false);
    assert.equal(look(6, 7, 60).isTimeToCancel, true);
  });

  it('of a CI job that was short from its start bring no notice', () => {
    assert.deepEqual(look(60, undefined, 60).lines, []);
  });
});
