// How a script ended, as the runner learns of it: BUILD_FAILURE_EXIT_CODE and the script's own code in the file that
// the runner names. A code that went through as it is would be taken for a fault of the host.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { filesBelow } from '../support/files.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const job = await (await world.stages()).configured();

/** So many jobs of the account at once; each has an exit code file of its own. */
const LANES = 4;

test('every exit status from 1 to 255 arrives as it is, with the file, and with no word of ours', async () => {
  const codes = Array.from({ length: 255 }, (_, index) => index + 1);
  const lanes = Map.groupBy(codes, (code) => code % LANES).values();
  const wrong = await Promise.all([...lanes].map(misreported));
  assert.deepEqual(wrong.flat(), []);
});

/** Those that do not arrive as they are in a job of their own. */
async function misreported(codes: readonly number[]): Promise<unknown[]> {
  const own = await (await world.stages()).configured();
  const wrong = [];
  for (const code of codes) {
    const { outcome, stderr } = await own.run(`exit ${code}`);
    const file = await readFile(own.attempt.exitCodeFile, 'utf8').catch(() => '');
    const expected = { kind: 'build-failure', exitCode: code, text: `exit status ${code}` };
    if (!isDeepStrictEqual([outcome, stderr, file], [expected, '', `${code}\n`]))
      wrong.push({ code, outcome, stderr, file });
  }
  await own.cleanup();
  return wrong;
}

test('a shell_path that leads nowhere is a fault of the host, and the log says so', async () => {
  for (const shell of ['/nonexistent/bash', '/etc', '/etc/hostname', '/bin/false', '/bin/cat']) {
    const other = await (await world.stages({ options: { general: { shell_path: shell } } })).configured();
    const { outcome, stdout, stderr } = await other.run('echo ran');
    assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
    assert.equal(stdout, '');
    assert.match(stderr, new RegExp(`^${shell} .* on this host, which is no fault of the job \\(reference `, 'm'));
    assert.ok(!existsSync(other.attempt.exitCodeFile));
    await other.cleanup();
  }
});

test("a script file that cannot be read is the host's fault, whoever owns it", async () => {
  const missing = await job.attempt.call('run', { args: ['run', '/nonexistent/script', 'build_script'] });
  assert.deepEqual(missing.outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.match(missing.stderr, /^A fault of this host kept the job from running/);
  const foreign = join(world.account.home, 'script');
  await writeFile(foreign, 'echo ran\n');
  await chown(foreign, world.account.uid, world.account.gid);
  const refused = await job.attempt.call('run', { args: ['run', foreign, 'build_script'] });
  assert.deepEqual(refused.outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.equal(refused.stdout, '');
});

test("a full disk is the host's fault at every stage, is named, and leaves no exit code", async () => {
  const disk = world.at('disk');
  await mkdir(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0711', 'none', disk]);
  world.onClose(async () => void execFileSync('umount', ['-l', disk]));
  await chmod(world.directory, 0o711);
  await mkdir(join(disk, 'data'));
  await chown(join(disk, 'data'), world.account.uid, world.account.gid);
  const other = await (await world.stages({ options: { general: { data_dir: join(disk, 'data') } } })).configured();
  assert.equal((await other.run('true')).outcome.kind, 'success');
  const filled = await other.run(`cat /dev/zero > ${disk}/data/fill || true`);
  assert.equal(filled.outcome.kind, 'success', filled.stderr);
  const { outcome, stdout, stderr } = await other.run(`echo ran # ${'x'.repeat(10_000)}`);
  assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^The job's script cannot be written to \S+: no space, or no inode, is left on its file system\. This is a fault of the host/,
  );
  assert.ok(!existsSync(other.attempt.exitCodeFile));
  assert.equal((await other.cleanup()).outcome.kind, 'success', 'which makes room, and needs none');
});

test('the first failing command decides', async () => {
  const { outcome } = await job.run('echo before\n(exit 9)\necho after');
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 9);
});

const deaths = [
  {
    title: 'a command of the script',
    commands: 'sh -c "kill -KILL \\$\\$"',
    code: 137,
    said: /: line \d+: +\d+ Killed /,
  },
  { title: 'the script', commands: 'kill -SEGV $$; sleep 60', code: 139, said: /: +\d+ Segmentation fault / },
  {
    title: 'the login shell',
    commands: 'kill -KILL "$(ps -o ppid= -p $$)"; sleep 60',
    code: 137,
    said: /^The login shell that ran your script was ended by SIGKILL .* which counts as exit status 137\.$/m,
  },
  {
    title: 'the login shell, by SIGTERM',
    commands: 'kill -TERM "$(ps -o ppid= -p $$)"; sleep 60',
    code: 143,
    said: /^The login shell that ran your script was ended by SIGTERM, which counts as exit status 143\.$/m,
  },
  {
    title: 'the script, by SIGTERM',
    commands: 'trap - TERM; kill -TERM $BASHPID; sleep 60',
    code: 143,
    said: /Terminated/,
  },
];
for (const { title, commands, code, said } of deaths) {
  test(`a signal that kills ${title} is a build failure with ${code}, and the log says what was killed`, async () => {
    const { outcome, stderr } = await job.run(commands);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: code, text: `exit status ${code}` });
    assert.match(stderr, said);
    assert.equal(await readFile(job.attempt.exitCodeFile, 'utf8'), `${code}\n`);
  });
}

const groupSignals = [
  { commands: 'trap "kill 0" EXIT; sleep 100 & exit 0', code: 143 },
  { commands: 'trap "trap - TERM; kill -- -\\$(ps -o pgid= \\$\\$ | tr -d \\" \\")" EXIT; exit 3', code: 143 },
  { commands: 'kill -KILL 0; sleep 60', code: 137 },
  { commands: 'trap "" TERM; kill 0; exit 5', code: 143 },
];
for (const { commands, code } of groupSignals) {
  test(`\`${commands}\`, which signals the process group of the script, is a failure of the script`, async () => {
    const { outcome, stderr } = await job.run(commands);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: code, text: `exit status ${code}` }, stderr);
  });
}

test('a script that signals its process group and heeds the signal no more than its shell does goes on', async () => {
  const { outcome, stdout } = await job.run('trap "" INT; kill -INT 0; echo after');
  assert.deepEqual([outcome.kind, stdout], ['success', 'after\n']);
});

test('the exit code file goes with the next call, whichever stage that is', async () => {
  const next = {
    prepare: () => job.prepare(),
    run: () => job.run('true'),
    'a run that has a name we refuse': () => job.run('true', '../x'),
  };
  for (const [title, call] of Object.entries(next)) {
    await job.run('exit 7');
    assert.ok(existsSync(job.attempt.exitCodeFile));
    await call();
    assert.ok(!existsSync(job.attempt.exitCodeFile), title);
  }
});

test('only a script writes the exit code file, a refusal does not', async () => {
  const refused = await world.stages({ login: 'root' });
  const { outcome } = await refused.config();
  assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 1, text: 'exit status 1' });
  assert.ok(!existsSync(refused.attempt.exitCodeFile));
});

test("the codes are those of the runner's environment, not 1 and 2", async () => {
  const environment = { BUILD_FAILURE_EXIT_CODE: '91', SYSTEM_FAILURE_EXIT_CODE: '92' };
  const failed = await job.run('exit 5', 'build_script', { environment });
  assert.match(failed.outcome.kind === 'system-failure' ? failed.outcome.text : '', /exit code 91;/);
  const broken = await job.run('true', '../x', { environment });
  assert.match(broken.outcome.kind === 'system-failure' ? broken.outcome.text : '', /exit code 92;/);
});

for (const name of ['step_script', 'step_release', 'a_stage_of_next_year', 'UPPER-1']) {
  test(`a run stage called ${name} is run like any other`, async () => {
    const good = await job.run('echo "ran $0"', name);
    assert.match(good.stdout, new RegExp(`^ran .*/${name}\\.bash$`, 'm'));
    const bad = await job.run('exit 4', name);
    assert.equal(bad.outcome.kind === 'build-failure' && bad.outcome.exitCode, 4);
  });
}

for (const name of ['../x', 'a/b', '', 'a b', '-x', 'é', 'a.bash', 'x'.repeat(65), '$(id)', 'a\nb']) {
  test(`a run stage called ${JSON.stringify(name)} is refused, and nothing is written`, async () => {
    const before = await filesBelow(join(world.account.home, '.jacamar-ci'));
    const { outcome, stdout } = await job.run('echo ran', name);
    assert.equal(outcome.kind, 'system-failure');
    assert.equal(stdout, '');
    const paths = (files: typeof before) => files.map(({ path }) => path);
    assert.deepEqual(paths(await filesBelow(join(world.account.home, '.jacamar-ci'))), paths(before));
  });
}

test('a failed job ends with the code of its script, after_script and cleanup run', async () => {
  const played = await world.play({ script: ['exit 77'], afterScript: ['echo "status $CI_JOB_STATUS"'] });
  assert.equal(played.verdict, 'build-failure');
  assert.equal(played.exitCode, 77);
  assert.match(played.jobLog, /^status failed$/m);
  assert.match(played.jobLog, /^ERROR: Job failed: exit status 77$/m);
  assert.equal(played.stages.at(-1)?.outcome.kind, 'success');
});
