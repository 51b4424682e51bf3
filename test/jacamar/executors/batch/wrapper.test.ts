// The wrapper, run by a real bash as a scheduler would.

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type ExitMarker, readExitMarker, wrapperText } from '../../../../src/jacamar/executors/batch/wrapper.ts';
import { markBeginning, OUTLIVES_SIGNALS } from '../../../../src/jacamar/login-shell.ts';
import { eventually } from '../../../support/eventually.ts';
import { treeOf } from '../../../support/processes.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

const NONCE = '0123456789abcdef';

interface Batch {
  readonly directory: string;
  readonly wrapper: string;
  output(): string;
  marker(name: string): string;
  exit(): ExitMarker | undefined;
}

/** A wrapper around a script, in a directory of its own, with a home that has this profile. */
function batch(
  context: TestContext,
  script: string,
  { profile = '', ...more }: Partial<Parameters<typeof wrapperText>[0]> & { profile?: string } = {},
): Batch {
  const directory = scratchDirectory(context);
  writeFileSync(join(directory, '.bash_profile'), profile);
  const path = join(directory, 'script.bash');
  writeFileSync(path, markBeginning(Buffer.from(script), OUTLIVES_SIGNALS));
  const output = join(directory, 'output');
  const parts = {
    ...{ script: path, directory, nonce: NONCE, bash: '/bin/bash', options: ['--login'], preamble: '', unset: [] },
    environment: { HOME: directory },
    output,
    ...more,
  };
  const wrapper = join(directory, 'wrapper');
  writeFileSync(wrapper, wrapperText(parts), { mode: 0o700 });
  const marker = (name: string) => readFileSync(join(directory, name), 'utf8');
  return {
    directory,
    wrapper,
    output: () => readFileSync(output, 'utf8'),
    marker,
    exit: () => (existsSync(join(directory, 'exit')) ? readExitMarker(marker('exit'), NONCE) : undefined),
  };
}

/** In a process group of its own, as a batch step runs. */
function start({ wrapper }: Batch, path = '/usr/bin:/bin'): ChildProcess {
  return spawn(wrapper, [], {
    cwd: '/',
    detached: true,
    stdio: 'ignore',
    env: { PATH: path, STALE: 'yes', LANG: 'de_DE.UTF-8' },
  });
}

async function run(job: Batch, path?: string): Promise<number | null> {
  const [code] = await once(start(job, path), 'exit');
  return code;
}

for (const code of [0, 1, 7, 137, 255]) {
  it(`tells exit code ${code} of the script in a marker, and to the scheduler`, async (t) => {
    const job = batch(t, `echo hello; exit ${code}`);
    assert.equal(await run(job), code);
    assert.equal(job.exit()?.progress.scriptCode, code);
    assert.equal(job.output(), 'hello\n');
  });
}

it('needs no temporary file: the temporary directory of a node may be full', async (t) => {
  assert.doesNotMatch(readFileSync(batch(t, 'true').wrapper, 'utf8'), /<<[^<]/);
});

it('keeps both streams in their order, also for a scheduler that carries them apart', async (t) => {
  const job = batch(t, 'for n in 1 2 3; do echo "out $n"; echo "err $n" >&2; done', { output: undefined });
  const { stdout, stderr } = await promisify(execFile)(job.wrapper, { cwd: '/' });
  assert.deepEqual([stdout, stderr], ['out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n', '']);
});

it('leaves $0 and BASH_SOURCE of the script as they are', async (t) => {
  const job = batch(t, `echo "$0 \${BASH_SOURCE[0]}"`);
  await run(job);
  const path = join(job.directory, 'script.bash');
  assert.equal(job.output(), `${path} ${path}\n`);
});

it('gives the size of the output, the times and no success for another job’s nonce', async (t) => {
  const job = batch(t, 'echo 12345');
  await run(job);
  assert.equal(job.exit()?.outputSize, 6);
  assert.equal(typeof job.exit()?.usage.cpuSeconds, 'number');
  assert.equal(readExitMarker(job.marker('exit'), 'fedcba9876543210'), undefined);
});

it('gives the size of the output whatever language the node speaks', async (t) => {
  const job = batch(t, 'echo 12345; echo "<${LC_ALL-none}>"');
  // Not every machine has another language to speak.
  const translated = '#!/bin/sh\n[ "$LC_ALL" = C ] || { echo "reguläre Datei 99"; exit; }\nexec /usr/bin/stat "$@"\n';
  writeFileSync(join(job.directory, 'stat'), translated, { mode: 0o755 });
  await run(job, `${job.directory}:/usr/bin:/bin`);
  assert.equal(job.exit()?.outputSize, 13);
  assert.equal(job.output(), '12345\n<none>\n');
});

it('says on which host it began, in files that nobody else can read', async (t) => {
  const job = batch(t, ':');
  await run(job);
  assert.match(job.marker('started'), /^0123456789abcdef\n\S+\n$/);
  for (const name of ['started', 'exit', 'marks'])
    assert.equal(statSync(join(job.directory, name)).mode & 0o777, 0o600, name);
});

it('writes the output itself unless it goes to that file already', async (t) => {
  const job = batch(t, 'echo to a file; echo and an error >&2');
  const path = join(job.directory, 'output');
  const child = spawn('bash', ['-c', `"$0" >>${path} 2>&1`, job.wrapper], { stdio: 'ignore' });
  await once(child, 'exit');
  assert.equal(job.output(), 'to a file\nand an error\n');
});

it('does not run the script a second time', async (t) => {
  const job = batch(t, `echo run >> "$HOME/count"`);
  await run(job);
  assert.equal(await run(job), 1);
  assert.equal(readFileSync(join(job.directory, 'count'), 'utf8'), 'run\n');
  assert.match(job.marker('again'), new RegExp(`^${NONCE}\n`));
});

it('tells a profile that ends the shell from a script that ran', async (t) => {
  const job = batch(t, 'echo never', { profile: 'exit 0' });
  assert.equal(await run(job), 1);
  assert.equal(job.exit()?.progress.isStarted, false);
  assert.equal(job.exit()?.shellCode, 0);
  assert.equal(job.output(), '');
});

it('removes variables of the submission, and sets those of the login shell', async (t) => {
  const given = { unset: ['STALE'], environment: { HOME: '/tmp', WITH: `a 'quote' and\nline` } };
  const job = batch(t, `echo "\${STALE-none}|$WITH|$PWD|$(umask)"`, given);
  await run(job);
  assert.equal(job.output(), `none|a 'quote' and\nline|/tmp|0022\n`);
});

it('gives a script that handles SIGTERM the time that the scheduler gives', async (t) => {
  const job = batch(t, `( trap 'echo tidied; exit 9' TERM; sleep 60 & echo ready; wait ) || exit $?`);
  const child = start(job);
  await eventually('the script waits', () => existsSync(join(job.directory, 'output')) && job.output() === 'ready\n');
  process.kill(-(child.pid ?? 0), 'SIGTERM');
  await once(child, 'exit');
  assert.equal(job.output(), 'ready\ntidied\n');
  assert.equal(job.exit()?.progress.scriptCode, 9);
});

it('tells a signal to the whole job from one to the script', async (t) => {
  for (const isWhole of [true, false]) {
    const job = batch(t, 'echo ready; sleep 60');
    const child = start(job);
    await eventually('the script waits', () => existsSync(join(job.directory, 'output')) && job.output() === 'ready\n');
    const script = (await treeOf(child.pid ?? 0)).slice(1).map(({ pid }) => pid);
    for (const pid of isWhole ? [-(child.pid ?? 0)] : script) process.kill(pid, 'SIGTERM');
    await once(child, 'exit');
    assert.equal(job.exit()?.progress.scriptCode, 143);
    assert.equal(job.exit()?.signal, isWhole ? 15 : undefined);
  }
});

it('tells death by signal as bash does', async (t) => {
  const job = batch(t, 'kill -9 $$');
  await run(job);
  assert.equal(job.exit()?.progress.scriptCode, 137);
});

it('passes on a warning signal that it gets alone, to whoever waits for it and to nobody else', async (t) => {
  const job = batch(
    t,
    `sleep 60 & quiet=$!; ( trap 'echo warned' USR1; sleep 60 & echo ready; wait $! ); kill $quiet; echo on`,
  );
  const child = start(job);
  await eventually('the script waits', () => existsSync(join(job.directory, 'output')) && job.output() === 'ready\n');
  child.kill('SIGUSR1');
  await once(child, 'exit');
  assert.equal(job.output(), 'ready\nwarned\non\n');
});

it('lets the script be interrupted, though it runs in the background', async (t) => {
  const job = batch(t, 'grep SigIgn /proc/self/status');
  await run(job);
  assert.match(job.output(), /\t0+$/m);
});

it('reads no exit code out of an empty or half-written marker', () => {
  for (const text of ['', NONCE, `${NONCE}\n`, `${NONCE}\nx`, 'garbage\n0 regular file 1\n'])
    assert.equal(readExitMarker(text, NONCE), undefined, JSON.stringify(text));
});
