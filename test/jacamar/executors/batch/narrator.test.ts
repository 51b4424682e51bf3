// What the job log tells while a submission waits and runs. Texts are not compared, but which changes are worth a line.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasControls } from '../../../../src/contract/text.ts';
import {
  narrate,
  type Seen,
  submissionRemarks,
  submissionSection,
} from '../../../../src/jacamar/executors/batch/narrator.ts';
import type { JobStatus } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { slurm } from '../../../../src/jacamar/executors/slurm.ts';

const NOW = 1_795_645_877_000;
const PENDING: JobStatus = {
  phase: 'pending',
  state: 'PENDING',
  reason: 'Resources',
  partition: 'ci',
  account: 'acct',
  timeLimit: 600,
};
const RUNNING: JobStatus = { ...PENDING, phase: 'running', state: 'RUNNING', nodes: 'n[1-2]' };

function seen(status: JobStatus | undefined, changes: Partial<Seen> = {}): Seen {
  const reason = status?.reason === undefined ? undefined : slurm.reason(status.reason);
  return {
    scheduler: 'Slurm',
    runningState: 'RUNNING',
    id: '12',
    status,
    reason,
    waited: 10,
    now: NOW,
    calls: 3,
    ...changes,
  };
}

const waiting = seen(PENDING);
const lines = (before: Seen | undefined, now: Seen) => narrate(before, now);

describe('the narrator', () => {
  it('tells the number at once', () => {
    const [line, ...more] = lines(undefined, seen(undefined));
    assert.match(line ?? '', /12/);
    assert.deepEqual(more, []);
  });

  it('tells place, limit and reason with the first answer', () => {
    const text = lines(seen(undefined), waiting).join('\n');
    for (const part of ['ci', 'acct', '10 min', 'Resources', slurm.reason('Resources').text]) {
      assert.ok(text.includes(part), part);
    }
  });

  it('tells a place that has changed, and nothing that has not', () => {
    assert.deepEqual(lines(waiting, waiting), []);
    const [line, ...more] = lines(waiting, seen({ ...PENDING, partition: 'long' }));
    assert.match(line ?? '', /long/);
    assert.deepEqual(more, []);
  });

  it('tells another reason once', () => {
    const other = seen({ ...PENDING, reason: 'Priority' });
    assert.equal(lines(waiting, other).length, 1);
    assert.deepEqual(lines(other, other), []);
  });

  it('tells that it runs, where, and after how long', () => {
    const [line, ...more] = lines(waiting, seen(RUNNING, { waited: 200 }));
    assert.match(line ?? '', /n\[1-2\].*3 min 20 s/);
    assert.deepEqual(more, []);
    assert.deepEqual(lines(seen(RUNNING), seen(RUNNING, { waited: 100_000 })), []);
  });

  it('tells that it runs even when nobody saw it wait', () => {
    assert.match(lines(undefined, seen(RUNNING)).join('\n'), /n\[1-2\]/);
  });

  it('tells a suspension, its end, and a return to the queue', () => {
    const suspended = seen({ ...RUNNING, state: 'SUSPENDED' });
    assert.match(lines(seen(RUNNING), suspended).join(), /SUSPENDED/);
    assert.equal(lines(suspended, seen(RUNNING)).length, 1);
    assert.equal(lines(seen(RUNNING), seen(PENDING)).length, 2);
  });

  it('knows what each scheduler calls running', () => {
    const words = { scheduler: 'PBS', runningState: 'R' };
    const [runs, stands] = [seen({ ...RUNNING, state: 'R' }, words), seen({ ...RUNNING, state: 'S' }, words)];
    assert.deepEqual(lines(runs, stands), ['PBS says S.']);
    assert.deepEqual(lines(stands, runs), ['The job goes on (R).']);
  });

  it('tells a state that nobody knows, once', () => {
    const strange = seen({ ...RUNNING, state: 'FISHING', isUnknownState: true });
    assert.match(lines(waiting, strange).join(), /FISHING/);
    assert.deepEqual(lines(strange, strange), []);
  });

  it('leaves the end to the verdict', () => {
    const ended: JobStatus = { ...RUNNING, phase: 'ended', state: 'FAILED', end: { kind: 'failed' } };
    assert.deepEqual(lines(seen(RUNNING), seen({ ...RUNNING, phase: 'ending', state: 'COMPLETING' })), []);
    assert.deepEqual(lines(seen(RUNNING), seen(ended)), []);
  });

  it('tells an expected start in words, and again only when it has moved', () => {
    const at = (minutes: number) => seen({ ...PENDING, expectedStart: NOW + minutes * 60_000 });
    assert.match(lines(waiting, at(125)).join(), /in about 2 h 10 min/);
    assert.deepEqual(lines(at(60), at(64)), []);
    assert.equal(lines(at(60), at(70)).length, 1);
    assert.doesNotMatch(lines(waiting, at(-3)).join(), /-/);
  });

  it('tells once that the scheduler is silent, and once that it is back', () => {
    const silent = seen(PENDING, { silence: 'Socket timed out' });
    assert.match(lines(waiting, silent).join(), /Socket timed out/);
    assert.deepEqual(lines(silent, seen(PENDING, { silence: 'Connection refused', waited: 30 })), []);
    assert.equal(lines(silent, waiting).length, 1);
  });

  it('counts down before a job that can never start is cancelled', () => {
    const never = (count: number) => seen(PENDING, { never: { count, limit: 3 } });
    assert.deepEqual(lines(waiting, never(0)), []);
    assert.equal(lines(waiting, never(1)).length, 1);
    assert.notDeepEqual(lines(waiting, never(1)), lines(never(1), never(2)));
    assert.deepEqual(lines(never(1), never(1)), []);
    assert.deepEqual(lines(never(2), never(3)), [], 'the verdict says the rest');
  });

  it('gives signs of life after 1, 2, 5 and 10 minutes, then every 10', () => {
    const told: number[] = [];
    for (let waited = 7; waited < 3000; waited += 7) {
      if (lines(seen(PENDING, { waited: waited - 7 }), seen(PENDING, { waited })).length > 0)
        told.push(Math.floor(waited / 60));
    }
    assert.deepEqual(told, [1, 2, 5, 10, 20, 30, 40]);
  });

  it('gives signs of life while the scheduler is silent, and does not pass off what it said before as new', () => {
    for (const status of [undefined, PENDING]) {
      const silent = { silence: 'Socket timed out' };
      const [line = '', ...more] = lines(
        seen(status, { ...silent, waited: 50 }),
        seen(status, { ...silent, waited: 70 }),
      );
      assert.match(line, /Socket timed out/);
      assert.deepEqual(more, []);
      if (status !== undefined) assert.ok(line.indexOf('Socket timed out') < line.indexOf('Resources'), line);
    }
  });

  it('gives no sign of life beside news, or while the job runs', () => {
    const before = seen(PENDING, { waited: 50 });
    assert.equal(lines(before, seen({ ...PENDING, reason: 'Priority' }, { waited: 70 })).length, 1);
    assert.deepEqual(lines(seen(RUNNING, { waited: 50 }), seen(RUNNING, { waited: 70 })), []);
  });

  it('has no time stamps, and no control characters from elsewhere', () => {
    const foreign = seen({ ...RUNNING, nodes: 'a\u001b[2Jb', state: 'RUNNING' });
    const text = lines(undefined, foreign).join('\n');
    assert.ok(!text.includes('\u001b'));
    assert.doesNotMatch(text, /\d{2}:\d{2}|20\d\d-/);
  });
});

describe('details of the submission', () => {
  it('are in a collapsed section of GitLab', () => {
    const section = submissionSection({ program: 'sbatch', argv: ['--comment=two words', '-n1'] }, '/o', NOW);
    assert.equal(
      section[0]?.startsWith('\u001b[0Ksection_start:1795645877:batch_submission[collapsed=true]\r\u001b[0K'),
      true,
    );
    assert.equal(section.at(-1), '\u001b[0Ksection_end:1795645877:batch_submission\r\u001b[0K');
    assert.ok(section.some((line) => line === "sbatch '--comment=two words' -n1"));
  });
});

describe('what the scheduler says of a job that it takes', () => {
  it('is told as it is, but for what could move a cursor or open a section of the log', () => {
    const lines = submissionRemarks('Slurm', ['sbatch: warning: ok', '\u001b[0Ksection_start:1:x\r\u001b[0K']);
    assert.ok(lines.some((line) => line.endsWith('sbatch: warning: ok')));
    assert.equal(hasControls(lines.join('')), false);
  });

  it('is nothing where it says nothing', () => assert.deepEqual(submissionRemarks('Slurm', []), []));

  it('is cut where it is long, and that is told', () => {
    const lines = submissionRemarks('Slurm', Array(1000).fill('x'.repeat(100_000)));
    assert.ok(lines.join('\n').length < 32 * 1024);
    assert.match(lines.at(-1) ?? '', /980/);
  });
});
