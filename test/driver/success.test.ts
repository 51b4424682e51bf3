// The plain case, whole: what the job log says, what the job finds, what is left of it.

import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { claimsOf } from '../support/claims.ts';
import { filesBelow } from '../support/files.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const base = join(account.home, '.jacamar-ci');

test('a job runs as the account of its login, from config to cleanup, and succeeds', async () => {
  const played = await world.play({
    script: ['id', 'echo "$HOME"', 'pwd'],
    afterScript: ['echo "after as $(id -un)"'],
  });
  assert.equal(played.verdict, 'success', played.jobLog);
  const expected = [
    /^Using Custom executor with driver Jacamar CI \d+\.\d+\.\d+%?\.\.\.$/m,
    /^Targeting shell execution$/m,
    new RegExp(`^Running as ${account.name} UID: ${account.uid} GID: ${account.gid}$`, 'm'),
    /^Local time: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/m,
    new RegExp(
      `^uid=${account.uid}\\(${account.name}\\) gid=${account.gid}\\(${account.name}\\) groups=${account.gid}\\(`,
      'm',
    ),
    new RegExp(`^${account.home}$`, 'm'),
    new RegExp(`^${base}/builds/000/demo/hello$`, 'm'),
    new RegExp(`^after as ${account.name}$`, 'm'),
    /^Job succeeded$/m,
  ];
  for (const pattern of expected) assert.match(played.jobLog, pattern);
  const stages = played.stages.map(({ name, outcome }) => `${name} ${outcome.kind}`);
  assert.deepEqual(stages, [
    'config success',
    'prepare success',
    'prepare_script success',
    'get_sources success',
    'build_script success',
    'after_script success',
    'cleanup_file_variables success',
    'cleanup success',
  ]);
  assert.ok(
    played.stages.every(({ stderr }) => stderr === ''),
    'nothing on standard error of any stage',
  );
});

test('the job clones its repository as the user', async () => {
  const script = ['cat README.md', 'git rev-parse HEAD', 'stat -c "%U %a" .git/HEAD README.md'];
  const played = await world.play({ git: true, script });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^hello$/m);
  assert.match(played.jobLog, new RegExp(`^${played.facts.sha}$`, 'm'));
  assert.equal(played.jobLog.match(new RegExp(`^${account.name} 644$`, 'gm'))?.length, 2, played.jobLog);
});

test('everything jacamar makes belongs to the user alone, directories and scripts 0700', async () => {
  const job = await (await world.stages()).configured();
  await job.run('true');
  const made = await filesBelow(base);
  const ours = made.filter(({ path }) => !path.startsWith(join(base, 'builds', '000')));
  assert.ok(ours.some(({ path }) => path.endsWith(`/demo/hello/${job.facts.id}/build_script.bash`)));
  for (const { path, stats } of ours) {
    assert.equal(stats.uid, account.uid, path);
    assert.equal(stats.gid, account.gid, path);
    if (stats.isDirectory() || path.endsWith('.bash')) assert.equal(stats.mode & 0o7777, 0o700, path);
    else assert.equal(stats.mode & 0o077, 0, path);
  }
  await job.cleanup();
});

test('cleanup removes the scripts, the claim and the record, and leaves builds and cache', async () => {
  const played = await world.play();
  const left = (await filesBelow(base)).map(({ path }) => path);
  assert.deepEqual(
    left.filter((path) => path.startsWith(join(base, 'scripts/'))),
    [],
  );
  assert.deepEqual(
    left.filter((path) => path.endsWith('.json') && !path.startsWith(join(base, 'claims/'))),
    [],
  );
  assert.deepEqual(await claimsOf(world.account), []);
  assert.ok((await stat(join(base, 'builds/000/demo/hello'))).isDirectory());
  assert.ok((await stat(join(base, 'cache'))).isDirectory());
  assert.ok((await world.recordOf(played.facts.id)).includes('ended'), 'the record says that the job is over');
});

test('retain_logs keeps the scripts of a job', async () => {
  const played = await world.play({ options: { general: { retain_logs: true } }, script: 'echo kept' });
  const scripts = join(base, 'scripts/TrialRunn/000/demo/hello', String(played.facts.id));
  assert.ok((await readdir(scripts)).includes('build_script.bash'));
  assert.match(await readFile(join(scripts, 'build_script.bash'), 'utf8'), /echo kept/);
});

test('a job_message of the administrator stands in the log before anything of the job', async () => {
  const message = 'Questions? support@example.com';
  const { jobLog } = await world.play({ options: { general: { job_message: message } } });
  assert.ok(jobLog.indexOf(message) > 0 && jobLog.indexOf(message) < jobLog.indexOf('Targeting shell'), jobLog);
});
