// Whether the job that has a claim may still be at work: by its runner's process where that can be seen, else by time.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { identityOf } from '../../../src/contract/process-identity.ts';
import { judge, localOwner, type Owner } from '../../../src/jacamar/claim/owner.ts';

const here: Owner = { ...localOwner(identityOf(process.pid)), machine: 'm1' };
const gone = { pid: spawnSync('true').pid, startTime: '1' };
const NOW = 1_000_000;
const isAlive = (change: Partial<Owner>, until = NOW + 1) => judge({ ...here, ...change }, until, here, NOW).isAlive;

describe('a claim', () => {
  it('of this kernel lives as long as the process of its runner', () => {
    assert.equal(isAlive({}), true);
    assert.equal(isAlive({ process: gone }), false);
    assert.equal(isAlive({ process: { pid: process.pid, startTime: '1' } }), false, 'another process with that pid');
  });

  it('of this kernel is judged by the process under whatever name the host goes', () => {
    assert.equal(isAlive({ host: 'renamed', process: gone }), false);
  });

  it('of another pid namespace lives until its time is over: pids mean nothing there', () => {
    assert.equal(isAlive({ pidNamespace: 'pid:[1]', process: gone }), true);
    assert.equal(isAlive({ pidNamespace: 'pid:[1]' }, NOW - 1), false);
  });

  it('of this machine before its last start is dead', () => {
    assert.equal(isAlive({ bootId: 'earlier' }), false);
  });

  for (const [title, change] of Object.entries({
    'another host': { bootId: 'other', host: 'elsewhere' },
    'another machine with the name of this one': { bootId: 'other', machine: 'm2' },
    'a machine with the name of this one that cannot be told from it': { bootId: 'other', machine: '' },
  })) {
    it(`of ${title} lives until its time is over`, () => {
      assert.equal(isAlive({ ...change, process: gone }), true);
      assert.equal(isAlive({ ...change, process: gone }, NOW - 1), false);
    });
  }

  it('is over with its time, even if the runner goes on', () => {
    assert.equal(isAlive({}, NOW - 1), false);
  });

  it('is told with a reason', () => {
    assert.notEqual(judge(here, NOW + 1, here, NOW).why, judge(here, NOW - 1, here, NOW).why);
  });
});
