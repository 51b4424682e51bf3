// A token counts for the job it was made for, and for no other.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AuthorizationError } from '../../src/contract/errors.ts';
import type { Job } from '../../src/contract/job.ts';
import { Secret } from '../../src/contract/secret.ts';
import { bindToJob, onlyValue } from '../../src/jacamar-auth/binding.ts';
import type { Claims } from '../../src/jacamar-auth/token.ts';
import { sampleJob, verifiedClaims } from '../support/tokens.ts';

const ANOTHER = { name: 'AuthorizationError', code: 'ERR_TOKEN_OF_ANOTHER_JOB' };

describe('a token', () => {
  it('is taken for its own job', () => bindToJob(verifiedClaims(), sampleJob()));

  const stolen: [title: string, claims: Partial<Claims>][] = [
    ['of another person in my job', { job_id: '301', user_id: '43', pipeline_id: '87' }],
    ['of mine for another job', { job_id: '301' }],
    ['that differs in the pipeline only', { pipeline_id: '89' }],
    ['that differs in the user only', { user_id: '43' }],
    ['that differs in the running project only', { job_project_id: '8' }],
    ['that differs in the project of an older server only', { job_project_id: undefined, project_id: '8' }],
    ['with the same number in another spelling', { job_id: '0302' }],
    ['with a blank', { job_id: '302 ' }],
    ['with the number as a fraction', { job_id: '302.0' }],
  ];
  for (const [title, claims] of stolen) {
    it(`${title} is refused`, () => {
      assert.throws(() => bindToJob(verifiedClaims(claims), sampleJob()), ANOTHER);
    });
  }

  it('of a fork is bound by the project that runs the job', () => {
    bindToJob(verifiedClaims({ project_id: '99' }), sampleJob());
  });

  it('is bound by what the server sent, and always by the job id', () => {
    const old: Partial<Job> = { pipelineId: undefined, userId: undefined, projectId: undefined };
    bindToJob(verifiedClaims({ pipeline_id: '1', user_id: '1', job_project_id: '1' }), sampleJob(old));
    assert.throws(() => bindToJob(verifiedClaims({ job_id: '1' }), sampleJob(old)), ANOTHER);
  });
});

describe('the variable with the token', () => {
  const values = (...texts: string[]) => texts.map((text) => new Secret(text));

  it('may be absent, stand once, or stand twice with one value', () => {
    assert.equal(onlyValue('T', []), undefined);
    assert.equal(onlyValue('T', values('a'))?.reveal(), 'a');
    assert.equal(onlyValue('T', values('a', 'a'))?.reveal(), 'a');
  });

  it('may not hold two things, and the error holds neither', () => {
    for (const texts of [
      ['secret-a', 'secret-b'],
      ['secret-a', ''],
      ['secret-a', 'secret-a', 'secret-a '],
      ['', 'x'],
    ]) {
      assert.throws(
        () => onlyValue('T\n', values(...texts)),
        (error) => {
          assert.ok(error instanceof AuthorizationError && error.code === 'ERR_TOKEN_AMBIGUOUS');
          assert.ok(!/secret|\n/.test(error.message + error.publicMessage));
          return true;
        },
      );
    }
  });
});
