// downscope = "sudo": the site's sudoers file says which accounts the runner's account may start jacamar as.

import { PIPED_OPTION } from '../../contract/handoff.ts';
import { isRoot } from '../credentials.ts';
import { accountEnvironment } from '../environment.ts';
import { findSystemProgram, type Mechanism, refuseDeployment, refuseFilter, refuseTerminal } from './mechanism.ts';

const PLACES = ['/usr/bin/sudo', '/usr/local/bin/sudo'];

export const sudo: Mechanism = {
  isIndirect: true,

  check(wishes) {
    findSystemProgram('sudo', PLACES);
    refuseFilter('sudo', wishes);
    if (wishes.noNewPrivileges) refuseDeployment('"sudo" cannot be combined with auth.no_new_privs, which stops sudo');
    refuseTerminal('sudo');
  },

  /**
   * -n: a rule that wants a password is an error, not a question. No death signal: sudo would pass it on at once,
   * and the end of its input tells jacamar the same. In our own session, since without root's rights a sudo that
   * stopped itself (it does what its child does) can be continued from there only: kill(2).
   */
  plan({ jacamar, account }, args) {
    const file = findSystemProgram('sudo', PLACES);
    return {
      file,
      argv: [file, '-n', '-u', account.name, '--', jacamar, '--no-auth', PIPED_OPTION, ...args],
      env: accountEnvironment(account),
      noNewPrivileges: false,
      newSession: isRoot(),
      deathSignal: 0,
    };
  },
};
