// The [batch.allow] table: what jobs may name of the scheduler's own things.

import { key, table } from './table.ts';
import * as value from './value.ts';

const list = (name: string, variable: string, things: string) =>
  key(name, value.allowlist, {
    status: 'works',
    origin: 'ours',
    description: `The only ${things} that a job may name, with \`${variable}\` or in its line of arguments.`,
  });

export const batchAllow = table({
  description:
    'What a job may ask of the scheduler by name. A list holds for the typed key and for the line of arguments alike; with any list, options that are not known are refused even with `batch.allow_illegal_args`. What a job does not name is the choice of `[batch.defaults]`, or of the scheduler: these lists spare users a wrong request, while the limits of the scheduler itself are what binds them.',
  keys: {
    partition: list('partition', 'SCHEDULER_PARTITION', 'partitions (queues)'),
    account: list('account', 'SCHEDULER_ACCOUNT', 'accounts (projects, banks)'),
    qos: list('qos', 'SCHEDULER_QOS', 'qualities of service'),
    reservation: list('reservation', 'SCHEDULER_RESERVATION', 'reservations'),
  },
});
