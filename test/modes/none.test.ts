// A service account runs the runner, and every job that is let in as itself.

import { behaves } from '../support/modes.ts';

await behaves({
  title: 'none',
  deployment: { downscope: 'none', service: true, ownAccount: true },

  between: ({ installation }, args) => [`${installation.program('jacamar')} --no-auth ${args}`],
});
