// Whether the job that has a claim may still be at work: by its runner's process where that can be seen, else by time.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { identityOf } from '../../../src/contract/process-identity.ts';
import { judge, localOwner, machineId, type Owner, readClock } from '../../../src/jacamar/claim/owner.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const here: Owner = { ...localOwner(identityOf(process.pid)), machine: 'm1' };
const gone = { pid: spawnSync('true').pid, startTime: '1' };
const CLOCK = { now: 1_000_000, uptime: 500 };
/** Time is left by both clocks. */
const YOUNG = { until: CLOCK.now + 1, untilUptime: CLOCK.uptime + 1 };
const PAST = { until: CLOCK.now - 1, untilUptime: CLOCK.uptime - 1 };
const isAlive = (change: Partial<Owner>, limit = YOUNG) =>
  judge({ owner: { ...here, ...change }, ...limit }, here, CLOCK).isAlive;

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
    assert.equal(isAlive({ pidNamespace: 'pid:[1]' }, PAST), false);
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
      assert.equal(isAlive({ ...change, process: gone }, PAST), false);
    });
  }

  it('is over with its time, even if the runner goes on', () => {
    assert.equal(isAlive({}, PAST), false);
  });

  it('of this kernel does not end by a change of the clock, nor live longer', () => {
    assert.equal(isAlive({}, { ...PAST, untilUptime: YOUNG.untilUptime }), true);
    assert.equal(isAlive({}, { ...YOUNG, untilUptime: PAST.untilUptime }), false);
  });

  it('of a kernel that cannot be told from this one is judged by time', () => {
    const nameless = { ...here, bootId: '' };
    const verdict = (limit: typeof YOUNG) =>
      judge({ owner: { ...nameless, process: gone }, ...limit }, nameless, CLOCK);
    assert.deepEqual([verdict(YOUNG).isAlive, verdict(PAST).isAlive], [true, false]);
  });

  it('is told with a reason', () => {
    const why = (limit: typeof YOUNG) => judge({ owner: here, ...limit }, here, CLOCK).why;
    assert.notEqual(why(YOUNG), why(PAST));
  });
});

describe('the clocks', () => {
  it('are those of the kernel, whatever a container is told of its own uptime (lxcfs)', (context) => {
    const told = join(scratchDirectory(context), 'uptime');
    writeFileSync(told, '5.00 5.00\n');
    const module = new URL('../../../src/jacamar/claim/owner.ts', import.meta.url).href;
    const look = `import { readClock } from '${module}'; console.log(readClock().uptime);`;
    const script = 'mount --bind "$1" /proc/uptime && exec "$0" --input-type=module -e "$2"';
    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, told, look]);
    assert.ok(Math.abs(Number(stdout) - readClock().uptime) < 60, `${stdout} ${stderr}`);
  });
});

test('only a machine-id that a machine was given tells machines apart', () => {
  assert.equal(machineId('uninitialized'), '');
  assert.equal(machineId('3d1219c7c4c5404aaa1f6d2a48adfda4'), '3d1219c7c4c5404aaa1f6d2a48adfda4');
});
