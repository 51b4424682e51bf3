// Whose fault an error is, and what of it a user may read.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AuthorizationError,
  ConfigurationError,
  JobError,
  ScriptFailure,
  SystemFailure,
} from '../../src/contract/errors.ts';

const parts = { code: 'ERR_X', message: 'account "bob" in /etc/secret.toml' };

describe('errors', () => {
  it('say whose fault they are', () => {
    const faults = [
      new ConfigurationError(parts),
      new SystemFailure(parts),
      new AuthorizationError(parts),
      new JobError(parts),
      new ScriptFailure(1, 'x'),
    ];
    assert.deepEqual(
      faults.map(({ fault }) => fault),
      ['site', 'site', 'refused', 'user', 'user'],
    );
  });

  it('keep their reason from the user unless they were given words for him', () => {
    for (const Kind of [ConfigurationError, SystemFailure, AuthorizationError]) {
      assert.ok(!/bob|secret/.test(new Kind(parts).publicMessage));
      assert.equal(new Kind({ ...parts, publicMessage: 'words' }).publicMessage, 'words');
    }
  });

  it("of the job's author are told to him whole", () => {
    assert.equal(new JobError(parts).publicMessage, parts.message);
  });

  it('carry name, code and cause', () => {
    const cause = new Error('why');
    const error = new SystemFailure({ ...parts, cause });
    assert.deepEqual(
      [error.name, error.code, error.cause, error.message],
      ['SystemFailure', 'ERR_X', cause, parts.message],
    );
    assert.equal('cause' in new SystemFailure(parts), false);
  });
});
