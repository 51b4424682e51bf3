// One audit line per decision, with what was known when it was made.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AuthorizationError, JobError, SystemFailure } from '../../src/contract/errors.ts';
import { type Details, type Log, SILENT_LOG } from '../../src/contract/log.ts';
import { decide, noteAccount, noteClaims } from '../../src/jacamar-auth/decision.ts';
import { sampleJob, verifiedClaims } from '../support/tokens.ts';

function audit() {
  const lines: [level: string, message: string, details: Details | undefined][] = [];
  const log: Log = { ...SILENT_LOG, audit: (level, message, details) => void lines.push([level, message, details]) };
  return { lines, about: { job: sampleJob(), stage: 'config', log } };
}

const parts = { code: 'ERR_X', message: 'x' };

describe('a decision', () => {
  it('that allows says who, as whom, and by which rule', async () => {
    const { lines, about } = audit();
    const made = await decide(about, async (decision) => {
      noteClaims(decision, verifiedClaims());
      noteAccount(decision, { name: 'a_lice', uid: 1001 });
      decision.rule = 'no allowlist';
      return 'made';
    });
    assert.equal(made, 'made');
    const who = { project: 'group/project', user_id: '42', login: 'alice', account: 'a_lice', uid: 1001 };
    const details = { result: 'allowed', job: 302, stage: 'config', ...who, rule: 'no allowlist' };
    assert.deepEqual(lines, [['info', 'authorization decision', details]]);
  });

  it('that refuses says what was known by then, and the code of the reason', async () => {
    for (const error of [new AuthorizationError(parts), new JobError(parts)]) {
      const { lines, about } = audit();
      await assert.rejects(
        decide(about, () => Promise.reject(error)),
        error,
      );
      const details = {
        result: 'refused',
        job: 302,
        stage: 'config',
        project: 'group/project',
        user_id: '42',
        rule: 'ERR_X',
      };
      assert.deepEqual(lines, [['warn', 'authorization decision', details]]);
    }
  });

  it('that could not be made has no line of its own', async () => {
    for (const error of [new SystemFailure(parts), new TypeError('x')]) {
      const { lines, about } = audit();
      await assert.rejects(
        decide(about, () => Promise.reject(error)),
        error,
      );
      assert.deepEqual(lines, []);
    }
  });

  it('goes by the project that runs the job', async () => {
    const { lines, about } = audit();
    const claims = verifiedClaims({ project_path: 'bob/fork', job_project_path: 'group/other' });
    await decide(about, async (decision) => noteClaims(decision, claims));
    assert.equal(lines[0]?.[2]?.['project'], 'group/other');
  });
});
