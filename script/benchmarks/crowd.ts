// Two hundred jobs of twenty people at once: none may fail, the keys are fetched once, and how long it takes from the
// call of a run stage to the first line of its script. Each person's jobs have a runner of their own, so that the
// stand-in for GitLab, which is here, has nothing else to do.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Playground } from '../playground.ts';
import type { Played } from './crowd-runner.ts';
import { quantile, round2 } from './numbers.ts';

const JOBS = 200;

async function playAll(playground: Playground, account: string, count: number): Promise<Played[]> {
  const jobs = Array.from({ length: count }, () => playground.job(account));
  const runner = spawn(process.execPath, [join(import.meta.dirname, 'crowd-runner.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  runner.stdin.end(JSON.stringify({ settings: playground.settings, jobs }));
  return JSON.parse(await text(runner.stdout)) as Played[];
}

export async function measureCrowd(playground: Playground, accounts: readonly string[]) {
  const fetchesBefore = playground.gitlab.counts.keys;
  const began = performance.now();
  const each = Math.ceil(JOBS / accounts.length);
  const played = (await Promise.all(accounts.map((account) => playAll(playground, account, each)))).flat();
  const starts = played.flatMap(({ start }) => start ?? []);
  const failures = played.flatMap(({ failure }) => failure ?? []);
  return {
    jobs: played.length,
    accounts: accounts.length,
    failures: failures.length,
    first_failure: failures[0],
    repeated_config_calls: played.reduce((sum, { attempts }) => sum + attempts - 1, 0),
    key_fetches: playground.gitlab.counts.keys - fetchesBefore,
    start_ms: { p50: round2(quantile(starts, 0.5)), p95: round2(quantile(starts, 0.95)) },
    all_ms: round2(performance.now() - began),
  };
}
