// How a batch job ended, and whose fault that is: never green for a job that did not run to its end.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JobError, ScriptFailure, SystemFailure } from '../../../../src/contract/errors.ts';
import type { EndKind, JobEnd } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import {
  type EndFacts,
  failureOf,
  type OwnStop,
  verdictBox,
  verdictOf,
} from '../../../../src/jacamar/executors/batch/verdict.ts';
import { slurm } from '../../../../src/jacamar/executors/slurm.ts';
import type { Progress } from '../../../../src/jacamar/login-shell.ts';

const BEGUN = { isStarted: true } as const;
const NOT_BEGUN = { isStarted: false } as const;
const exited = (exitCode: number) => ({ isStarted: true, exitCode });

function facts(changes: Partial<EndFacts>): EndFacts {
  return { scheduler: slurm, id: '12', marker: BEGUN, output: '/home/a/out', ...changes };
}

const ended = (kind: EndKind, more: Partial<JobEnd> = {}) => ({ kind, ...more });
const verdict = (changes: Partial<EndFacts>) => verdictOf(facts(changes));
const failure = (changes: Partial<EndFacts>) => failureOf(verdict(changes));

const KINDS: readonly EndKind[] = [
  'completed',
  'failed',
  'time-limit',
  'out-of-memory',
  'cancelled',
  'node-failure',
  'start-failure',
  'elsewhere',
  'output-unopened',
  'preempted',
];

describe('success', () => {
  it('needs the word of the script and no other of the scheduler', () => {
    assert.equal(verdict({ end: ended('completed', { exitCode: 0 }), marker: exited(0) }).outcome, 'success');
    assert.equal(verdict({ marker: exited(0) }).outcome, 'success', 'the scheduler has forgotten the job');
    assert.equal(failure({ end: ended('completed'), marker: exited(0) }), undefined);
  });

  for (const kind of KINDS) {
    it(`is not ${kind} without the word of the script`, () => {
      assert.notEqual(verdict({ end: ended(kind, { exitCode: 0 }) }).outcome, 'success');
      assert.notEqual(verdict({ end: ended(kind, { exitCode: 0 }), marker: NOT_BEGUN }).outcome, 'success');
    });
    if (kind !== 'completed') {
      it(`is not ${kind}, even when the script ended with 0`, () => {
        assert.notEqual(verdict({ end: ended(kind, { exitCode: 0 }), marker: exited(0) }).outcome, 'success');
      });
    }
  }

  it('is not a job that was lost', () => assert.equal(verdict({}).outcome, 'system'));
});

describe('a script that failed', () => {
  for (const code of [1, 7, 137, 255]) {
    it(`with ${code} fails the CI job with that code`, () => {
      for (const end of [
        ended('failed', { exitCode: code }),
        undefined,
        ended('completed'),
        ended('failed', { exitCode: 9 }),
      ]) {
        const error = failure({ end, marker: exited(code) });
        assert.ok(error instanceof ScriptFailure);
        assert.equal(error.exitCode, code);
      }
    });
  }

  it('of which the scheduler knows nothing says whether a signal to the whole job ended it', () => {
    const codeOf = (exitCode: number, signal?: number) => {
      const found = verdict({ marker: { ...exited(exitCode), signal } });
      assert.deepEqual([found.outcome, found.exitCode], ['build', exitCode]);
      return found.code;
    };
    assert.equal(codeOf(143, 15), 'ERR_SCRIPT_KILLED');
    for (const [exitCode, signal] of [[143], [137, 15], [1, 15]] as const)
      assert.equal(codeOf(exitCode, signal), 'ERR_SCRIPT_EXIT');
    assert.equal(verdict({ marker: { ...exited(0), signal: 15 } }).outcome, 'success');
  });

  it('and was killed from outside fails the CI job with 128 and the signal', () => {
    const error = failure({ end: ended('failed', { signal: 9 }) });
    assert.ok(error instanceof ScriptFailure);
    assert.equal(error.exitCode, 137);
  });

  it('without a word of its own fails the CI job with the code of the scheduler', () => {
    const error = failure({ end: ended('failed', { exitCode: 7 }) });
    assert.equal(error instanceof ScriptFailure && error.exitCode, 7);
  });

  it('of which nobody knows a code is a failed job all the same', () => {
    assert.ok(failure({ end: ended('failed') }) instanceof JobError);
    assert.ok(failure({ end: ended('failed', { exitCode: 0 }), marker: exited(0) }) instanceof JobError);
  });

  it('out of memory keeps its code, and has none when it went on', () => {
    const error = failure({ end: ended('out-of-memory'), marker: exited(137) });
    assert.equal(error instanceof ScriptFailure && error.exitCode, 137);
    assert.ok(failure({ end: ended('out-of-memory'), marker: exited(0) }) instanceof JobError);
  });
});

describe('whose fault an end is', () => {
  const faults: readonly (readonly [EndKind, 'user' | 'site', string])[] = [
    ['completed', 'site', 'ERR_BATCH_NO_RESULT'],
    ['time-limit', 'user', 'ERR_TIME_LIMIT'],
    ['out-of-memory', 'user', 'ERR_OUT_OF_MEMORY'],
    ['cancelled', 'user', 'ERR_CANCELLED'],
    ['node-failure', 'site', 'ERR_NODE_FAILURE'],
    ['start-failure', 'site', 'ERR_BATCH_START'],
    ['elsewhere', 'site', 'ERR_BATCH_ELSEWHERE'],
    ['output-unopened', 'site', 'ERR_BATCH_OUTPUT'],
    ['preempted', 'site', 'ERR_PREEMPTED'],
  ];
  for (const [kind, fault, code] of faults) {
    it(`${kind}: ${fault}`, () => {
      const error = failure({ end: ended(kind) });
      assert.deepEqual([error?.fault, error?.code], [fault, code]);
    });
  }

  it('failed before the script began: site', () => {
    assert.ok(failure({ end: ended('failed', { exitCode: 127 }), marker: NOT_BEGUN }) instanceof SystemFailure);
  });

  it('cancelled on a node before the script began: site, unless some user did it', () => {
    const failed = (by?: string, changes: Partial<EndFacts> = {}) =>
      failure({ end: ended('cancelled', by === undefined ? {} : { by }), marker: NOT_BEGUN, nodes: 'n1', ...changes });
    for (const by of ['root', undefined]) {
      assert.equal(failed(by)?.code, 'ERR_BATCH_NOT_BEGUN');
      assert.equal(failed(by)?.fault, 'site');
      assert.equal(failed(by, { nodes: undefined })?.fault, 'user', 'in the queue');
      assert.equal(failed(by, { marker: BEGUN })?.fault, 'user', 'while it ran');
    }
    assert.equal(failed('bob')?.fault, 'user');
  });

  it('lost: site, with what was asked', () => {
    const lost = facts({ evidence: ['squeue: nothing', 'sacct: nothing'] });
    assert.equal(failureOf(verdictOf(lost))?.code, 'ERR_BATCH_LOST');
    const box = verdictBox(verdictOf(lost), lost).join('\n');
    assert.ok(box.includes('squeue: nothing') && box.includes('sacct: nothing'));
  });

  it('cancelled for a dependency that can not come true: user', () => {
    const error = failure({ end: ended('cancelled', { note: 'DependencyNeverSatisfied' }), marker: NOT_BEGUN });
    assert.deepEqual([error?.fault, error?.code], ['user', 'ERR_NEVER_STARTS']);
  });

  const stops: readonly (readonly [OwnStop, 'user' | 'site'])[] = [
    ['stopped', 'site'],
    ['budget', 'user'],
    ['max-pending', 'user'],
    ['never-starts', 'user'],
    ['requeued', 'site'],
    ['several-jobs', 'user'],
  ];
  for (const [ownStop, fault] of stops) {
    it(`cancelled by us, ${ownStop}: ${fault}, whatever the scheduler says of it`, () => {
      const ends = [ended('cancelled', { by: '1001' }), ended('failed', { signal: 15 }), undefined];
      for (const end of ends) assert.equal(failure({ end, ownStop })?.fault, fault);
      assert.equal(failure({ end: ended('cancelled'), ownStop, marker: exited(143) })?.fault, fault);
      const signalled = ended('failed', { exitCode: 143 }); // PBS, after a script that ended by our signal
      assert.equal(failure({ end: signalled, ownStop, marker: exited(143) })?.fault, fault);
      assert.equal(failure({ end: signalled, ownStop, marker: exited(143) }) instanceof ScriptFailure, false);
      assert.equal(failure({ end: ended('cancelled'), ownStop, marker: exited(0) })?.fault, fault);
    });

    it(`${ownStop} that came too late does not change how the script ended`, () => {
      assert.equal(verdict({ end: ended('completed'), ownStop, marker: exited(0) }).outcome, 'success');
      const error = failure({ end: ended('failed', { exitCode: 7 }), ownStop, marker: exited(7) });
      assert.equal(error instanceof ScriptFailure && error.exitCode, 7);
    });
  }
});

describe('a script that did not run', () => {
  const shell = (code: number, progress: Partial<Progress>) => ({
    ...BEGUN,
    shell: { code, progress: { isStarted: false, isBegun: false, scriptCode: undefined, bashEnv: '', ...progress } },
  });

  it('is the fault of the profile when the login shell ended in it, with success too', () => {
    const facts = { end: ended('failed', { exitCode: 1 }), marker: shell(0, {}) };
    assert.equal(verdict(facts).code, 'ERR_PROFILE');
    assert.match(verdict(facts).sentence, /exit status 0 before the script could start/);
  });

  it('is the fault of the file in BASH_ENV when Bash ended in it', () => {
    const marker = shell(0, { isStarted: true, bashEnv: '/home/a/env' });
    assert.match(verdict({ end: ended('completed', { exitCode: 0 }), marker }).advice ?? '', /BASH_ENV=\/home\/a\/env/);
  });

  it('is told as the scheduler tells it when that ended the job', () => {
    assert.equal(verdict({ end: ended('time-limit'), marker: shell(143, {}) }).code, 'ERR_TIME_LIMIT');
  });
});

describe('the verdict box', () => {
  const box = (changes: Partial<EndFacts>) => verdictBox(verdict(changes), facts(changes)).join('\n');

  it('has the exit code, and where all of the output stays', () => {
    const text = box({ end: ended('failed', { exitCode: 7 }), marker: exited(7), keptOutput: '/home/a/kept' });
    assert.match(text, /Exit code: 7$/m);
    assert.match(text, /\/home\/a\/kept$/);
  });

  it('names no file that goes with the job', () => assert.doesNotMatch(box({ end: ended('failed') }), /home/));

  it('says who cancelled the job', () => assert.match(box({ end: ended('cancelled', { by: 'bob' }) }), /by bob/));
  it('says what was asked for', () => {
    assert.match(box({ end: ended('time-limit'), timeLimit: 600 }), /10 min/);
    const usage = { memoryPeak: 1024 ** 3, memoryAsked: 2 * 1024 ** 3 };
    assert.match(box({ end: ended('out-of-memory'), usage }), /1.00 GiB of 2.00 GiB/);
    assert.match(box({ end: ended('node-failure'), nodes: 'n7' }), /n7/);
    assert.match(box({ ownStop: 'never-starts', reason: 'BadConstraints' }), /BadConstraints/);
    assert.match(box({ ownStop: 'max-pending', maxPending: 7200 }), /2 h/);
  });

  it('says what to do where that is known', () => {
    for (const kind of ['time-limit', 'out-of-memory'] as const) assert.match(box({ end: ended(kind) }), /SCHEDULER_/);
  });

  it('lets nobody write control characters into the job log', () => {
    const by = 'x\u001b[2J\ny';
    const text = box({ end: ended('cancelled', { by }), nodes: by, keptOutput: by, evidence: [by] });
    assert.ok(!text.includes('\u001b[2J') && !text.includes('\ny'));
  });
});
