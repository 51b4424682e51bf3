// One run stage with a script that does nothing, against the change of account alone and a bare start of Node; and
// twelve stages, as a job has them, one after the other.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Playground } from '../playground.ts';
import { wellDone } from '../playground.ts';
import { inRounds, type Measured, round2 } from './numbers.ts';

const PLAIN = { PATH: process.env['PATH'], LANG: 'C.UTF-8' };

/** Runs a program from `/` with nothing on its streams. */
function start([file = '', ...args]: readonly string[], env: NodeJS.ProcessEnv = PLAIN, input = ''): void {
  const { status, error } = spawnSync(file, args, { env, cwd: '/', input, stdio: ['pipe', 'ignore', 'ignore'] });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? String(error)}`);
}

export function asAccount(account: string, ...command: readonly string[]): string[] {
  return ['setpriv', '--reuid', account, '--regid', account, '--init-groups', ...command];
}

/** What jacamar starts: a login shell that is told on its input to run a script, and ends. */
function loginShell(account: string, script: string): Measured {
  const env = { HOME: `/home/${account}`, USER: account, PATH: '/usr/local/bin:/usr/bin:/bin' };
  const commands = `command bash '${script}' </dev/null\nexit\n`;
  return { name: 'login_shell', run: () => start(asAccount(account, 'bash', '--login'), env, commands) };
}

export async function measureStarts(playground: Playground, place: string, account: string, rounds: number) {
  const script = join(place, 'script.bash');
  writeFileSync(script, 'exit 0\n', { mode: 0o755 });
  const empty = join(place, 'empty.cjs');
  writeFileSync(empty, '');
  const attempt = await playground.configured(account);
  const own = join(attempt.directory, 'script');
  writeFileSync(own, 'exit 0\n', { mode: 0o700 });
  const medians = await inRounds(rounds, [
    { name: 'setpriv', run: () => start(asAccount(account, 'bash', script)) },
    loginShell(account, script),
    { name: 'node', run: () => start([process.execPath, empty]) },
    { name: 'run_stage', run: () => start([playground.executable, 'run', own, 'build_script'], attempt.environment()) },
  ]);
  const { setpriv = 1, login_shell: shell = 1, node = 1, run_stage: stage = 1 } = medians;
  return {
    rounds,
    run_stage_vs_setpriv: round2(stage / setpriv),
    run_stage_vs_node: round2(stage / node),
    login_shell_vs_node: round2(shell / node),
    medians_ms: medians,
  };
}

/** Those of a job with a script and an after_script; config and prepare come before, cleanup after them. */
const RUN_STAGES = [
  'prepare_script',
  'get_sources',
  'restore_cache',
  'download_artifacts',
  'step_script',
  'after_script',
  'archive_cache',
  'upload_artifacts_on_success',
  'cleanup_file_variables',
];

export async function measureSequence(playground: Playground, place: string, account: string, rounds: number) {
  const script = join(place, 'script.bash');
  writeFileSync(script, 'exit 0\n', { mode: 0o755 });
  const setpriv = () => {
    for (let count = 0; count < RUN_STAGES.length + 3; count++) start(asAccount(account, 'bash', script));
  };
  const jacamar = async () => {
    const attempt = await playground.configured(account);
    wellDone(await attempt.call('prepare'));
    for (const name of RUN_STAGES) wellDone(await attempt.runStage(name, { script: 'exit 0\n' }));
    wellDone(await attempt.call('cleanup'));
    await attempt.close();
  };
  const medians = await inRounds(rounds, [
    { name: 'setpriv', run: setpriv },
    { name: 'jacamar', run: jacamar },
  ]);
  return { rounds, jacamar_vs_setpriv: ratio(medians), medians_ms: medians };
}

export function ratio({ jacamar = 1, setpriv = 1 }: Record<string, number>): number {
  return round2(jacamar / setpriv);
}
