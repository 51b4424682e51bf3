// CI variables whose names belong to the runner or to GitLab. A job's author can set all of them; none may decide
// who a job is, where it goes, or whom we believe.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startGitLab } from '../../src/jacamar-admin/gitlab.ts';
import { filesBelow } from '../support/files.ts';
import type { Played } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const base = join(account.home, '.jacamar-ci');

const playWith = (variables: Record<string, string>): Promise<Played> =>
  world.play({
    script: ['id -un', 'pwd'],
    variables: Object.entries(variables).map(([key, value]) => ({ key, value })),
  });

function succeededAsAccount(played: Played): void {
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, new RegExp(`^${account.name}$`, 'm'));
  assert.match(played.jobLog, new RegExp(`^${base}/builds/000/demo/hello$`, 'm'));
}

const unacceptable: Record<string, readonly string[]> = {
  CI_CONCURRENT_ID: ['../x', '-1', '0x1', '', '7 ', '١', '9999999', '1\n2'],
  CI_CONCURRENT_PROJECT_ID: ['../x', '/etc', 'a'],
  CI_RUNNER_SHORT_TOKEN: ['../../x', '..', '.', 'a/b', '', '-rf', 'a b', '$(id)', 'é'],
};

for (const [name, values] of Object.entries(unacceptable)) {
  for (const value of values) {
    test(`${name}=${JSON.stringify(value)} fails the job once, with the variable's name, and makes nothing`, async () => {
      const before = (await filesBelow(account.home)).map(({ path }) => path);
      const job = await world.stages({ variables: [{ key: name, value, raw: true }] });
      const { outcome, stderr, stdout } = await job.config();
      assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 1, text: 'exit status 1' });
      assert.match(
        stderr,
        new RegExp(`^The CI variable ${name} belongs to the runner, but the job set it to ".*"; remove it\\.`),
      );
      assert.equal(stderr.trimEnd().split('\n').length, 1);
      assert.equal(stdout, '');
      assert.deepEqual(
        (await filesBelow(account.home)).map(({ path }) => path),
        before,
      );
    });
  }
}

test('numbers in an acceptable form do not choose the shared build directory', async () => {
  succeededAsAccount(await playWith({ CI_CONCURRENT_ID: '7', CI_CONCURRENT_PROJECT_ID: '7' }));
});

test('identity, project and job in variables are not believed', async () => {
  const played = await playWith({
    GITLAB_USER_LOGIN: 'root',
    GITLAB_USER_ID: '1',
    CI_JOB_ID: '1',
    CI_PIPELINE_ID: '1',
    CI_PROJECT_PATH: '../../../etc',
    CI_PROJECT_ID: '1',
    CI_PROJECT_DIR: '/etc',
    CI_BUILDS_DIR: '/etc',
    CI_RUNNER_ID: '1',
    CI_JOB_STATUS: 'success',
    CI_JOB_TOKEN: 'forged',
  });
  succeededAsAccount(played);
  assert.ok(played.log.length > 0 && played.log.every(({ job }) => job === played.facts.id));
});

test('a server in CI_SERVER_URL is never asked', async () => {
  const other = await startGitLab();
  after(() => other.close());
  const names = ['CI_SERVER_URL', 'CI_API_V4_URL', 'CI_SERVER_HOST', 'CI_PROJECT_URL', 'CI_REPOSITORY_URL'];
  const played = await playWith(Object.fromEntries(names.map((name) => [name, other.url])));
  succeededAsAccount(played);
  assert.deepEqual(other.requests, []);
});

test('a token of another server is not believed, even with that server in CI_SERVER_URL', async () => {
  const other = await startGitLab();
  after(() => other.close());
  const played = await world.play({
    token: (facts) => other.tokenFor({ ...facts, serverUrl: other.url }),
    variables: [{ key: 'CI_SERVER_URL', value: other.url }],
  });
  assert.equal(played.verdict, 'build-failure');
  assert.deepEqual(other.requests, []);
});

test('names of our own, set as CI variables, reach neither configuration nor record', async () => {
  const forged = await world.writeConfiguration('[general]\nexecutor = "none of ours"\n');
  const played = await playWith({
    JACAMAR_CI_CONFIGURATION: forged,
    JACAMAR_CI_SLOT: '9',
    JACAMAR_CI_HANDOFF: 'stdin',
  });
  succeededAsAccount(played);
});

test('names of the fixed variables of the runner, set as CI variables, change nothing', async () => {
  const played = await playWith({
    JOB_RESPONSE_FILE: '/etc/passwd',
    BUILD_EXIT_CODE_FILE: '/etc/jt_exit_code',
    BUILD_FAILURE_EXIT_CODE: '0',
    SYSTEM_FAILURE_EXIT_CODE: '0',
    NODE_OPTIONS: '--version',
    LD_PRELOAD: '',
    BASH_ENV: '/nonexistent',
  });
  succeededAsAccount(played);
  assert.ok(!existsSync('/etc/jt_exit_code'));
});
