// The job's output on its way to the runner: every byte, in order, no faster than it is read.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { frame } from '../../src/jacamar-admin/bash-script.ts';
import type { OutputStream } from '../../src/jacamar-admin/driver-call.ts';
import { processesOf } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { treeOf } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const job = await (await world.stages()).configured();

async function bytesOf(commands: string): Promise<Record<OutputStream, Buffer>> {
  const chunks: Record<OutputStream, Buffer[]> = { stdout: [], stderr: [] };
  const onOutput = (stream: OutputStream, chunk: Buffer) => void chunks[stream].push(chunk);
  const { outcome } = await job.run(commands, 'build_script', { onOutput });
  assert.equal(outcome.kind, 'success');
  return { stdout: Buffer.concat(chunks.stdout), stderr: Buffer.concat(chunks.stderr) };
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

test('every byte value arrives as it was written, on both streams', async () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
  const octal = [...all].map((value) => `\\${value.toString(8).padStart(3, '0')}`).join('');
  const { stdout, stderr } = await bytesOf(`printf '${octal}'; printf '${octal}' >&2`);
  assert.deepEqual(stdout, all);
  assert.deepEqual(stderr, all);
});

test('bytes that are no UTF-8 are not mended', async () => {
  const { stdout } = await bytesOf("printf '\\xff\\xfe ok \\xc3'; printf '\\x28 \\xed\\xa0\\x80'");
  assert.deepEqual(stdout, hex('fffe 206f6b20 c328 20 eda080'));
});

test('output without a newline at its end gets none', async () => {
  assert.equal((await bytesOf('printf end')).stdout.toString(), 'end');
  assert.equal((await bytesOf('true')).stdout.length, 0);
});

test('fifty megabytes arrive whole', async () => {
  const { stdout, stderr } = await bytesOf('head -c 52428800 /dev/urandom | tee >(sha256sum >&2) | cat; wait');
  assert.equal(stdout.length, 52_428_800);
  assert.ok(stderr.toString().includes(createHash('sha256').update(stdout).digest('hex')));
});

test('memory stays flat: three hundred megabytes go through', async () => {
  let length = 0;
  const child = await runUnread('head -c 314572800 /dev/zero; echo done >&2; sleep 300');
  child.stdout?.on('data', (chunk: Buffer) => (length += chunk.length));
  await eventually('all of it is here', () => length === 314_572_800, 300_000);
  const [auth, jacamar] = await treeOf(child.pid ?? 0);
  for (const process of [auth, jacamar]) assert.ok((await peakOf(process?.pid ?? 0)) < 160_000);
  child.kill('SIGTERM');
  await exitOf(child);
});

/** Largest resident set so far, in kB. */
async function peakOf(pid: number): Promise<number> {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** A run whose output the test reads itself, or does not. */
async function runUnread(commands: string): Promise<ChildProcess> {
  const script = join(await mkdtemp(join(job.attempt.directory, 'script')), 'script');
  await writeFile(script, frame(commands), { mode: 0o700 });
  const child = spawn(world.installation.program('jacamar-auth'), ['run', script, 'build_script'], {
    cwd: job.attempt.directory,
    env: job.attempt.environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  world.onClose(async () => void child.kill('SIGKILL'));
  return child;
}

const exitOf = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => void child.once('close', (code) => resolve(code)));

test('a runner that does not read stops the job from writing, not from being whole; nothing piles up in between', async () => {
  const child = await runUnread('exec head -c 83886080 /dev/zero');
  const exited = exitOf(child);
  const blocked = await eventually('the writer waits for its reader', async () => {
    const tree = await treeOf(child.pid ?? 0);
    const writer = tree.find(({ command }) => command.startsWith('head -c'));
    const wait = writer && (await readFile(`/proc/${writer.pid}/wchan`, 'utf8').catch(() => ''));
    return wait?.includes('pipe_write') && tree;
  });
  for (const { pid, command } of blocked.slice(0, 2)) {
    const peak = await peakOf(pid);
    assert.ok(peak < 160_000, `${command} has used ${peak} kB`);
  }
  let length = 0;
  for await (const chunk of child.stdout ?? []) length += (chunk as Buffer).length;
  assert.equal(length, 83_886_080);
  assert.equal(await exited, 0);
});

test('a reader that goes away ends the stage and the job, and it is no success', async () => {
  const child = await runUnread('yes');
  const exited = exitOf(child);
  await eventually('there is output', () => child.stdout?.read(1) !== null);
  child.stdout?.destroy();
  child.stderr?.destroy();
  assert.notEqual(await exited, 0);
  assert.deepEqual(await processesOf(account.uid), []);
});

test('standard output and standard error stay apart', async () => {
  const { stdout, stderr } = await bytesOf('for i in 1 2 3; do echo "out $i"; echo "err $i" >&2; done');
  assert.equal(stdout.toString(), 'out 1\nout 2\nout 3\n');
  assert.equal(stderr.toString(), 'err 1\nerr 2\nerr 3\n');
});

for (const [title, noise] of [
  ['now and then', 'while echo noise; do sleep 1; done'],
  ['without end', 'yes'],
]) {
  test(`what another process of the account writes ${title} to the output of a script does not hold the stage`, async () => {
    const call = job.start('echo "mine $BASHPID"; until [ -e ~/begun ]; do sleep 0.1; done; rm ~/begun; echo end');
    const [, script] = /^mine ([0-9]+)$/m.exec(await call.until('mine ')) ?? [];
    const { uid, gid, home } = account;
    const commands = `exec > /proc/${script}/fd/1; touch begun; ${noise}`;
    const writer = spawn('bash', ['-c', commands], { uid, gid, cwd: home, stdio: 'ignore' });
    world.onClose(async () => void writer.kill('SIGKILL'));
    const { outcome, stdout, durationMs } = await call.ended;
    assert.equal(outcome.kind, 'success');
    assert.match(stdout, /^end$/m);
    assert.ok(durationMs < 60_000, `${durationMs} ms`);
    writer.kill('SIGKILL');
  });
}

test('a script that closes its output goes on, and its exit status counts', async () => {
  const { outcome } = await job.run('exec >&- 2>&-; touch ~/closed; exit 6');
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 6);
});
