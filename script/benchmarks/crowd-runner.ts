// One of many runners on a host (crowd.ts): plays its jobs all at once, as the runner does up to the first script.
// Settings and jobs come in as JSON on standard input, what became of them goes out in the same way.

import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { ExecutorAttempt } from '../../src/jacamar-admin/attempt.ts';
import type { JobResponse } from '../../src/jacamar-admin/job.ts';
import type { RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import { adoptConfig, wellDone } from '../playground.ts';

export interface Played {
  /** Milliseconds from the call of the run stage to the first output of its script; absent: the job failed. */
  readonly start?: number;
  /** How often config was called. */
  readonly attempts: number;
  readonly failure?: string;
}

/** As often as the runner tries, and after its pause. */
const ATTEMPTS = 3;
const SCRIPT = 'echo here\nsleep 1\n';

async function play(settings: RunnerSettings, job: JobResponse): Promise<Played> {
  let attempts = 0;
  try {
    const attempt = await ExecutorAttempt.open(settings, job);
    for (let done = false; !done; ) {
      attempts += 1;
      const config = await attempt.call('config');
      done = config.outcome.kind === 'success' || attempts === ATTEMPTS;
      if (done) adoptConfig(attempt, config);
      else await delay(settings.retryPauseMs);
    }
    wellDone(await attempt.call('prepare'));
    const start = await timeRunStage(attempt);
    wellDone(await attempt.call('cleanup'));
    await attempt.close();
    return { start, attempts };
  } catch (error) {
    return { attempts, failure: String(error) };
  }
}

async function timeRunStage(attempt: ExecutorAttempt): Promise<number> {
  const called = performance.now();
  let begun: number | undefined;
  const onOutput = () => {
    begun ??= performance.now();
  };
  wellDone(await attempt.runStage('step_script', { script: SCRIPT, onOutput }));
  return (begun ?? Number.NaN) - called;
}

const { settings, jobs } = JSON.parse(await text(process.stdin)) as { settings: RunnerSettings; jobs: JobResponse[] };
const played = await Promise.all(jobs.map((job) => play(settings, job)));
process.stdout.write(JSON.stringify(played));
