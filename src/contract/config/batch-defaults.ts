// The [batch.defaults] table: what a submission asks for where its job says nothing.

import { key, table } from './table.ts';
import * as value from './value.ts';

const OURS = { status: 'works', origin: 'ours' } as const;
const amount = (name: string, variable: string, what: string) =>
  key(name, value.integer({ min: 1, max: 1_000_000 }), { ...OURS, description: `${what}, like \`${variable}\`.` });
const word = (name: string, variable: string, what: string) =>
  key(name, value.name, { ...OURS, description: `${what}, like \`${variable}\`.` });

export const batchDefaults = table({
  description:
    'Used for each thing that neither the typed key of a job, nor its line of arguments, nor `batch.default_args` asks for. The lists of `[batch.allow]` do not apply.',
  keys: {
    nodes: amount('nodes', 'SCHEDULER_NODES', 'Nodes'),
    tasks: amount('tasks', 'SCHEDULER_TASKS', 'Tasks of the whole job'),
    cpusPerTask: amount('cpus_per_task', 'SCHEDULER_CPUS_PER_TASK', 'CPUs for each task'),
    gpus: amount('gpus', 'SCHEDULER_GPUS', 'GPUs on each node'),
    memory: key('memory', value.memory, {
      ...OURS,
      description: 'Memory on each node, like `SCHEDULER_MEMORY`.',
      example: '4G',
    }),
    timeMs: key('time', value.duration({ min: '1s', max: '8760h' }), {
      ...OURS,
      description: 'Wall time, like `SCHEDULER_TIME`.',
      example: '1h',
    }),
    partition: word('partition', 'SCHEDULER_PARTITION', 'Partition (queue)'),
    account: word('account', 'SCHEDULER_ACCOUNT', 'Account (project, bank)'),
    qos: word('qos', 'SCHEDULER_QOS', 'Quality of service'),
    constraint: word('constraint', 'SCHEDULER_CONSTRAINT', 'Features that nodes must have'),
    reservation: word('reservation', 'SCHEDULER_RESERVATION', 'Reservation'),
    exclusive: key('exclusive', value.flag, {
      ...OURS,
      description: 'Whole nodes, shared with no other job, like `SCHEDULER_EXCLUSIVE`.',
    }),
  },
});
