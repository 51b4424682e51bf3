import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CallEnd, callDriver, judge } from '../../src/jacamar-admin/driver-call.ts';

function callBash(script: string, parts: Partial<Parameters<typeof callDriver>[0]> = {}) {
  return callDriver({
    executable: '/bin/bash',
    args: ['-c', script],
    directory: tmpdir(),
    environment: { PATH: '/usr/bin:/bin' },
    stop: new AbortController().signal,
    gracefulKillMs: 5000,
    forceKillMs: 5000,
    ...parts,
  });
}

function ended(end: CallEnd['end']): CallEnd {
  return { end, pid: 42, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), durationMs: 1 };
}

const build = (exitCode: number) => ({ kind: 'build-failure', exitCode, text: `exit status ${exitCode}` });
const system = (text: string) => ({ kind: 'system-failure', text });
const unknown = (code: number, text: string) =>
  system(`unknown Custom executor executable exit code ${code}; executable execution terminated with: ${text}`);

const judgements: [string, CallEnd['end'], string | undefined, object][] = [
  ['0 is success whatever the file says', { kind: 'exited', code: 0 }, '5\n', { kind: 'success' }],
  ['1 without a file is exit code 1', { kind: 'exited', code: 1 }, undefined, build(1)],
  ['1 with an integer in the first line is that code', { kind: 'exited', code: 1 }, '7\nmore\n', build(7)],
  ['1 with an integer and no newline is that code', { kind: 'exited', code: 1 }, '7', build(7)],
  ['0 in the file is still a failure', { kind: 'exited', code: 1 }, '0\n', build(0)],
  ['1 with an empty file is unknown', { kind: 'exited', code: 1 }, '', unknown(2, 'exit status 1')],
  ['1 with blanks around the number is unknown', { kind: 'exited', code: 1 }, ' 7\n', unknown(2, 'exit status 1')],
  ['2 is a system failure', { kind: 'exited', code: 2 }, '5\n', system('exit status 2')],
  ['any other status is unknown', { kind: 'exited', code: 137 }, undefined, unknown(137, 'exit status 137')],
  ['death by a signal is unknown', { kind: 'signalled', signal: 'SIGKILL' }, undefined, unknown(-1, 'signal: killed')],
  [
    'a process that would not die is named',
    { kind: 'dormant' },
    undefined,
    system('failed to kill process PID=42, likely process is dormant'),
  ],
];

for (const [title, end, file, expected] of judgements) {
  test(`judging a driver call: ${title}`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'jacamar-judge-'));
    const path = join(directory, 'build_exit_code');
    if (file !== undefined) await writeFile(path, file);
    assert.deepEqual(await judge(ended(end), path), expected);
    await rm(directory, { recursive: true });
  });
}

test('output of both streams is kept apart and byte for byte', async () => {
  const { stdout, stderr, end } = await callBash("printf 'a\\xffb'; printf 'c' >&2; exit 4");
  assert.deepEqual(stdout, Buffer.from([0x61, 0xff, 0x62]));
  assert.equal(stderr.toString(), 'c');
  assert.deepEqual(end, { kind: 'exited', code: 4 });
});

test('the driver leads its own process group and has nothing on standard input', async () => {
  const { stdout, pid } = await callBash('read -r line; echo "$? $$ $(ps -o pgid= -p $$ | tr -d " ")"');
  assert.equal(stdout.toString(), `1 ${pid} ${pid}\n`);
});

test('a missing executable is an end with the words of the runner', async () => {
  const end = await callBash('', { executable: '/nonexistent/driver' });
  const text = 'failed to start command: fork/exec /nonexistent/driver: no such file or directory';
  assert.deepEqual(await judge(end, '/nonexistent'), system(text));
});

test('a variable that is too long for the kernel is an end with the words of the runner', async () => {
  const end = await callBash('', { environment: { BIG: 'x'.repeat(131_072) } });
  assert.deepEqual(
    await judge(end, '/nonexistent'),
    system('failed to start command: fork/exec /bin/bash: argument list too long'),
  );
});

test('stopping terminates the whole group', async () => {
  const stop = new AbortController();
  const { end } = await callBash('echo go; sleep 60', { stop: stop.signal, onOutput: () => stop.abort() });
  assert.deepEqual(end, { kind: 'signalled', signal: 'SIGTERM' });
});

test('a driver that ends with 0 after a stop counts as successful, as the runner counts it', async () => {
  const stop = new AbortController();
  const script = "trap 'exit 0' TERM; sleep 60 & echo go; wait";
  const end = await callBash(script, { stop: stop.signal, onOutput: () => stop.abort() });
  assert.deepEqual(await judge(end, '/nonexistent'), { kind: 'success' });
});

test('what ignores SIGTERM is killed after the graceful time', async () => {
  const stop = new AbortController();
  const script = "trap '' TERM; echo go; while :; do sleep 1; done";
  const { end } = await callBash(script, { stop: stop.signal, gracefulKillMs: 100, onOutput: () => stop.abort() });
  assert.deepEqual(end, { kind: 'signalled', signal: 'SIGKILL' });
});

test('a call stays open while a process of another session holds its output', async () => {
  const script = 'setsid sleep 1 & echo go';
  const { durationMs, end } = await callBash(script);
  assert.deepEqual(end, { kind: 'exited', code: 0 });
  assert.ok(durationMs >= 900);
});

test('the runner gives up on output that is held after the kill, and names the process', async () => {
  const stop = new AbortController();
  const script = "setsid bash -c 'echo $$; exec sleep 60' & wait";
  const pids: number[] = [];
  const end = await callBash(script, {
    stop: stop.signal,
    gracefulKillMs: 100,
    forceKillMs: 100,
    onOutput: (_stream, chunk) => {
      pids.push(Number(chunk.toString()));
      stop.abort();
    },
  });
  assert.deepEqual(end.end, { kind: 'dormant' });
  for (const pid of pids) process.kill(pid);
});
