// A service account without any privilege runs the runner; sudoers says whom it may start jacamar as.

import { allowSudo, behaves } from '../support/modes.ts';

await behaves({
  title: 'sudo',
  deployment: { downscope: 'sudo', service: true },
  furnish: (world) => allowSudo(world),
  between: ({ installation, account }, args) => [
    `/usr/bin/sudo -n -u ${account.name} -- ${installation.program('jacamar')} --no-auth --piped ${args}`,
    `${installation.program('jacamar')} --no-auth --piped ${args}`,
  ],
});
