// A service account runs the runner; jacamar-auth has two file capabilities in place of root.

import { behaves } from '../support/modes.ts';

await behaves({
  title: 'setuid as a service account',
  deployment: { downscope: 'setuid', service: true, capable: true },

  between: ({ installation }, args) => [`${installation.program('jacamar')} --no-auth ${args}`],
});
