// A login shell reads the user's own files first. What they do wrong must be told as theirs, and can never make a
// job green that did not run.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const marker = join(account.home, 'ran');
const files = ['.bash_profile', '.bash_logout', '.profile', '.bash_login'];
const job = await (await world.stages()).configured();

afterEach(async () => {
  for (const name of [...files, 'ran']) await rm(join(account.home, name), { force: true });
});

const profile = (text: string) => writeFile(join(account.home, '.bash_profile'), text);

const deadly: Record<string, RegExp> = {
  'exit 0': /ended with exit status 0 before the script could start/,
  'exit 3': /ended with exit status 3 before the script could start/,
  'exec true': /ended with exit status 0 before the script could start/,
  'exec cat >/dev/null': /before the script could start/,
  'cat > /dev/null': /before the script could start/,
  'exec < /dev/null': /before the script could start/,
  'set -e; false': /ended with exit status 1 before the script could start/,
};

for (const [text, message] of Object.entries(deadly)) {
  test(`a profile with \`${text}\` fails the job, says which files to look at, and is not tried again`, async () => {
    await profile(`${text}\n`);
    const played = await world.play({ script: `touch ${marker}` });
    assert.equal(played.verdict, 'build-failure', played.jobLog);
    assert.match(played.jobLog, message);
    assert.match(played.jobLog, /Look at \/etc\/profile and at ~\/\.bash_profile, ~\/\.bash_login or ~\/\.profile/);
    assert.equal(played.stages.filter(({ name }) => name === 'config').length, 1);
    await assert.rejects(rm(marker));
  });
}

for (const text of ['exit 0', 'exit 3', 'exec true', 'cat > /dev/null']) {
  test(`\`${text}\` never makes the script's own stage green`, async () => {
    await profile(`${text}\n`);
    const { outcome, stdout } = await job.run('echo ran');
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 1, text: 'exit status 1' });
    assert.equal(stdout, '');
  });
}

const harmless: Record<string, string> = {
  'that prints': 'echo noise; echo more >&2',
  'whose last command fails': 'false',
  'that sets strict options': 'set -u; set -o pipefail; set +o posix',
  'that replaces commands by functions':
    'exit() { :; }; printf() { :; }; bash() { :; }; exec() { :; }; command() { :; }',
  'that stops at errors': 'set -e',
  'with aliases': 'shopt -s expand_aliases; alias bash=false printf=false exit=true',
  'with traps': "trap 'echo trapped; exit 9' EXIT; trap 'exit 8' ERR",
  'that goes elsewhere': 'cd /; umask 077; export HOME=/nonexistent',
  'that uses descriptors': 'exec 4>/dev/null 5</dev/null',
};

for (const [title, text] of Object.entries(harmless)) {
  test(`a profile ${title} changes nothing about the result of a script`, async () => {
    await profile(`${text}\n`);
    const good = await job.run('echo ran');
    assert.equal(good.outcome.kind, 'success', good.stderr);
    assert.match(good.stdout, /^ran$/m);
    const bad = await job.run('exit 7');
    assert.equal(bad.outcome.kind === 'build-failure' && bad.outcome.exitCode, 7, JSON.stringify(bad));
  });
}

for (const text of ['false', 'exit 1', 'exit 99', 'kill -KILL $$']) {
  test(`a logout file with \`${text}\` does not change the result`, async () => {
    await writeFile(join(account.home, '.bash_logout'), `${text}\n`);
    const good = await job.run('echo ran');
    assert.equal(good.outcome.kind, 'success', good.stderr);
    const bad = await job.run('exit 7');
    assert.equal(bad.outcome.kind === 'build-failure' && bad.outcome.exitCode, 7);
  });
}

test('a profile reads as in a login: ~/.profile, too, and PATH from it counts', async () => {
  await writeFile(join(account.home, '.profile'), 'export PATH=/opt/site/bin:$PATH FROM_PROFILE=yes\n');
  const { stdout } = await job.run('echo "$FROM_PROFILE $PATH"');
  assert.match(stdout, /^yes \/opt\/site\/bin:/);
});

test('a user whose profile is broken can run his job without it', async () => {
  await profile('exit 3\n');
  const played = await world.play({
    variables: [{ key: 'JACAMAR_NO_BASH_PROFILE', value: 'true' }],
    script: 'echo ran',
  });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^ran$/m);
});
