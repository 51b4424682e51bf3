// The same choices of directories in a person's own runner, where no jacamar-auth reads variables and configuration.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ deployment: { downscope: 'none', service: true, ownAccount: true, byHand: true } });
const { account } = world;

const custom = (value: string) => [{ key: 'CUSTOM_CI_BUILDS_DIR', value }];

test('jacamar --no-auth takes CUSTOM_CI_BUILDS_DIR and group_permissions', async () => {
  const options = { general: { custom_build_dir: true, group_permissions: true } };
  const played = await world.play({ options, variables: custom('$HOME/ci'), script: 'pwd' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, new RegExp(`^${account.home}/ci/000/demo/hello$`, 'm'));
  for (const path of ['.jacamar-ci', 'ci', 'ci/000'])
    assert.equal((await lstat(join(account.home, path))).mode & 0o7777, 0o750, path);
});

test('jacamar --no-auth refuses a bad value in one line, and prints nothing on standard output', async () => {
  const job = await world.stages({ options: { general: { custom_build_dir: true } }, variables: custom('') });
  const { outcome, stdout, stderr } = await job.config();
  assert.equal(outcome.kind, 'build-failure');
  assert.equal(stdout, '');
  assert.match(stderr, /^The CI variable CUSTOM_CI_BUILDS_DIR is "", which is empty; [^\n]*\n$/);
});

test('jacamar --no-auth gives every job a static directory', async () => {
  const options = { general: { static_builds_dir: true, group_permissions: true } };
  const played = await world.play({ options, script: 'echo made >file' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.ok(existsSync(join(account.home, '.jacamar-ci/static', String(played.facts.id), 'demo/hello/file')));
});
