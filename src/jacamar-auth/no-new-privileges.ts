// Says when this program was itself started with no_new_privs, as a service manager does it (NoNewPrivileges= of
// systemd): the flag cannot be taken back, every job inherits it, and some ways to change ids end there.

import { readFileSync } from 'node:fs';
import type { Configuration } from '../contract/config.ts';
import type { Log } from '../contract/log.ts';

const CONSEQUENCES: Record<NonNullable<Configuration['auth']['downscope']>, string> = {
  setuid: 'file capabilities of jacamar-auth have no effect; as root it works',
  sudo: 'sudo cannot change the account',
  su: 'su cannot change the account',
  none: 'jobs run all the same',
};

/** Warns where it is so. `readStatus` gives the text of proc_pid_status(5). */
export function warnOfNoNewPrivileges(
  log: Log,
  downscope: keyof typeof CONSEQUENCES,
  readStatus: () => string = () => readFileSync('/proc/self/status', 'utf8'),
): void {
  if (!/^NoNewPrivs:\s*1$/m.test(readStatus())) return;
  log.warn('jacamar-auth was started with no_new_privs (systemd: NoNewPrivileges=)', {
    downscope,
    consequence: `${CONSEQUENCES[downscope]}; set-user-id programs give jobs no privilege`,
  });
}
