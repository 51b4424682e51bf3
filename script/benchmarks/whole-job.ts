// A whole job as the runner plays it, through jacamar-auth, and through a driver that does nothing but change the
// account: the same runner, the same scripts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { playJob } from '../../src/jacamar-admin/runner.ts';
import { driverStages, type RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import type { Playground } from '../playground.ts';
import { inRounds } from './numbers.ts';
import { asAccount, ratio } from './starts.ts';

const SCRIPT = ['echo one', 'for i in 1 2 3; do echo "$i"; done', 'ls / >/dev/null'];

function driverText(account: string): string {
  const home = `/home/${account}`;
  const output = JSON.stringify({ builds_dir: `${home}/plain/builds`, cache_dir: `${home}/plain/cache` });
  return [
    '#!/bin/bash',
    'case $1 in',
    `  config) echo '${output}' ;;`,
    `  run) exec env HOME=${home} ${asAccount(account, 'bash').join(' ')} <"$2" ;;`,
    'esac',
    '',
  ].join('\n');
}

async function play(settings: RunnerSettings, playground: Playground, account: string): Promise<void> {
  const { verdict, jobLog } = await playJob(settings, playground.job(account, SCRIPT));
  if (verdict !== 'success') throw new Error(`the job ended with ${verdict}\n${jobLog}`);
}

export async function measureWholeJob(playground: Playground, place: string, account: string, rounds: number) {
  const executable = join(place, 'plain-driver');
  writeFileSync(executable, driverText(account), { mode: 0o700 });
  const plain = { ...playground.settings, stages: driverStages({ executable, configuration: '/dev/null' }) };
  const medians = await inRounds(rounds, [
    { name: 'setpriv', run: () => play(plain, playground, account) },
    { name: 'jacamar', run: () => play(playground.settings, playground, account) },
  ]);
  return { rounds, jacamar_vs_setpriv: ratio(medians), medians_ms: medians };
}
