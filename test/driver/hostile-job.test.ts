// A job that turns on the programs that run it. They run as its own user, so it can stop, kill and imitate them;
// what it must not get is a stage that hangs, a success that was none, or survivors.

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { endProcessesOf, processesOf } from '../support/accounts.ts';
import { signal, treeOf } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

afterEach(async () => {
  const left = await processesOf(account.uid);
  await endProcessesOf(account.uid);
  assert.deepEqual(left, []);
});

/**
 * A daemon in a session of its own, deaf to SIGTERM, that takes jacamar's end of the channel (pidfd_getfd), perhaps
 * writes to it, kills jacamar, and keeps the channel open. Perl, because it can make any system call.
 */
const thief = `
use strict; use POSIX; my ($jacamar, $words) = @ARGV;
exit 0 if fork; POSIX::setsid(); $SIG{TERM} = $SIG{HUP} = 'IGNORE';
my $pidfd = syscall(434, $jacamar + 0, 0); my $channel = syscall(438, $pidfd, 0, 0);
exit 1 if $channel < 0;
open(my $out, '>&=', $channel) or exit 1; syswrite($out, $words) if length $words;
kill 'KILL', $jacamar; sleep 300;
`;

/** The script's parent is the login shell, whose parent is jacamar. */
const findJacamar = 'jacamar=$(ps -o ppid= -p "$PPID" | tr -d " ")';

async function playThief(words: string) {
  const path = world.at(`thief-${words.length}.pl`);
  await chmod(world.directory, 0o711);
  await writeFile(path, thief, { mode: 0o644 });
  const job = await (await world.stages({ options: { general: { kill_timeout: '1s' } } })).configured();
  const call = await job.run(`${findJacamar}\nperl ${path} "$jacamar" '${words}'\nsleep 300`);
  return { job, call };
}

test('a job that holds the channel and kills jacamar gets a system failure at once, and nothing of it lives', async () => {
  const { job, call } = await playThief('');
  assert.deepEqual(call.outcome, { kind: 'system-failure', text: 'exit status 2' }, call.stdout + call.stderr);
  assert.ok(call.durationMs < 30_000, `${call.durationMs} ms`);
  assert.equal((await job.cleanup()).outcome.kind, 'success');
});

test('a report of success that the job forged is not believed', async () => {
  const { call } = await playThief('{"outcome":"succeeded"}');
  assert.deepEqual(call.outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.ok(call.durationMs < 30_000, `${call.durationMs} ms`);
});

test('a forged failure can blame nobody but the job itself', async () => {
  const forged = { outcome: 'failed', fault: 'site', code: 'ERR_X', message: 'm', publicMessage: 'p' };
  const { job, call } = await playThief(JSON.stringify(forged));
  assert.equal(call.outcome.kind, 'system-failure');
  assert.equal((await job.cleanup()).outcome.kind, 'success');
});

test('a jacamar that its owner has stopped is killed after kill_timeout, with the job', async () => {
  const job = await (await world.stages({ options: { general: { kill_timeout: '1s' } } })).configured();
  const call = job.start('echo ready; sleep 300');
  await call.until('ready\n');
  const [, jacamar] = await treeOf(await call.pid());
  signal(jacamar?.pid, 'SIGSTOP');
  call.stop();
  const { outcome, durationMs } = await call.ended;
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.ok(durationMs < 30_000, `${durationMs} ms`);
});
