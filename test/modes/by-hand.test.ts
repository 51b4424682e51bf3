// A person's own runner, without jacamar-auth.

import { behaves } from '../support/modes.ts';

await behaves({
  title: 'jacamar --no-auth',
  deployment: { downscope: 'none', service: true, ownAccount: true, byHand: true },

  between: () => [],
});
