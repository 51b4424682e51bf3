// Output of a batch job on its way from a growing file to the runner.

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { JobLog } from '../../../../src/jacamar/executors/batch/job-log.ts';
import { type Gap, Tail } from '../../../../src/jacamar/executors/batch/tail.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

const MIB = 1024 * 1024;

function setUp(context: TestContext, limit = 4 * MIB) {
  const path = join(scratchDirectory(context), 'output');
  const received: Buffer[] = [];
  const log = new JobLog(async (chunk) => void received.push(Buffer.from(chunk)));
  const tail = new Tail(path, limit, log);
  context.after(() => tail.close());
  return { path, tail, received: () => Buffer.concat(received) };
}

const announce = ({ bytes, size }: Gap) => `[${bytes} of ${size} left out]`;

it('waits for a file that is not there yet', async (t) => {
  const { path, tail, received } = setUp(t);
  await tail.pump();
  writeFileSync(path, 'late\n');
  await tail.pump();
  assert.equal(received().toString(), 'late\n');
});

it('opens the file for each look: a client of NFS asks its server for what is new only then', async (t) => {
  const { path, tail, received } = setUp(t);
  writeFileSync(path, 'one\n');
  await tail.pump();
  writeFileSync(`${path}.longer`, 'one\ntwo\n'); // as if the server had it, and an open descriptor did not
  renameSync(`${path}.longer`, path);
  assert.equal(tail.size(), 8);
  await tail.pump();
  assert.equal(received().toString(), 'one\ntwo\n');
});

it('passes on every byte once, as it is', async (t) => {
  const { path, tail, received } = setUp(t);
  const bytes = Buffer.from([0, 255, 10, 13, 0xc3, 0x28, 27]);
  writeFileSync(path, bytes);
  await tail.pump();
  appendFileSync(path, bytes);
  await tail.finish(announce);
  assert.deepEqual(received(), Buffer.concat([bytes, bytes]));
});

it('does not say that anything is missing of what fits', async (t) => {
  const { path, tail, received } = setUp(t, MIB);
  const bytes = Buffer.alloc(Math.floor(MIB * 0.78), 'x');
  writeFileSync(path, bytes);
  assert.equal(await tail.finish(announce), undefined);
  assert.equal(received().length, bytes.length);
});

it('outlives a file server that is out of order for a while', async (t) => {
  const { path, tail, received } = setUp(t);
  mkdirSync(path); // EISDIR stands for EIO and ESTALE
  await tail.pump();
  rmdirSync(path);
  writeFileSync(path, 'there again\n');
  await tail.pump();
  assert.equal(received().toString(), 'there again\n');
});

it('gives head and tail of what is too long, and says how much lies between', async (t) => {
  const { path, tail, received } = setUp(t, MIB);
  writeFileSync(path, Array.from({ length: 400_000 }, (_, line) => `${line}\n`).join(''));
  await tail.pump();
  const gap = await tail.finish(announce);
  const text = received().toString();
  assert.ok(gap !== undefined && received().length < MIB);
  assert.match(text, /^0\n1\n2\n/);
  assert.match(text, /399998\n399999\n$/);
  assert.ok(text.includes(`\n${announce(gap)}\n`));
});

it('keeps its own memory flat over an endless file', async (t) => {
  const { path, tail, received } = setUp(t, MIB);
  writeFileSync(path, '');
  for (let round = 0; round < 100; round++) {
    appendFileSync(path, Buffer.alloc(MIB, 'y'));
    await tail.pump();
  }
  await tail.finish(announce);
  assert.ok(received().length < MIB);
});

it('stops when nobody reads any more', async (t) => {
  const path = join(scratchDirectory(t), 'output');
  writeFileSync(path, Buffer.alloc(MIB));
  let writes = 0;
  const log = new JobLog(async () => {
    writes += 1;
    throw Object.assign(new Error('gone'), { code: 'EPIPE' });
  });
  const tail = new Tail(path, 4 * MIB, log);
  await tail.pump();
  await tail.finish(announce);
  tail.close();
  assert.equal(log.isBroken, true);
  assert.equal(writes, 1);
});
