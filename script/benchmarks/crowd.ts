// Two hundred jobs of twenty people at once: nothing may fail, the keys are fetched once, and how long it takes from the
// call of a run stage to the first line of its script.

import type { Playground } from '../playground.ts';
import { wellDone } from '../playground.ts';
import { quantile, round2 } from './numbers.ts';

const JOBS = 200;

/** Milliseconds from the call to the first output of the script. */
async function play(playground: Playground, account: string): Promise<number> {
  const attempt = await playground.configured(account);
  wellDone(await attempt.call('prepare'));
  const called = performance.now();
  let begun = Number.NaN;
  const onOutput = () => {
    begun = Number.isNaN(begun) ? performance.now() : begun;
  };
  wellDone(await attempt.runStage('step_script', { script: 'echo here\nsleep 1\n', onOutput }));
  wellDone(await attempt.call('cleanup'));
  await attempt.close();
  return begun - called;
}

export async function measureCrowd(playground: Playground, accounts: readonly string[]) {
  const fetchesBefore = playground.gitlab.counts.keys;
  const started = performance.now();
  const jobs = Array.from({ length: JOBS }, (_, at) => play(playground, accounts[at % accounts.length] ?? ''));
  const results = await Promise.allSettled(jobs);
  const starts = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
  return {
    jobs: JOBS,
    accounts: accounts.length,
    failures: failures.length,
    first_failure: failures[0],
    key_fetches: playground.gitlab.counts.keys - fetchesBefore,
    start_ms: { p50: round2(quantile(starts, 0.5)), p95: round2(quantile(starts, 0.95)) },
    all_ms: round2(performance.now() - started),
  };
}
