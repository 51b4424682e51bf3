// The processes of a job, as the administrator tutorial shows them; sites' own tools look for exactly these lines.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { treeOf } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

/** Lines of `ps` from this pid on, as many as asked for: uid and command, without the drawing. */
function forest(pid: number, count: number): string[] {
  const lines = execFileSync('ps', ['-e', '-o', 'uid,pid,cmd', '--forest'], { encoding: 'utf8' }).split('\n');
  const first = lines.findIndex((line) => line.trim().split(/\s+/)[1] === String(pid));
  return lines.slice(first, first + count).map((line) => line.trim().replace(/^(\d+)\s+\d+[\s|\\_]+/, '$1 '));
}

test('while a script runs, ps shows the four lines of the tutorial, each the child of the one before', async () => {
  const job = await world.start({ script: ['echo ready', 'exec sleep 300'] });
  await job.until('ready');
  const auth = job.calls.get('build_script') ?? 0;
  const bin = join(world.installation.prefix, 'bin');
  const scripts = join(account.home, '.jacamar-ci/scripts/TrialRunn/000/demo/hello', String(job.facts.id));
  const [first = '', ...rest] = forest(auth, 4);
  const script = `${world.at('runner')}/custom-executor\\d+/script\\d+/script`;
  assert.match(first, new RegExp(`^0 ${bin}/jacamar-auth run ${script} build_script$`));
  assert.deepEqual(rest, [
    `${account.uid} ${bin}/jacamar --no-auth run env-script build_script`,
    `${account.uid} /usr/bin/bash --login`,
    `${account.uid} bash ${scripts}/build_script.bash`,
  ]);
  const [, ...below] = (await treeOf(auth)).slice(0, 4);
  assert.deepEqual(
    below.map(({ parent }) => parent),
    (await treeOf(auth)).slice(0, 3).map(({ pid }) => pid),
  );
});

test('nothing else of ours runs beside a script', async () => {
  const job = await (await world.stages()).configured();
  const call = job.start('echo ready; sleep 300');
  await call.until('ready');
  const pid = await call.pid();
  // A command that is just being executed has no command line.
  await eventually('the last command runs', async () =>
    (await treeOf(pid)).some(({ command }) => command === 'sleep 300'),
  );
  const tree = await treeOf(pid);
  const own = tree.filter(({ command }) => !/^(bash \/|sleep 300$)/.test(command)).map(({ command }) => command);
  assert.equal(own.length, 3, own.join('\n'));
});
