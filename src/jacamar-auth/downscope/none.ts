// downscope = "none": jacamar runs as the account that runs the runner. Authorization decides all the same.

import { constants } from 'node:os';
import { jacamarEnvironment } from '../environment.ts';
import { isRoot, type Mechanism, refuseDeployment } from './mechanism.ts';

export const none: Mechanism = {
  isIndirect: false,

  check() {
    if (isRoot()) refuseDeployment('"none" as root would run every job as root; use "setuid"');
  },

  plan: ({ jacamar, account, noNewPrivileges, seccompFilter }, args) => ({
    file: jacamar,
    argv: [jacamar, '--no-auth', ...args],
    env: jacamarEnvironment(account),
    noNewPrivileges,
    ...(seccompFilter === undefined ? {} : { seccompFilter }),
    newSession: true,
    deathSignal: constants.signals.SIGTERM,
  }),
};
