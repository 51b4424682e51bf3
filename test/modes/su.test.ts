// The runner is root's; su makes a login of every call.

import { behaves } from '../support/modes.ts';

await behaves({
  title: 'su',
  deployment: { downscope: 'su', service: false },

  between: ({ installation, account }, args) => [
    `/usr/bin/su --login --shell ${installation.program('jacamar')} -- ${account.name} --no-auth --piped ${args}`,
    `${installation.program('jacamar')} --no-auth --piped ${args}`,
  ],
});
