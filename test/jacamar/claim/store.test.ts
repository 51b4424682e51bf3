// Taking a number excludes everybody else, whatever they saw before and without any lock.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { localOwner } from '../../../src/jacamar/claim/owner.ts';
import { type Claim, ClaimStore } from '../../../src/jacamar/claim/store.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const owner = localOwner({ pid: process.pid, startTime: '' });
const claimOf = (jobId: number): Claim => ({
  server: 's',
  jobId,
  project: 'p',
  owner,
  since: 1,
  until: 2,
  untilUptime: 3,
});

function open(context: TestContext): ClaimStore {
  return new ClaimStore(scratchDirectory(context));
}

describe('a number', () => {
  it('is taken once, and by whoever saw its last turn', (context) => {
    const store = open(context);
    const never = { slot: 7, turn: 0 };
    assert.equal(store.take(never, claimOf(1)), true);
    assert.equal(store.take(never, claimOf(2)), false);
    assert.deepEqual(store.turns(), [{ slot: 7, turn: 1, claim: claimOf(1) }]);
    assert.equal(store.take({ slot: 7, turn: 1 }, claimOf(3)), true);
    assert.deepEqual(store.turns(), [{ slot: 7, turn: 2, claim: claimOf(3) }]);
  });

  it('is free where the user has put something else in place of a claim, which nobody waits for', (context) => {
    const store = open(context);
    execFileSync('mkfifo', [join(store.directory, '000.1.json')]);
    symlinkSync('/dev/zero', join(store.directory, '001.1.json'));
    mkdirSync(join(store.directory, '002.1.json'));
    const free = [0, 1, 2].map((slot) => ({ slot, turn: 1 }));
    assert.deepEqual(store.turns(), free);
    for (const turn of free) assert.equal(store.take(turn, claimOf(1)), true);
  });

  it('is free when it was given back, and stays so', (context) => {
    const store = open(context);
    store.take({ slot: 0, turn: 0 }, claimOf(1));
    store.free({ slot: 0, turn: 1 });
    store.free({ slot: 0, turn: 1 });
    assert.deepEqual(store.turns(), [{ slot: 0, turn: 1 }]);
  });

  it('is free when it was given back on a file system that is full', (context) => {
    // Hooks are called in their order: the directory goes last.
    context.after(() => execFileSync('umount', ['--lazy', store.directory]));
    const store = open(context);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'jt_small', store.directory]);
    store.take({ slot: 0, turn: 0 }, claimOf(1));
    assert.throws(() => writeFileSync(join(store.directory, 'ballast'), Buffer.alloc(128 * 1024)), { code: 'ENOSPC' });
    store.free({ slot: 0, turn: 1 });
    assert.deepEqual(store.turns(), [{ slot: 0, turn: 1 }]);
    assert.deepEqual(readdirSync(store.directory).toSorted(), ['000.1.json', 'ballast']);
  });

  it('can be taken on a file system that is full where it was taken before', (context) => {
    context.after(() => execFileSync('umount', ['--lazy', store.directory]));
    const store = open(context);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'jt_small', store.directory]);
    for (const turn of [0, 1]) store.take({ slot: 0, turn }, claimOf(turn));
    store.take({ slot: 1, turn: 0 }, claimOf(2));
    assert.throws(() => writeFileSync(join(store.directory, 'ballast'), Buffer.alloc(128 * 1024)), { code: 'ENOSPC' });
    assert.equal(store.take({ slot: 1, turn: 1 }, claimOf(3)), true);
    const claims = store.turns().map(({ slot, turn, claim }) => [slot, turn, claim?.jobId]);
    assert.deepEqual(claims, [
      [0, 2, 1],
      [1, 2, 3],
    ]);
  });

  it("given back too late is still the next one's", (context) => {
    const store = open(context);
    for (const turn of [0, 1, 2, 3]) store.take({ slot: 0, turn }, claimOf(turn));
    for (const turn of [1, 2, 3]) store.free({ slot: 0, turn });
    assert.deepEqual(store.turns(), [{ slot: 0, turn: 4, claim: claimOf(3) }]);
  });

  it('cannot be taken by somebody who looked long ago, though nothing of that time is left', (context) => {
    const store = open(context);
    for (const turn of [0, 1, 2, 3, 4]) store.take({ slot: 0, turn }, claimOf(turn));
    for (const turn of [0, 1, 2, 3, 4]) assert.equal(store.take({ slot: 0, turn }, claimOf(9)), false);
    assert.deepEqual(store.turns(), [{ slot: 0, turn: 5, claim: claimOf(4) }]);
  });

  it('is read in the order of numbers, past 999 and past turn 9', (context) => {
    const store = open(context);
    for (let turn = 0; turn < 11; turn++) store.take({ slot: 5, turn }, claimOf(turn));
    for (const slot of [1000, 999]) store.take({ slot, turn: 0 }, claimOf(slot));
    assert.deepEqual(
      store.turns().map(({ slot, turn }) => [slot, turn]),
      [
        [5, 11],
        [999, 1],
        [1000, 1],
      ],
    );
  });
});

describe('the directory', () => {
  it('keeps two files for each number at most, and nothing that a killed program left an hour ago', (context) => {
    const store = open(context);
    const left = ['.young', '.old'].map((name) => join(store.directory, name));
    for (const path of left) writeFileSync(path, '');
    utimesSync(left[1] ?? '', new Date(), new Date(Date.now() - 2 * 3_600_000));
    for (let turn = 0; turn < 20; turn++) store.take({ slot: 0, turn }, claimOf(turn));
    assert.deepEqual(readdirSync(store.directory).toSorted(), ['.young', '000.19.json', '000.20.json']);
  });

  it('may hold other things, and claims that nobody can understand, which count for nothing', (context) => {
    const store = open(context);
    for (const name of ['lock', '000.json', '000.0.json', '00.1.json', '0000000001.1.json', 'x']) {
      writeFileSync(join(store.directory, name), '');
    }
    mkdirSync(join(store.directory, 'directory'));
    for (const [slot, text] of [
      '',
      '{',
      'null',
      '{"jobId":1}',
      JSON.stringify({ ...claimOf(1), until: 'x' }),
    ].entries()) {
      writeFileSync(join(store.directory, `00${slot}.3.json`), text);
    }
    assert.deepEqual(
      store.turns(),
      [0, 1, 2, 3, 4].map((slot) => ({ slot, turn: 3 })),
    );
  });

  it('that is not writable is an error', (context) => {
    const store = new ClaimStore(join(scratchDirectory(context), 'missing'));
    assert.throws(() => store.take({ slot: 0, turn: 0 }, claimOf(1)), { code: 'ENOENT' });
  });
});

it('programs that race for three numbers without locks never have one at the same time', async (context) => {
  const directory = scratchDirectory(context);
  mkdirSync(join(directory, 'claims'));
  const racer = join(import.meta.dirname, '../../support/claim-racer.ts');
  const run = promisify(execFile);
  const races = Array.from({ length: 6 }, () => run(process.execPath, [racer, directory, '40'], { timeout: 600_000 }));
  await Promise.all(races);
});
