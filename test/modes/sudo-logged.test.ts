// The same where sudo logs what goes in and out: it puts pipes of its own in between.

import { allowSudo, behaves } from '../support/modes.ts';

await behaves({
  title: 'sudo that logs',
  deployment: { downscope: 'sudo', service: true },
  furnish: (world) => allowSudo(world, 'use_pty', 'log_input, log_output', `iolog_dir=${world.at('iolog')}`),
  between: ({ installation, account }, args) => [
    `/usr/bin/sudo -n -u ${account.name} -- ${installation.program('jacamar')} --no-auth --piped ${args}`,
    `${installation.program('jacamar')} --no-auth --piped ${args}`,
  ],
});
