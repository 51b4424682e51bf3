// When a batch job is cancelled by us while it waits or runs, and that this is decided on enough evidence.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfiguration } from '../../../../src/contract/config.ts';
import { type Handoff, settingsOf } from '../../../../src/contract/handoff.ts';
import { Commentary } from '../../../../src/jacamar/executors/batch/commentary.ts';
import { JobLog } from '../../../../src/jacamar/executors/batch/job-log.ts';
import type { JobStatus } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import type { Seen } from '../../../../src/jacamar/executors/batch/watch.ts';
import { slurm } from '../../../../src/jacamar/executors/slurm.ts';

const NOW = 1_795_645_877_000;
const PENDING: JobStatus = { phase: 'pending', state: 'PENDING', reason: 'Resources', expectedStart: NOW + 3_600_000 };
const NEVER: JobStatus = { ...PENDING, reason: 'PartitionTimeLimit' };
const RUNNING: JobStatus = { phase: 'running', state: 'RUNNING' };

/** Looks a second apart, each with a new answer unless the changes say otherwise. */
function commentary(batch = '', timeoutSeconds = 3600) {
  const file = `[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n[batch]\n${batch}`;
  const handoff: Handoff = {
    protocol: 1,
    stage: 'run',
    job: { id: 1, server: 's', projectPath: 'p', runner: 'r', concurrent: 0, timeoutSeconds, startedAt: NOW },
    account: { name: 'alice', home: '/home/alice', shell: '/bin/bash' },
    runnerProcess: { pid: 1, startTime: '1' },
    base: '/home/alice/.jacamar-ci',
    settings: settingsOf(parseConfiguration(file, 'f'), {}),
    variables: {},
  };
  let date = NOW;
  let text = '';
  let changed = 0;
  const clock = { now: () => date, date: () => date + changed, pause: async () => {} };
  const log = new JobLog(async (chunk) => {
    text += Buffer.from(chunk).toString();
  });
  const commented = new Commentary({
    scheduler: slurm,
    handoff,
    commands: { count: 3 },
    id: '12',
    requestedTime: 600,
    log,
    clock,
  });
  let answers = 0;
  return async (
    status: JobStatus | undefined,
    changes: Partial<Seen> & { at?: number; clockIsAhead?: number } = {},
  ) => {
    answers += 1;
    const { at = answers, clockIsAhead = 0, ...look } = changes;
    changed = clockIsAhead * 1000;
    date = NOW + at * 1000;
    text = '';
    const seen = {
      elapsedMs: at * 1000,
      startedOn: undefined,
      status,
      answers,
      silence: undefined,
    };
    const end = await commented.look({ ...seen, ...look });
    return { end, text, lines: text.split('\n').filter((line) => line !== '') };
  };
}

describe('a job that can never start', () => {
  it('is cancelled when three answers in a row say so', async () => {
    const look = commentary();
    assert.deepEqual([(await look(NEVER)).end, (await look(NEVER)).end], [undefined, undefined]);
    assert.equal((await look(NEVER)).end, 'never-starts');
  });

  it('is not cancelled by one answer that is looked at often, or by silence', async () => {
    const look = commentary();
    for (let round = 0; round < 9; round++) assert.equal((await look(NEVER, { answers: 1 })).end, undefined);
    for (let round = 0; round < 9; round++) assert.equal((await look(NEVER, { silence: 'down' })).end, undefined);
  });

  it('is not cancelled when another reason comes between', async () => {
    const look = commentary();
    const statuses = [NEVER, NEVER, PENDING, NEVER, NEVER];
    for (const status of statuses) assert.equal((await look(status)).end, undefined);
  });

  it('is not one that is held', async () => {
    const look = commentary();
    for (let round = 0; round < 9; round++) {
      assert.equal((await look({ ...PENDING, reason: 'JobHeldAdmin' })).end, undefined);
    }
  });
});

describe('max_pending', () => {
  it('cancels a job that waits longer', async () => {
    const look = commentary('max_pending = "60s"');
    assert.equal((await look(PENDING, { at: 60 })).end, undefined);
    assert.equal((await look(PENDING, { at: 61 })).end, 'max-pending');
  });

  it('counts a job of which nothing was heard as waiting', async () => {
    const look = commentary('max_pending = "60s"');
    assert.equal((await look(undefined, { at: 61, silence: 'down' })).end, 'max-pending');
  });

  it('does not touch a job that runs, as soon as its wrapper says so', async () => {
    const look = commentary('max_pending = "60s"');
    assert.equal((await look(RUNNING, { at: 61 })).end, undefined);
    assert.equal((await look(PENDING, { at: 62, startedOn: 'n1' })).end, undefined);
    assert.equal((await look(undefined, { at: 63, startedOn: 'n1' })).end, undefined);
  });
});

describe('max_pending of a job that has ended before it was seen to start', () => {
  it('is no reason for its end', async () => {
    const ended: JobStatus = { phase: 'ended', state: 'COMPLETED', end: { kind: 'completed' } };
    const look = commentary('max_pending = "60s"');
    assert.equal((await look(ended, { at: 61 })).end, undefined);
  });
});

describe('the timeout of the CI job', () => {
  it('ends the job in order before it comes', async () => {
    const look = commentary();
    assert.equal((await look(RUNNING, { at: 3524 })).end, undefined);
    assert.equal((await look(RUNNING, { at: 3525 })).end, 'budget');
  });

  it('is counted from the start of the CI job, and ends one that waits, too', async () => {
    const look = commentary('', 600);
    assert.equal((await look(PENDING, { at: 541 })).end, 'budget');
  });

  it('does not touch a job that has ended', async () => {
    const ended: JobStatus = { phase: 'ended', state: 'COMPLETED', end: { kind: 'completed' } };
    const look = commentary();
    assert.equal((await look(ended, { at: 3599 })).end, undefined);
  });

  it('does not come nearer when the clock of the host is set forward', async () => {
    const look = commentary();
    assert.equal((await look(RUNNING, { at: 10, clockIsAhead: 7200 })).end, undefined);
  });

  it('is told in time', async () => {
    const look = commentary();
    await look(RUNNING, { at: 2990 });
    assert.equal((await look(RUNNING, { at: 3001 })).lines.length, 1);
  });
});

describe('an expected start', () => {
  it('that comes too late for the CI job is told once, where the site wants that', async () => {
    const late = { ...PENDING, expectedStart: NOW + 7_200_000 };
    for (const [policy, times] of [
      ['warn', 1],
      ['refuse', 1],
      ['off', 0],
    ] as const) {
      const look = commentary(`budget = "${policy}"`);
      const { text } = await look(late);
      assert.equal(text.split('"timeout"').length - 1, times, policy);
      assert.equal((await look(late)).text, '');
    }
  });
});

describe('a job that runs by the word of its wrapper', () => {
  it('is told to run, on the node of the wrapper, with no reason to wait', async () => {
    const look = commentary();
    await look(PENDING);
    const text = (await look(PENDING, { startedOn: 'n1' })).lines.join('\n');
    assert.match(text, /n1/);
    assert.doesNotMatch(text, /Resources/);
    assert.deepEqual((await look(RUNNING, { startedOn: 'n1' })).lines, []);
  });
});
