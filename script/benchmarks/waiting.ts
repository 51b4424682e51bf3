// What jobs cost that wait: memory of jacamar-auth and jacamar while the script sleeps, for 1, 10 and 100 jobs at once.
// "Private" is what a process has for itself, "proportional" counts shared pages by the number of their users.

import { readdirSync, readFileSync } from 'node:fs';
import type { ExecutorAttempt } from '../../src/jacamar-admin/attempt.ts';
import type { Playground } from '../playground.ts';
import { median, round2 } from './numbers.ts';

const SLEEP = 'echo waiting\nexec sleep 3600\n';
const PROGRAMS = ['jacamar-auth', 'jacamar'] as const;

interface Waiting {
  readonly attempt: ExecutorAttempt;
  /** Resolves when the script runs. */
  readonly begun: Promise<void>;
  end(): Promise<void>;
}

async function startWaiting(playground: Playground, account: string): Promise<Waiting> {
  const attempt = await playground.configured(account);
  const stop = new AbortController();
  const begun = Promise.withResolvers<void>();
  const stage = attempt.runStage('step_script', { script: SLEEP, stop: stop.signal, onOutput: () => begun.resolve() });
  const end = async () => {
    stop.abort();
    await stage;
    await attempt.call('cleanup');
    await attempt.close();
  };
  return { attempt, begun: begun.promise, end };
}

/** In MiB, of every process of that program below the installation. */
function memoryOf(program: string, prefix: string): { private: number; proportional: number }[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const [file] = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      if (file !== `${prefix}/bin/${program}`) return [];
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      const sum = (names: RegExp) => [...text.matchAll(names)].reduce((all, [, kib]) => all + Number(kib), 0) / 1024;
      return [{ private: sum(/^Private_\w+: +(\d+)/gm), proportional: sum(/^Pss: +(\d+)/gm) }];
    } catch {
      return []; // no process, or gone
    }
  });
}

async function measure(playground: Playground, prefix: string, accounts: readonly string[], count: number) {
  const jobs: Waiting[] = [];
  for (let at = 0; at < count; at++) jobs.push(await startWaiting(playground, accounts[at % accounts.length] ?? ''));
  await Promise.all(jobs.map(({ begun }) => begun));
  const found = PROGRAMS.map((program) => [program, memoryOf(program, prefix)] as const);
  for (const { end } of jobs) await end();
  return Object.fromEntries(
    found.map(([program, all]) => [
      program,
      {
        processes: all.length,
        private_mib: round2(median(all.map((one) => one.private))),
        proportional_mib: round2(median(all.map((one) => one.proportional))),
      },
    ]),
  );
}

export async function measureWaiting(playground: Playground, prefix: string, accounts: readonly string[]) {
  const result: Record<string, unknown> = {};
  for (const count of [1, 10, 100]) result[`${count}_jobs`] = await measure(playground, prefix, accounts, count);
  return result;
}
