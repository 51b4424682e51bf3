// general.keep_processes: what a script leaves running stays, is named, and still cannot hold the stage.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { endProcessesOf, processesOf } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const options = { general: { keep_processes: true, kill_timeout: '1s' } };
const job = await (await world.stages({ options })).configured();

afterEach(() => endProcessesOf(account.uid));

test('a daemon lives on after its stage and is named in the job log', async () => {
  const { outcome, stdout, stderr, durationMs } = await job.run('setsid sleep 300 & echo "daemon $!"; disown');
  assert.equal(outcome.kind, 'success', stderr);
  const pid = Number(/^daemon (\d+)$/m.exec(stdout)?.[1]);
  assert.match(stderr, new RegExp(`^Left 1 process\\(es\\) running: \\w+ \\(${pid}\\)\\n$`));
  assert.ok(durationMs < 20_000, `${durationMs} ms`);
  assert.deepEqual(await processesOf(account.uid), [pid]);
});

test('one that keeps writing neither holds the stage nor reaches the runner any more', async () => {
  const loop =
    'trap "" PIPE; while echo tick; do echo > ~/ticked; sleep 0.01; done; echo refused > ~/refused; exec sleep 300';
  const { outcome, stdout, durationMs } = await job.run(
    `setsid bash -c '${loop}' & echo main; until [ -e ~/ticked ]; do sleep 0.01; done; exit 3`,
  );
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 3);
  assert.match(stdout, /^main$/m);
  assert.match(stdout, /^tick$/m);
  assert.ok(durationMs < 20_000, `${durationMs} ms`);
  const refused = () => readFile(join(account.home, 'refused'), 'utf8').catch(() => '');
  await eventually('its output is refused', async () => (await refused()) === 'refused\n');
});

test('all that was written before the script ended is in the job log', async () => {
  const { stdout } = await job.run('head -c 3000000 /dev/zero | tr "\\0" x; setsid sleep 300 & echo; echo end');
  assert.equal(stdout, `${'x'.repeat(3_000_000)}\nend\n`);
});

test('the next stage and cleanup leave it alone', async () => {
  await job.run('setsid sleep 300 &');
  const [pid] = await processesOf(account.uid);
  assert.equal((await job.run('true', 'after_script')).stderr, '');
  assert.deepEqual(await processesOf(account.uid), [pid]);
  const other = await (await world.stages({ options })).configured();
  await other.run('setsid sleep 300 &');
  assert.equal((await other.cleanup()).outcome.kind, 'success');
  assert.equal((await processesOf(account.uid)).length, 2);
});

test('a stage that is stopped ends everything all the same', async () => {
  const call = job.start('setsid bash -c "trap : TERM; while :; do sleep 0.1; done" & echo ready; sleep 300');
  await call.until('ready');
  call.stop();
  assert.equal((await call.ended).outcome.kind, 'system-failure');
  assert.deepEqual(await processesOf(account.uid), []);
});

test('a script that leaves nothing hears nothing of it', async () => {
  assert.equal((await job.run('true')).stderr, '');
});
