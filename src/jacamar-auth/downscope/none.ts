// downscope = "none": jacamar runs as the account that runs the runner. Authorization decides all the same.

import { isRoot } from '../credentials.ts';
import { directPlan, type Mechanism, refuseDeployment } from './mechanism.ts';

export const none: Mechanism = {
  isIndirect: false,

  check() {
    if (isRoot()) refuseDeployment('"none" as root would run every job as root; use "setuid"');
  },

  plan: directPlan,
};
