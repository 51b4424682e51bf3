// The runner and jacamar-auth are root's; our own child drops to the account.

import { behaves } from '../support/modes.ts';

await behaves({
  title: 'setuid as root',
  deployment: { downscope: 'setuid', service: false },

  between: ({ installation }, args) => [`${installation.program('jacamar')} --no-auth ${args}`],
});
