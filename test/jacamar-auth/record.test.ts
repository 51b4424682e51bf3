// What is remembered of a job between calls: created once, never reopened after its end, never half there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type JobRecord, RecordDirectory } from '../../src/jacamar-auth/record.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { NOW } from '../support/tokens.ts';

const SERVER = 'https://gitlab.example.com';
const RECORD: JobRecord = {
  server: SERVER,
  jobId: 302,
  tokenId: 'token-1',
  tokenExpiry: NOW + 3600,
  userId: '42',
  login: 'alice',
  account: { name: 'alice', uid: 1001, gid: 1001, home: '/home/alice' },
  runner: 'abcdefgh',
  concurrent: 0,
};
const REPLAYED = { name: 'AuthorizationError', code: 'ERR_JOB_REPLAYED' };
const DAMAGED = { name: 'SystemFailure', code: 'ERR_RECORD' };
const WEEK = 7 * 24 * 3600;

function open(context: TestContext, changes: { root?: string; jobId?: number; server?: string } = {}) {
  const root = changes.root ?? scratchDirectory(context);
  const records = new RecordDirectory(root, changes.server ?? SERVER, changes.jobId ?? 302);
  /** Another process would look with an object of its own. */
  const again = () => new RecordDirectory(root, changes.server ?? SERVER, changes.jobId ?? 302);
  return { root, records, again };
}

const onlyDirectory = (root: string) =>
  join(root, 'jobs', readdirSync(join(root, 'jobs'))[0] ?? assert.fail('no record'));

describe('a record', () => {
  it('need not exist', (context) => {
    const { records } = open(context);
    assert.equal(records.read(), undefined);
    assert.equal(records.slot, undefined);
    assert.equal(records.running, undefined);
    assert.equal(records.hasEnded, false);
  });

  it('is what was written, for every later call', (context) => {
    const { records, again } = open(context);
    records.create({ ...RECORD, dataDir: '/data' });
    assert.deepEqual(again().read(), { ...RECORD, dataDir: '/data' });
  });

  it('can be read by its owner alone', (context) => {
    const { root, records } = open(context);
    records.create(RECORD);
    records.slot = 3;
    records.markRun();
    const directory = onlyDirectory(root);
    assert.equal(statSync(directory).mode & 0o7777, 0o700);
    for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o7777, 0o600, name);
  });

  it('belongs to one job of one server', (context) => {
    const { root, records } = open(context);
    records.create(RECORD);
    assert.equal(open(context, { root, jobId: 303 }).records.read(), undefined);
    assert.equal(open(context, { root, server: 'https://other.example.com' }).records.read(), undefined);
  });

  it('is created again by a repeated config stage with the same decision', (context) => {
    const { records, again } = open(context);
    records.create(RECORD);
    again().create(RECORD);
    assert.deepEqual(again().read(), RECORD);
  });

  it('knows when the job began, whatever is said of it later', (context) => {
    const { root, records, again } = open(context);
    records.create(RECORD);
    utimesSync(join(onlyDirectory(root), 'record.json'), NOW, NOW + 0.25);
    again().create(RECORD);
    again().slot = 3;
    again().markRun();
    assert.equal(again().createdAt, NOW * 1000 + 250);
  });

  const changed: Record<string, Partial<JobRecord>> = {
    token: { tokenId: 'token-2' },
    login: { login: 'bob' },
    user: { userId: '43' },
    account: { account: { ...RECORD.account, name: 'bob' } },
    uid: { account: { ...RECORD.account, uid: 1002 } },
    'data directory': { dataDir: '/data' },
    expiry: { tokenExpiry: NOW + 3601 },
    runner: { runner: 'other' },
  };
  for (const [title, changes] of Object.entries(changed)) {
    it(`is not created again with another ${title}, and stays as it was`, (context) => {
      const { records, again } = open(context);
      records.create(RECORD);
      assert.throws(() => again().create({ ...RECORD, ...changes }), REPLAYED);
      assert.deepEqual(again().read(), RECORD);
    });
  }

  it('whose marks the file system cannot tell of is not taken for one without them', (context) => {
    for (const mark of ['ran', 'ended']) {
      const { root, records, again } = open(context);
      records.create(RECORD);
      symlinkSync(mark, join(onlyDirectory(root), mark));
      assert.throws(() => again().create(RECORD), REPLAYED);
    }
  });

  it('is not created after a run stage began', (context) => {
    const { records, again } = open(context);
    records.create(RECORD);
    records.markRun();
    assert.throws(() => again().create(RECORD), REPLAYED);
  });

  it('is not created after the job ended, however often that is tried', (context) => {
    const { records, again } = open(context);
    records.create(RECORD);
    records.markRun();
    again().end();
    again().end();
    assert.equal(again().hasEnded, true);
    for (let round = 0; round < 3; round += 1) assert.throws(() => again().create(RECORD), REPLAYED);
  });

  it('of a job that never ran is forgotten at its end, since the runner may try again', (context) => {
    const { root, records, again } = open(context);
    records.create(RECORD);
    again().end();
    assert.deepEqual(readdirSync(join(root, 'jobs')), []);
    again().create({ ...RECORD, tokenId: 'token-2' });
    assert.equal(again().read()?.tokenId, 'token-2');
  });

  it('keeps the slot and the running process', (context) => {
    const { records, again } = open(context);
    records.create(RECORD);
    records.slot = 0;
    assert.equal(again().slot, 0);
    records.slot = 12;
    assert.equal(again().slot, 12);
    records.running = { pid: 77, startTime: '123' };
    assert.deepEqual(again().running, { pid: 77, startTime: '123' });
    again().running = undefined;
    again().running = undefined;
    assert.equal(again().running, undefined);
  });

  it('is created by one of many processes that try at the same time', async (context) => {
    const { root, again } = open(context);
    const module = new URL('../../src/jacamar-auth/record.ts', import.meta.url).href;
    const attempts = Array.from({ length: 6 }, (_, index) => {
      const program = `
        const { RecordDirectory } = await import(${JSON.stringify(module)});
        const record = ${JSON.stringify({ ...RECORD, tokenId: `token-${index}` })};
        try {
          new RecordDirectory(${JSON.stringify(root)}, record.server, record.jobId).create(record);
          process.stdout.write(record.tokenId);
        } catch (error) {
          process.stdout.write(error.code);
        }`;
      return promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
    });
    const outcomes = (await Promise.all(attempts)).map(({ stdout }) => stdout);
    const winners = outcomes.filter((outcome) => outcome.startsWith('token-'));
    assert.equal(winners.length, 1, outcomes.join());
    assert.equal(again().read()?.tokenId, winners[0]);
    assert.ok(outcomes.every((outcome) => outcome === winners[0] || outcome === 'ERR_JOB_REPLAYED'));
    assert.deepEqual(readdirSync(onlyDirectory(root)), ['record.json']);
  });
});

describe('a record that is not to be trusted', () => {
  const damages: Record<string, (file: string) => void> = {
    'is empty': (file) => writeFileSync(file, ''),
    'is cut short': (file) => writeFileSync(file, JSON.stringify({ version: 1, ...RECORD }).slice(0, 50)),
    'is of another version': (file) => writeFileSync(file, JSON.stringify({ version: 2, ...RECORD })),
    'says more than we write': (file) => writeFileSync(file, JSON.stringify({ version: 1, ...RECORD, extra: 1 })),
    'has a negative uid': (file) => {
      writeFileSync(file, JSON.stringify({ version: 1, ...RECORD, account: { ...RECORD.account, uid: -1 } }));
    },
    'belongs to another account': (file) => chownSync(file, 65534, 65534),
    'can be written by others': (file) => chmodSync(file, 0o606),
    'is too large': (file) => writeFileSync(file, JSON.stringify({ version: 1, ...RECORD }) + ' '.repeat(70_000)),
  };
  for (const [title, damage] of Object.entries(damages)) {
    it(`${title}: the stage fails, and nothing is decided anew`, (context) => {
      const { root, records, again } = open(context);
      records.create(RECORD);
      damage(join(onlyDirectory(root), 'record.json'));
      assert.throws(() => again().read(), DAMAGED);
      assert.throws(() => again().create(RECORD), DAMAGED);
    });
  }

  it('has a slot or a process that makes no sense: the stage fails', (context) => {
    const { root, records, again } = open(context);
    records.create(RECORD);
    for (const [name, content] of [
      ['slot', '-1'],
      ['slot', '"0"'],
      ['slot', '1.5'],
      ['running.json', '{"pid":-1,"startTime":""}'],
      ['running.json', '{}'],
    ] as const) {
      writeFileSync(join(onlyDirectory(root), name), content);
      assert.throws(() => (name === 'slot' ? again().slot : again().running), DAMAGED, content);
    }
  });
});

describe('old records', () => {
  const expiring = (tokenExpiry: number, jobId: number): JobRecord => ({ ...RECORD, jobId, tokenExpiry });

  it('go a week after their token expired, others stay', (context) => {
    const { root, records } = open(context);
    const [old, young] = [open(context, { root, jobId: 1 }), open(context, { root, jobId: 2 })];
    old.records.create(expiring(NOW - WEEK - 1, 1));
    old.records.markRun();
    old.records.end();
    young.records.create(expiring(NOW - WEEK, 2));
    records.prune(NOW);
    assert.equal(old.again().read(), undefined);
    assert.equal(old.again().hasEnded, false);
    assert.equal(young.again().read()?.jobId, 2);
  });

  it('never go while their own job is being served', (context) => {
    const { records, again } = open(context);
    records.create(expiring(0, 302));
    records.prune(NOW);
    assert.equal(again().read()?.jobId, 302);
  });

  it('that cannot be read, and what is no record, stay for the administrator', (context) => {
    const { root, records } = open(context);
    const jobs = join(root, 'jobs');
    mkdirSync(join(jobs, 'damaged'));
    writeFileSync(join(jobs, 'damaged', 'record.json'), 'x');
    mkdirSync(join(root, 'elsewhere'));
    writeFileSync(join(root, 'elsewhere', 'keep'), 'x');
    symlinkSync('../elsewhere', join(jobs, 'link'));
    records.prune(NOW);
    assert.deepEqual(readdirSync(jobs).toSorted(), ['damaged', 'link']);
    assert.deepEqual(readdirSync(join(root, 'elsewhere')), ['keep']);
  });

  it('that were never written are removed once their directory is old', (context) => {
    const { root, records } = open(context);
    const jobs = join(root, 'jobs');
    for (const name of ['old', 'new']) mkdirSync(join(jobs, name));
    utimesSync(join(jobs, 'old'), 1, 1);
    utimesSync(join(jobs, 'new'), NOW, NOW);
    records.prune(NOW);
    assert.deepEqual(readdirSync(jobs), ['new']);
  });

  it('nowhere are no fault', (context) => {
    const { records } = open(context);
    records.prune(NOW);
  });
});
