// The environment of the user's process is built from the account, whatever stands in ours.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { accountEnvironment, jacamarEnvironment, jacamarVariables } from '../../src/jacamar-auth/environment.ts';

const ALICE = { name: 'alice', uid: 1001, gid: 1001, home: '/home/alice', shell: '/bin/bash', groups: [1001] };

describe('the environment of jacamar', () => {
  it('is this list and nothing else', () => {
    assert.deepEqual(jacamarEnvironment(ALICE), [
      'HOME=/home/alice',
      'USER=alice',
      'LOGNAME=alice',
      'SHELL=/bin/bash',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'LANG=C.UTF-8',
      'JACAMAR_CI_HANDOFF=stdin',
    ]);
  });

  it('names a shell also for an account without one', () => {
    assert.ok(accountEnvironment({ ...ALICE, shell: '' }).includes('SHELL=/bin/sh'));
  });
});

describe('the CI variables that jacamar gets', () => {
  const limits = { longest: 10_000, argumentsVariable: [] };

  it('are those that the guide names, by their CI names', () => {
    const environment = {
      CUSTOM_ENV_JACAMAR_NO_BASH_PROFILE: '1',
      CUSTOM_ENV_JACAMAR_ETC_PROFILE_ONLY: 'true',
      CUSTOM_ENV_SCHEDULER_PARAMETERS: '-N 2',
      CUSTOM_ENV_SCHEDULER_TIME: '10m',
      CUSTOM_ENV_SCHEDULER_OTHER: 'x',
      CUSTOM_ENV_SITE_PARAMETERS: '-n 1',
      CUSTOM_ENV_JACAMAR_CI_SLOT: '7',
      CUSTOM_ENV_JACAMAR_CI_CONFIGURATION: '/tmp/x.toml',
      CUSTOM_ENV_LD_PRELOAD: '/tmp/x.so',
      CUSTOM_ENV_BASH_ENV: '/tmp/x',
      'CUSTOM_ENV_BASH_FUNC_ls%%': '() { id; }',
      CUSTOM_ENV_CI_JOB_JWT: 'secret',
      JACAMAR_NO_BASH_PROFILE: 'without prefix',
    };
    assert.deepEqual(jacamarVariables(environment, limits), {
      JACAMAR_NO_BASH_PROFILE: '1',
      JACAMAR_ETC_PROFILE_ONLY: 'true',
      SCHEDULER_PARAMETERS: '-N 2',
      SCHEDULER_TIME: '10m',
    });
    assert.deepEqual(jacamarVariables({ JACAMAR_NO_BASH_PROFILE: '1' }, limits), {});
  });

  it('are also those in which the site lets users write submission arguments', () => {
    const environment = { CUSTOM_ENV_SITE_PARAMETERS: '-n 1', CUSTOM_ENV_SCHEDULER_PARAMETERS: '-N 2' };
    const found = jacamarVariables(environment, { ...limits, argumentsVariable: ['SITE_PARAMETERS', 'NOT_SET'] });
    assert.deepEqual(found, { SITE_PARAMETERS: '-n 1', SCHEDULER_PARAMETERS: '-N 2' });
  });

  it('are of limited length, and the user is told which is not', () => {
    const environment = { CUSTOM_ENV_JACAMAR_NO_BASH_PROFILE: 'x'.repeat(101) };
    assert.throws(
      () => jacamarVariables(environment, { ...limits, longest: 100 }),
      (error: Error & { code: string; publicMessage: string }) => {
        return error.code === 'ERR_VARIABLE_TOO_LONG' && /JACAMAR_NO_BASH_PROFILE/.test(error.publicMessage);
      },
    );
    assert.equal(jacamarVariables(environment, { ...limits, longest: 101 })['JACAMAR_NO_BASH_PROFILE']?.length, 101);
  });
});
