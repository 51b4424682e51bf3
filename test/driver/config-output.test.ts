// Standard output of config belongs to the runner: one JSON object, or nothing. The runner retries three times what
// it cannot parse.

import assert from 'node:assert/strict';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const base = join(world.account.home, '.jacamar-ci');

test('config prints exactly one object with exactly the seven keys, without a word around it', async () => {
  const configuration = await world.configure();
  const job = await world.stages({ configuration });
  const { stdout, stderr } = await job.config();
  const output = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(stdout, JSON.stringify(output), 'no blank, no newline');
  assert.deepEqual(output, {
    driver: { name: 'Jacamar CI', version: (output['driver'] as { version: string }).version },
    job_env: { JACAMAR_CI_CONFIGURATION: configuration },
    builds_dir: join(base, 'builds/000'),
    cache_dir: join(base, 'cache'),
    builds_dir_is_shared: false,
    hostname: hostname(),
    shell: 'bash',
  });
  assert.match((output['driver'] as { version: string }).version, /^\d+\.\d+\.\d+%?$/);
  assert.equal(stderr, '');
  await job.cleanup();
});

test("without limit_build_dir the runner's short token stands above the number", async () => {
  const job = await world.stages({
    options: { general: { limit_build_dir: false } },
    settings: { concurrentProjectId: 3 },
  });
  const { stdout } = await job.config();
  assert.equal(JSON.parse(stdout).builds_dir, join(base, 'builds/TrialRunn/003'));
  await job.cleanup();
});

const faults: Record<string, JobWishes> = {
  'a refusal': { login: 'root' },
  'a job without token': { token: null },
  'a forged number': { variables: [{ key: 'CI_CONCURRENT_ID', value: '../x' }] },
  'a configuration that does not exist': { configuration: '/nonexistent/custom.toml' },
  'an unknown key': { options: { general: { exekutor: 'shell' } } },
  'a base directory that cannot be made': { options: { general: { data_dir: '/proc/none' } } },
  'a server that answers nonsense': { options: { auth: { state_dir: world.at('other-state') } } },
};

for (const [title, wishes] of Object.entries(faults)) {
  for (const driverOptions of [[], ['-u']]) {
    test(`config prints nothing on standard output for ${title}${driverOptions.length > 0 ? ', with -u either' : ''}`, async () => {
      world.gitlab.behaviour.keys = title.includes('nonsense') ? { body: 'nonsense' } : {};
      const job = await world.stages({ ...wishes, driverOptions });
      const { stdout, stderr, outcome } = await job.config();
      assert.equal(stdout, '');
      assert.notEqual(stderr, '');
      assert.notEqual(outcome.kind, 'success');
      await job.cleanup();
      await rm(world.at('other-state'), { recursive: true, force: true });
    });
  }
}

test('config prints the object alone, too, when it has something to tell', async () => {
  const validation_script = world.at('validate');
  await writeFile(validation_script, `#!/bin/sh\necho '{"user_message":"noise for the user"}'; echo noise >&2\n`);
  await chmod(validation_script, 0o700);
  const job = await world.stages({ options: { auth: { runas: { validation_script } } } });
  const { stdout, stderr } = await job.config();
  assert.equal(stdout, JSON.stringify(JSON.parse(stdout)));
  assert.match(stderr, /^noise for the user$/m);
  await job.cleanup();
});

test('profile files of the account add nothing to the output', async () => {
  await world.writeHome('.bash_profile', 'echo noise; echo noise >&2\n');
  const job = await world.stages();
  const { stdout, stderr } = await job.config();
  assert.doesNotMatch(stdout + stderr, /noise/);
  JSON.parse(stdout);
});
