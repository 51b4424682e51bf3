// A runner that was started with no_new_privs hands it on to us.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog } from '../../src/contract/log.ts';
import { warnOfNoNewPrivileges } from '../../src/jacamar-auth/no-new-privileges.ts';

function warning(status: string, downscope: 'setuid' | 'sudo' | 'su' | 'none'): string {
  let lines = '';
  const fields = { job: 0, runner: '', stage: 'config_exec', processID: 1, hostname: '' };
  const log = createLog('debug', fields, (line) => {
    lines += line;
  });
  warnOfNoNewPrivileges(log, downscope, () => `Name:\tx\nNoNewPrivs:\t${status}\nSeccomp:\t0\n`);
  return lines;
}

it('is told with what it means for the downscope mode', () => {
  assert.match(warning('1', 'setuid'), /"WARN".*started with no_new_privs.*file capabilities/);
  assert.match(warning('1', 'sudo'), /sudo cannot change the account/);
  assert.match(warning('1', 'none'), /jobs run all the same/);
});

it('is not told where it is not so', () => {
  assert.equal(warning('0', 'sudo'), '');
});
