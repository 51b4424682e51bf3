// downscope = "su": a login by su, with everything that PAM does for one (limits, keyrings, sessions).

import { PIPED_OPTION } from '../../contract/handoff.ts';
import { isRoot } from '../credentials.ts';
import { accountEnvironment } from '../environment.ts';
import { findSystemProgram, type Mechanism, refuseDeployment, refuseFilter, refuseTerminal } from './mechanism.ts';

const PLACES = ['/usr/bin/su', '/bin/su'];

export const su: Mechanism = {
  isIndirect: true,

  check(wishes) {
    refuseFilter('su', wishes);
    if (!isRoot()) refuseDeployment('"su" needs root: anyone else is asked for a password; use "sudo" or "setuid"');
    findSystemProgram('su', PLACES);
    refuseTerminal('su');
  },

  /**
   * jacamar stands in the place of the login shell, so that arguments reach it as they are: nothing is quoted, no
   * profile runs before it, and the account's own shell, whatever it is, takes no part. What follows the name
   * is handed to the shell: su(1). No death signal: su would give jacamar two seconds and then kill it.
   */
  plan({ jacamar, account, noNewPrivileges }, args) {
    const file = findSystemProgram('su', PLACES);
    return {
      file,
      argv: [file, '--login', '--shell', jacamar, '--', account.name, '--no-auth', PIPED_OPTION, ...args],
      env: accountEnvironment(account),
      noNewPrivileges,
      newSession: true,
      deathSignal: 0,
    };
  },
};
