// The measurements of script/bench. Every round runs each command once, in turn, so that a machine that is busy
// for a while is busy for all of them; what counts are medians and the ratios of medians.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ExecutorAttempt } from '../src/jacamar-admin/attempt.ts';
import { parseConfigOutput } from '../src/jacamar-admin/config-output.ts';
import { startGitLab } from '../src/jacamar-admin/gitlab.ts';
import { jobFacts, jobResponse } from '../src/jacamar-admin/job.ts';
import { driverStages, runnerSettings } from '../src/jacamar-admin/runner-settings.ts';

const { values } = parseArgs({
  options: {
    place: { type: 'string', default: '' },
    account: { type: 'string', default: '' },
    rounds: { type: 'string', default: '40' },
    json: { type: 'string' },
  },
});

/** A command to measure: started with this environment, from `/`. */
interface Measured {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

const PLAIN = { PATH: process.env['PATH'], LANG: 'C.UTF-8' };

function measure({ argv: [file = '', ...args], env }: Measured): number {
  const started = process.hrtime.bigint();
  const { status, error } = spawnSync(file, args, { env, cwd: '/', stdio: 'ignore' });
  const elapsed = Number(process.hrtime.bigint() - started) / 1e6;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? String(error)}`);
  return elapsed;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** A job whose config and prepare stages went well, so that its run stage can be repeated. */
async function openJob(place: string, account: string) {
  const gitlab = await startGitLab();
  const configuration = join(place, 'custom.toml');
  const text = [
    '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\nlimit_build_dir = true',
    `[auth]\ndownscope = "setuid"\nstate_dir = "${place}/state"`,
    `[auth.logging]\nlocation = "${place}/log"\nlevel = "info"\n`,
  ].join('\n');
  writeFileSync(configuration, text, { mode: 0o600 });
  mkdirSync(join(place, 'runner'), { mode: 0o700 });
  const executable = join(place, 'jacamar/bin/jacamar-auth');
  const stages = driverStages({ executable, configuration });
  const settings = runnerSettings({ stages, temporaryRoot: join(place, 'runner') });
  const facts = jobFacts({ serverUrl: gitlab.url, login: account });
  gitlab.addJob(facts);
  const idTokens = { CI_JOB_JWT: gitlab.tokenFor(facts, { aud: gitlab.url }) };
  const attempt = await ExecutorAttempt.open(settings, jobResponse(facts, { script: ['true'], idTokens }));
  const config = await attempt.call('config');
  const parsed = parseConfigOutput(config.stdout);
  if (parsed.kind !== 'parsed') throw new Error(`config failed: ${config.stderr}`);
  attempt.adopt(parsed.result);
  return { attempt, executable, close: () => gitlab.close() };
}

async function commands(place: string, account: string): Promise<{ list: Measured[]; close: () => Promise<unknown> }> {
  const { attempt, executable, close } = await openJob(place, account);
  const script = join(place, 'script.bash');
  writeFileSync(script, 'exit 0\n', { mode: 0o755 });
  const ownScript = join(attempt.directory, 'script');
  writeFileSync(ownScript, 'exit 0\n', { mode: 0o700 });
  const empty = join(place, 'empty.cjs');
  writeFileSync(empty, '');
  const list = [
    {
      name: 'setpriv',
      argv: ['setpriv', '--reuid', account, '--regid', account, '--init-groups', 'bash', script],
      env: PLAIN,
    },
    { name: 'node', argv: [process.execPath, empty], env: PLAIN },
    { name: 'run_stage', argv: [executable, 'run', ownScript, 'build_script'], env: attempt.environment() },
  ];
  return { list, close };
}

async function main(): Promise<void> {
  const rounds = Number(values.rounds);
  const { list, close } = await commands(values.place, values.account);
  const times = new Map(list.map(({ name }) => [name, [] as number[]]));
  for (let round = -2; round < rounds; round++) {
    for (const command of list) {
      const elapsed = measure(command);
      if (round >= 0) times.get(command.name)?.push(elapsed);
    }
  }
  await close();
  const medians = Object.fromEntries([...times].map(([name, all]) => [name, median(all)]));
  const { setpriv = 1, node = 1, run_stage: stage = 1 } = medians;
  const result = {
    rounds,
    run_stage_vs_setpriv: round2(stage / setpriv),
    run_stage_vs_node: round2(stage / node),
    medians_ms: Object.fromEntries(Object.entries(medians).map(([name, value]) => [name, round2(value)])),
  };
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, undefined, 2)}\n`);
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

await main();
