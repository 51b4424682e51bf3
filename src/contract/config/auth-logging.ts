// The [auth.logging] table. The log is the audit trail of who ran what as whom, so it is on unless switched off.

import { key, table } from './table.ts';
import * as value from './value.ts';

export const logging = table({
  description:
    'The log of `jacamar-auth`, which is the audit trail. Without this table it goes to syslog from level "info" on; with it, the defaults below count.',
  absent: { level: 'info' },
  keys: {
    enabled: key('enabled', value.flag, {
      default: true,
      status: 'works',
      description: 'Switches the log off when false.',
      history: 'Older upstream files had to say `enabled = true`.',
    }),
    location: key('location', value.logLocation, {
      default: 'syslog',
      status: 'works',
      description: 'A file, which gets one JSON object per line, or `syslog`.',
      example: '/var/log/jacamar.log',
    }),
    level: key('level', value.choice('error', 'warn', 'info', 'debug'), {
      default: 'debug',
      status: 'works',
      description: 'Lowest level that is logged.',
    }),
    network: key('network', value.name, {
      status: { later: 'a log on another host' },
      description: 'Protocol to reach a syslog on another host, for example `tcp`.',
    }),
    address: key('address', value.name, {
      status: { later: 'a log on another host' },
      description: 'Host and port of a syslog on another host.',
    }),
  },
});
