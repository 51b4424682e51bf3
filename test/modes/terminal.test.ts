// Jobs of other accounts are started by a service, not from somebody's terminal.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const job = await world.stages();

/** Runs the config stage with a terminal of its own, on all three descriptors or as controlling terminal only. */
async function config(redirections: string): Promise<{ status: number | null; text: string }> {
  const command = `${world.installation.program('jacamar-auth')} config --configuration "$CONFIGURATION" ${redirections}`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...job.attempt.environment(), CONFIGURATION: await world.configure(), SHELL: '/bin/sh' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const status = await new Promise<number | null>((resolve) => void child.once('close', resolve));
  return { status, text };
}

for (const [title, redirections] of [
  ['on its descriptors', ''],
  ['on one of them', '< /dev/null | cat'],
  ['that controls it, and nothing else', '< /dev/null 2>&1 | cat'],
] as const) {
  test(`setuid is refused with a terminal ${title}, and says why`, async () => {
    const { status, text } = await config(redirections);
    if (!redirections.includes('|')) assert.equal(status, 2);
    assert.match(
      text,
      /Downscope "setuid" refuses to work on an interactive terminal; jacamar-auth is started by GitLab Runner, by hand use "jacamar-admin trial"\. \(reference/,
    );
    assert.deepEqual(await world.recordOf(job.facts.id), []);
  });
}

test('without a terminal the same call works', async () => {
  const { outcome, stderr } = await job.config();
  assert.equal(outcome.kind, 'success', stderr);
});

test('the version is told on a terminal too', async () => {
  const child = spawn(
    'script',
    ['--quiet', '--return', '--command', `${world.installation.program('jacamar-auth')} --version`, '/dev/null'],
    { stdio: 'ignore' },
  );
  assert.equal(await new Promise((resolve) => void child.once('close', resolve)), 0);
});
