// What a script leaves running: it can neither hold the stage nor outlive it, and the user learns what was ended.

import assert from 'node:assert/strict';
import { chmod, copyFile } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { processesOf } from '../support/accounts.ts';
import { allProcesses } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const job = await (await world.stages()).configured();

afterEach(async () => assert.deepEqual(await processesOf(account.uid), []));

/** Until then the child bears the name of what is about to start it. */
const untilSleeping = 'until pgrep -u "$(id -u)" -x sleep >/dev/null; do :; done';

test('a daemon that holds standard output does not hold the stage; it is ended and named in the job log', async () => {
  const { outcome, stdout, stderr, durationMs } = await job.run(
    `setsid sleep 300 & echo "daemon $!"; disown; ${untilSleeping}`,
  );
  assert.equal(outcome.kind, 'success', stderr);
  const [, pid] = /^daemon (\d+)$/m.exec(stdout) ?? [];
  assert.equal(stderr, `Ended 1 process(es) that the script left running: sleep (${pid})\n`);
  assert.ok(durationMs < 20_000, `${durationMs} ms`);
});

test('a daemon that ignores SIGTERM is killed', async () => {
  const { outcome, stderr, durationMs } = await job.run(
    '(setsid bash -c "trap : TERM HUP; echo up > ~/up; while :; do sleep 0.1; done" & ); until [ -e ~/up ]; do sleep 0.02; done',
  );
  assert.equal(outcome.kind, 'success', stderr);
  assert.match(stderr, /^Ended [12] process\(es\) that the script left running: .*\bbash \(\d+\)/m);
  assert.ok(durationMs < 20_000, `${durationMs} ms`);
});

test('leftovers do not change the exit status of a script', async () => {
  const { outcome, stderr } = await job.run(`sleep 300 & ${untilSleeping}; exit 5`);
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 5);
  assert.match(stderr, /^Ended 1 process\(es\) .*: sleep \(\d+\)\n$/);
});

test('what a daemon wrote before it was ended is in the job log', async () => {
  const { stdout } = await job.run(
    '(setsid sh -c "echo from the daemon; exec sleep 300" & ); until pgrep -u "$(id -u)" -x sleep >/dev/null; do sleep 0.02; done',
  );
  assert.match(stdout, /^from the daemon$/m);
});

test('a script that leaves nothing hears nothing of it', async () => {
  const { stdout, stderr } = await job.run('sleep 0.01 & wait; true | true; echo "$(true)done"');
  assert.equal(stdout, 'done\n');
  assert.equal(stderr, '');
});

test('an agent that the profile starts for each shell goes with the stage', async () => {
  await world.writeHome('.bash_profile', 'setsid sleep 300 &\ndisown\n');
  const { outcome, stdout } = await job.run('echo done');
  assert.equal(outcome.kind, 'success');
  assert.equal(stdout, 'done\n');
});

/** Of this run alone, since it is looked for among the processes of root. */
const OF_ROOT = `sleep 30789.${process.pid}`;

test('a process that became root, which the account may not signal, is ended by jacamar-auth', async () => {
  const program = world.at('become-root');
  await copyFile('/usr/bin/setpriv', program);
  await chmod(program, 0o4755);
  await chmod(world.directory, 0o711);
  const { outcome, stderr } = await job.run(
    `setsid ${program} --reuid 0 --regid 0 --clear-groups ${OF_ROOT} & until pgrep -u 0 -f "^${OF_ROOT}" >/dev/null; do sleep 0.02; done`,
  );
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(stderr, /^these processes of the job could not be ended: sleep \(\d+\)/m);
  assert.deepEqual(
    (await allProcesses()).filter(({ command }) => command === OF_ROOT),
    [],
  );
});
