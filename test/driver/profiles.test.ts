// A login shell reads the user's own files first. What they do wrong must be told as theirs, and can never make a
// job green that did not run.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { allProcesses } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const marker = join(account.home, 'ran');
const files = ['.bash_profile', '.bash_logout', '.profile', '.bash_login', '.site.sh', '.env', 'bin'];
const job = await (await world.stages()).configured();

afterEach(async () => {
  for (const name of [...files, 'ran']) await rm(join(account.home, name), { force: true, recursive: true });
});

const profile = (text: string) => writeFile(join(account.home, '.bash_profile'), text);

/** What the profile does, the command to blame, and how the shell ends where that is sure. */
const deadly: readonly [text: string, command: string, end?: number | 'SIGKILL'][] = [
  ['exit 0', 'exit', 0],
  ['exit 3', 'exit', 3],
  ['exec true', 'exec', 0],
  ['exec cat >/dev/null', 'exec'],
  ['cat > /dev/null', 'cat'],
  ['while read -r line; do :; done', 'read'],
  ['exec < /dev/null', 'exec'],
  ['set -e; false', 'false', 1],
  ['kill -KILL $$', 'kill', 'SIGKILL'],
];

for (const [text, command, end] of deadly) {
  test(`a profile with \`${text}\` fails the job, names file and line, and is not tried again`, async () => {
    await profile(`# a comment\nA=secret\n${text}\nB=later\n`);
    const played = await world.play({ script: `touch ${marker}` });
    assert.equal(played.verdict, 'build-failure', played.jobLog);
    const how = typeof end === 'string' ? `was ended by ${end}` : `ended with exit status ${end ?? '\\d+'}`;
    assert.match(played.jobLog, new RegExp(`${how} before the script could start`));
    assert.ok(played.jobLog.includes(`Look at ${account.home}/.bash_profile, line 3 (${command}).`), played.jobLog);
    assert.doesNotMatch(played.jobLog, /secret/);
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

test('a profile that leads elsewhere is traced to the file that ends the shell, whatever prints on the way', async () => {
  await writeFile(join(account.home, '.site.sh'), 'f() {\n  echo noise; echo noise >&2\n  exit 4\n}\n');
  await profile('set -u\n. ~/.site.sh\nf\n');
  const { stderr } = await job.run('true');
  assert.match(stderr, /exit status 4 before the script could start\. Look at \S+\/\.site\.sh, line 3 \(exit\)\./);
});

test('a profile that fails only the first time is not blamed for a line that it did not stop at', async () => {
  await profile('[ -e ~/ran ] || { touch ~/ran; exit 5; }\n');
  const { stderr } = await job.run('true');
  assert.match(stderr, /exit status 5 before .* Look at \/etc\/profile and at ~\/\.bash_profile/);
});

test('what a profile starts when it is looked at a second time does not stay', async () => {
  await profile('setsid sleep 300 & disown\nexit 3\n');
  const { outcome } = await job.run('true');
  assert.equal(outcome.kind, 'build-failure');
  const left = (await allProcesses()).filter(({ uid }) => uid === account.uid);
  assert.deepEqual(left, []);
});

test('a profile that hangs is named in the job log while it does, and a cancel ends it', async () => {
  await profile('X=1\nsleep 250\n');
  const call = job.start('true');
  let heard = '';
  const said = eventually('the log names the line', () => heard.includes('get past') && heard);
  call.onError((text) => (heard += text));
  assert.match(await said, /still busy with your profile after 20 s; .* \S+\/\.bash_profile, line 2 \(sleep\)\.\n/);
  call.stop();
  assert.equal((await call.ended).outcome.kind, 'system-failure');
});

/** The script of this stage is placed while the profile runs. */
const untilPlaced = (stage: string) =>
  `until compgen -G "$HOME/.jacamar-ci/scripts/*/*/*/*/*/${stage}.bash" >/dev/null; do :; done`;

const unread: Record<string, { text: string; file?: string; stage?: string; message: RegExp }> = {
  'whose BASH_ENV ends the shell': {
    text: 'export BASH_ENV=~/.env\n',
    file: 'A=secret\nshopt -q login_shell || exit 0\n',
    message:
      /^Bash ended with exit status 0 before the first line of your script\. .*BASH_ENV=\S+\/\.env, .* \S+\/\.env, line 2 \(exit\)\./,
  },
  'that tells Bash not to execute anything': {
    text: 'set -o noexec; export SHELLOPTS\n',
    message: /before the script could start\. Look at \S+\/\.bash_profile, line 1 \(set\)/,
  },
  'that leaves no bash in PATH': {
    text: 'PATH=/bin:$PATH\nexport PATH=/nonexistent\n:\n',
    message: /status 127 before .* no bash, or another one, in the PATH .* \S+\/\.bash_profile, line 2 \(PATH\)\./,
  },
  'with another program called bash': {
    text: 'mkdir -p ~/bin; ln -sf /bin/true ~/bin/bash; PATH=~/bin:$PATH\n',
    message:
      /^Bash ended with exit status 0 before the first line of your script\. .* \S+\/\.bash_profile, line 1 \(PATH\)\./,
  },
  'that removes the script': {
    text: `${untilPlaced('step_removed')}; rm -rf ~/.jacamar-ci/scripts\n`,
    stage: 'step_removed',
    message: /^The job's script \(\S+\) is gone or cannot be read; your profile or another job of yours did that\./m,
  },
  'that makes the script unreadable': {
    text: `${untilPlaced('step_closed')}; find ~/.jacamar-ci/scripts -name "*.bash" -exec chmod 000 {} +\n`,
    stage: 'step_closed',
    message: /^The job's script \(\S+\) is gone or cannot be read/m,
  },
};

test('a profile that clears the directory of scripts, at whatever moment, blames nobody else and fakes nothing', async () => {
  await profile('rm -rf ~/.jacamar-ci/scripts\n');
  for (let round = 0; round < 8; round++) {
    const { outcome, stdout, stderr } = await job.run('echo ran');
    if (outcome.kind === 'success') assert.equal(stdout, 'ran\n');
    else assert.match(stderr, /^The job's script \(\S+\) is gone or cannot be read; your profile/m);
  }
});

for (const [title, { text, file, stage, message }] of Object.entries(unread)) {
  test(`a profile ${title} never makes a job green, and the log says why`, async () => {
    await profile(text);
    if (file !== undefined) await writeFile(join(account.home, '.env'), file);
    const { outcome, stdout, stderr } = await job.run('echo ran', stage);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 1, text: 'exit status 1' });
    assert.equal(stdout, '');
    assert.match(stderr, message);
  });
}

test('a file named by BASH_ENV that hangs is named with its line while it does', async () => {
  await profile('export BASH_ENV=~/.env\n');
  await writeFile(join(account.home, '.env'), ':\nshopt -q login_shell || sleep 250\n');
  const call = job.start('true');
  let heard = '';
  call.onError((text) => (heard += text));
  const said = await eventually('the log names the line', () => heard.includes('look at') && heard);
  assert.match(said, /^Bash has not begun your script after 20 s\. .* \S+\/\.env, line 2 \(sleep\)\.\n/);
  call.stop();
  assert.equal((await call.ended).outcome.kind, 'system-failure');
});

/** What a profile prints, and the command that the hint names; all of them come to line 3 first. */
const loud: readonly [text: string, command: string][] = [
  ['echo noise', 'echo'],
  ['printf noise', 'printf'],
  ['cat /etc/hostname', 'cat'],
  ["X=$(echo quiet) A='a\nquoted\nb'; [[ $A == a* ]]; . ~/.site.sh", 'echo'],
];

for (const [text, command] of loud) {
  test(`a profile that prints by \`${JSON.stringify(text)}\` is named with file and line, once per job`, async () => {
    await writeFile(join(account.home, '.site.sh'), '\n\necho noise\n');
    await profile(`# a comment\n: secret; true | false\n${text}\nsleep 0.2\necho more\n`);
    const played = await world.play({ script: 'echo ran' });
    assert.equal(played.verdict, 'success', played.jobLog);
    const file = command === 'echo' && text !== 'echo noise' ? '.site.sh' : '.bash_profile';
    const hints = played.jobLog.match(/^Your profile prints .*$/gm) ?? [];
    assert.equal(hints.length, 1, played.jobLog);
    assert.ok(hints[0]?.includes(`in every stage: ${account.home}/${file}, line 3 (${command}).`), hints[0]);
    assert.doesNotMatch(played.jobLog, /secret/);
  });
}

test('a profile is read once per stage where nothing of it is printed on standard output', async () => {
  await profile('echo read >> ~/ran; echo noise >&2; sleep 0.1\n');
  assert.equal((await job.run('echo ran', 'prepare_script')).outcome.kind, 'success');
  assert.equal(await readFile(marker, 'utf8'), 'read\n');
});

test('a profile that prints is read once more in the first run stage, and in no other', async () => {
  await profile('echo read >> ~/ran; echo noise; sleep 0.1\n');
  for (const [stage, times] of [
    ['prepare_script', 2],
    ['build_script', 1],
  ] as const) {
    await rm(marker, { force: true });
    assert.equal((await job.run('echo ran', stage)).outcome.kind, 'success');
    assert.equal(await readFile(marker, 'utf8'), 'read\n'.repeat(times), stage);
  }
});

test('BASH_ENV of a profile works in scripts', async () => {
  await profile('export BASH_ENV=~/.env\n');
  await writeFile(join(account.home, '.env'), 'module() { echo "module $*"; }\nset -u\nexec 3>&1 9>/dev/null\n');
  const { stdout } = await job.run('module load x');
  assert.equal(stdout, 'module load x\n');
});

const harmless: Record<string, string> = {
  'that prints': 'echo noise; echo more >&2',
  'whose last command fails': 'false',
  'that sets strict options': 'set -u; set -o pipefail; set +o posix',
  'that replaces commands by functions':
    'exit() { :; }; printf() { :; }; bash() { :; }; exec() { :; }; command() { :; }',
  'that stops at errors': 'set -e',
  'that stops at errors and has something to say then': "set -e; trap 'exit 9' EXIT",
  'with aliases': 'shopt -s expand_aliases; alias bash=false printf=false exit=true',
  'with traps': "trap 'echo trapped; exit 9' EXIT; trap 'exit 8' ERR",
  'that goes elsewhere': 'cd /; umask 077; export HOME=/nonexistent',
  'that uses descriptors': 'exec 3>/dev/null 4>/dev/null 5</dev/null 9>&1 {x}>/dev/null',
  'that reads a line': 'read -r line',
  'that starts an agent': 'setsid sleep 300 >/dev/null 2>&1 & disown',
};

for (const [title, text] of Object.entries(harmless)) {
  test(`a profile ${title} changes nothing about the result of a script`, async () => {
    await profile(`${text}\n`);
    const good = await job.run('echo ran');
    assert.equal(good.outcome.kind, 'success', good.stderr);
    assert.match(good.stdout, /^ran$/m);
    const bad = await job.run('exit 7');
    assert.equal(bad.outcome.kind === 'build-failure' && bad.outcome.exitCode, 7, JSON.stringify(bad));
    assert.doesNotMatch(bad.stderr, /^The login shell/m);
  });
}

test('a logout file that hangs holds no stage for long, not even with an agent around', async () => {
  await profile('setsid sleep 300 & disown\n');
  await writeFile(join(account.home, '.bash_logout'), 'sleep 250\n');
  const { outcome, durationMs } = await job.run('exit 7');
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 7);
  assert.ok(durationMs < 60_000, `${durationMs} ms`);
});

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
