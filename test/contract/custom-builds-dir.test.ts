// CUSTOM_CI_BUILDS_DIR as text: whatever a job writes, what comes out is a plain absolute path, or nothing.

import assert from 'node:assert/strict';
import { normalize } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { customBuildsDir } from '../../src/contract/custom-builds-dir.ts';
import { JobError } from '../../src/contract/errors.ts';
import { type Job, parseJobResponse } from '../../src/contract/job.ts';

const ALICE = { name: 'alice', home: '/home/alice' };
const VARIABLE = 'CUSTOM_CI_BUILDS_DIR';

function jobWith(...values: string[]): Job {
  return parseJobResponse(
    JSON.stringify({
      id: 1,
      token: 't',
      job_info: {},
      git_info: { repo_url: 'https://h/a/b.git' },
      runner_info: {},
      variables: values.map((value) => ({ key: VARIABLE, value })),
    }),
  );
}

/** What the runner hands over of a value, and what is made of it. */
const taken = (received: string, job = jobWith(received), more = {}) =>
  customBuildsDir({ [`CUSTOM_ENV_${VARIABLE}`]: received, ...more }, job, ALICE);

describe('the place that a job wants', () => {
  it('is none without the variable', () => assert.equal(customBuildsDir({}, jobWith(), ALICE), undefined));

  it('may come from the runner, whose configuration can set variables', () =>
    assert.equal(taken('~/$USER', jobWith()), '/home/alice/alice'));

  it('is the last of several values', () => assert.equal(taken('/x', jobWith('/a', '$HOME/b')), '/home/alice/b'));

  it('keeps what only looks like a name of ours', () => {
    const more = { CUSTOM_ENV_HOMES: 'homes', CUSTOM_ENV_USER_ID: '7' };
    assert.equal(taken('/homes/7', jobWith('/$HOMES/$USER_ID'), more), '/homes/7');
  });

  it("is the account's home even for a job that has a variable HOME", () =>
    assert.equal(taken('/evil/x', jobWith('$HOME/x'), { CUSTOM_ENV_HOME: '/evil' }), '/home/alice/x'));

  it('is not expanded twice', () => {
    const more = { CUSTOM_ENV_A: '$CUSTOM', CUSTOM_ENV_CUSTOM: 'x' };
    assert.throws(() => taken('/$CUSTOM', jobWith('/$A'), more), { code: 'ERR_CUSTOM_BUILDS_DIR' });
  });

  it('is a plain absolute path, whatever the job writes', () => {
    const pieces = fc.constantFrom(
      '$HOME',
      '${USER}',
      '$$',
      '$A',
      '~',
      '/',
      '..',
      '.',
      '"',
      '`',
      '\\',
      '\n',
      'a',
      'ü',
      ' ',
    );
    const texts = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.array(pieces).map((list) => list.join('')),
    );
    fc.assert(
      fc.property(texts, texts, (written, received) => {
        try {
          const path = taken(received, jobWith(written), { CUSTOM_ENV_A: received }) ?? '';
          assert.equal(normalize(path), path);
          assert.match(path, /^\/[^\p{Cc}$`"'\\]*$/u);
        } catch (error) {
          assert.ok(error instanceof JobError, String(error));
        }
      }),
    );
  });
});
