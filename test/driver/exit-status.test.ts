// How a script ended, as the runner learns of it: BUILD_FAILURE_EXIT_CODE and the script's own code in the file that
// the runner names. A code that went through as it is would be taken for a fault of the host.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { filesBelow } from '../support/files.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const job = await (await world.stages()).configured();

for (const code of [1, 2, 3, 42, 126, 127, 128, 143, 254, 255]) {
  test(`a script that exits with ${code} is a build failure with ${code}`, async () => {
    const { outcome, stderr } = await job.run(`exit ${code}`);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: code, text: `exit status ${code}` });
    assert.equal(stderr, '', 'the runner says it; nobody else needs to');
    assert.equal(await readFile(job.attempt.exitCodeFile, 'utf8'), `${code}\n`);
  });
}

test('the first failing command decides', async () => {
  const { outcome } = await job.run('echo before\n(exit 9)\necho after');
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 9);
});

const deaths = [
  { title: 'a command of the script', commands: 'sh -c "kill -KILL \\$\\$"', code: 137 },
  { title: 'the script', commands: 'kill -SEGV $$; sleep 60', code: 139 },
  { title: 'the login shell', commands: 'kill -KILL "$(ps -o ppid= -p $$)"; sleep 60', code: 137 },
  { title: 'the script, by SIGTERM', commands: 'trap - TERM; kill -TERM $BASHPID; sleep 60', code: 143 },
];
for (const { title, commands, code } of deaths) {
  test(`a signal that kills ${title} is a build failure with ${code}`, async () => {
    const { outcome } = await job.run(commands);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: code, text: `exit status ${code}` });
  });
}

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
