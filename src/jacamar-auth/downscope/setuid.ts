// downscope = "setuid": our own child changes its ids for good, proves it, and becomes jacamar.

import { type Credentials, isRoot } from '../credentials.ts';
import { directPlan, type Mechanism, refuseDeployment, refuseTerminal } from './mechanism.ts';

export const setuid: Mechanism = {
  isIndirect: false,

  check({ credentials }) {
    if (!isRoot() && !holdsSetid(credentials)) {
      refuseDeployment('"setuid" needs root, or the capabilities cap_setuid and cap_setgid on jacamar-auth');
    }
    refuseTerminal('setuid');
  },

  plan: (downscope, args) => ({ ...directPlan(downscope, args), credentials: downscope.account }),
};

/** CAP_SETGID is bit 6, CAP_SETUID bit 7: capabilities(7). */
function holdsSetid(credentials: Pick<Credentials, 'capabilities'>): boolean {
  const both = (1n << 6n) | (1n << 7n);
  return (BigInt(`0x${credentials.capabilities().permitted}`) & both) === both;
}
