// Output on its way from the job to the runner's pipe: how long a gigabyte takes, against the same through cat, and
// how long a single line.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Playground } from '../playground.ts';
import { inRounds, median, quantile, round2 } from './numbers.ts';
import { asAccount } from './starts.ts';

const MEGABYTES = 1000;
const FLOOD = `head -c ${MEGABYTES}M /dev/zero\n`;
const LINES = 200;
/** Each line is the time at which it was written, in seconds. */
const CLOCK = `for ((i = 0; i < ${LINES}; i++)); do echo "$EPOCHREALTIME"; sleep 0.01; done\n`;

type Listener = (chunk: Buffer) => void;

/** Not the runner's stand-in, which keeps all it reads. */
async function hear([file = '', ...args]: readonly string[], listen: Listener, env?: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], ...(env === undefined ? {} : { env }) });
  child.stdout.on('data', listen);
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`${file} ended with ${status}`);
}

/** A reader that reads as fast as it can and keeps nothing. */
function counting(): { listen: Listener; readonly bytes: number } {
  const counter = {
    bytes: 0,
    listen(chunk: Buffer) {
      counter.bytes += chunk.length;
    },
  };
  return counter;
}

/** Delays in milliseconds. */
function clockReader(): { listen: Listener; readonly delays: number[] } {
  const delays: number[] = [];
  const listen = (chunk: Buffer) => {
    const now = performance.timeOrigin + performance.now();
    for (const [line] of chunk.toString('latin1').matchAll(/^\d+\.\d{6}$/gm)) delays.push(now - Number(line) * 1000);
  };
  return { listen, delays };
}

export async function measureRelay(playground: Playground, account: string, rounds: number) {
  const attempt = await playground.configured(account);
  const relay = (script: string, listen: Listener) => {
    const file = join(attempt.directory, 'script');
    writeFileSync(file, script, { mode: 0o700 });
    return hear([playground.executable, 'run', file, 'step_script'], listen, attempt.environment());
  };
  const cat = (script: string, listen: Listener) =>
    hear(asAccount(account, 'bash', '-c', `{ ${script.trimEnd()}; } | cat`), listen);
  const whole = async (send: (script: string, listen: Listener) => Promise<void>) => {
    const counter = counting();
    await send(FLOOD, counter.listen);
    if (counter.bytes < MEGABYTES * 2 ** 20) throw new Error(`only ${counter.bytes} bytes arrived`);
  };
  const medians = await inRounds(rounds, [
    { name: 'cat', run: () => whole(cat) },
    { name: 'relay', run: () => whole(relay) },
  ]);
  const lines = { cat: clockReader(), relay: clockReader() };
  await cat(CLOCK, lines.cat.listen);
  await relay(CLOCK, lines.relay.listen);
  return {
    rounds,
    megabytes: MEGABYTES,
    relay_vs_cat: round2((medians['relay'] ?? 0) / (medians['cat'] ?? 1)),
    medians_ms: medians,
    line_ms: {
      cat: { p50: round2(median(lines.cat.delays)), p95: round2(quantile(lines.cat.delays, 0.95)) },
      relay: { p50: round2(median(lines.relay.delays)), p95: round2(quantile(lines.relay.delays, 0.95)) },
    },
  };
}
