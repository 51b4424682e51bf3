// The measurements of script/bench. What counts are medians and the ratios of medians: every round runs each command
// once, in turn, so that a machine that is busy for a while is busy for all of them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureCrowd } from './benchmarks/crowd.ts';
import { measureRelay } from './benchmarks/relay.ts';
import { measureSequence, measureStarts } from './benchmarks/starts.ts';
import { measureWaiting } from './benchmarks/waiting.ts';
import { measureWholeJob } from './benchmarks/whole-job.ts';
import { Playground } from './playground.ts';

const { values } = parseArgs({
  options: {
    place: { type: 'string', default: '' },
    state: { type: 'string', default: '' },
    accounts: { type: 'string', default: '' },
    rounds: { type: 'string', default: '40' },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});

const { place, state } = values;
const prefix = join(place, 'jacamar');
const accounts = values.accounts.split(',');
const [account = ''] = accounts;
const rounds = Number(values.rounds);

const playground = await Playground.open({ directory: place, stateDirectory: state, prefix });
const measurements: Record<string, () => Promise<unknown>> = {
  crowd: () => measureCrowd(playground, accounts),
  starts: () => measureStarts(playground, place, account, rounds),
  sequence: () => measureSequence(playground, place, account, rounds),
  whole_job: () => measureWholeJob(playground, place, account, rounds),
  relay: () => measureRelay(playground, account, rounds),
  waiting: () => measureWaiting(playground, prefix, accounts),
};

const asked = values.only?.split(',') ?? Object.keys(measurements);
const result: Record<string, unknown> = {};
for (const name of asked) {
  const measure = measurements[name];
  if (measure === undefined) throw new Error(`--only knows ${Object.keys(measurements).join(', ')}, not ${name}`);
  result[name] = await measure();
}
await playground.close();
process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
