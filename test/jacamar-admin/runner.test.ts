import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { ExecutorAttempt } from '../../src/jacamar-admin/attempt.ts';
import { type JobContents, jobFacts, jobResponse } from '../../src/jacamar-admin/job.ts';
import { playJob } from '../../src/jacamar-admin/runner.ts';
import { fakeDriver, HONEST_RUN } from './fake-driver.ts';

function job(contents: Partial<JobContents> = {}, timeoutSeconds = 60) {
  const facts = jobFacts({
    serverUrl: 'http://127.0.0.1:1',
    login: 'alice',
    token: 'glcbt-64_secretword',
    timeoutSeconds,
  });
  const variables = [{ key: 'GIT_STRATEGY', value: 'none' }, ...(contents.variables ?? [])];
  return jobResponse(facts, { script: ['true'], ...contents, variables });
}

test('a job that succeeds makes the calls of an honest runner, in order and with its arguments', async () => {
  await using driver = await fakeDriver();
  const result = await playJob(driver.settings, job({ afterScript: ['true'] }));
  assert.equal(result.verdict, 'success');
  const calls = (await driver.calls()).map((call) => call.replaceAll(/\d{3,}/g, 'N'));
  const script = `${driver.directory}/custom-executorN/scriptN/script`.replaceAll(/\d{3,}/g, 'N');
  assert.deepEqual(calls, [
    'config',
    'prepare',
    `run ${script} prepare_script`,
    `run ${script} get_sources`,
    `run ${script} build_script`,
    `run ${script} after_script`,
    `run ${script} cleanup_file_variables`,
    'cleanup',
  ]);
});

test('the private directory is gone after the job', async () => {
  await using driver = await fakeDriver();
  await playJob(driver.settings, job());
  const left = (await readdir(driver.directory)).filter((name) => name.startsWith('custom-executor'));
  assert.deepEqual(left, []);
});

test('the job log names the driver and ends with the verdict', async () => {
  await using driver = await fakeDriver();
  const { jobLog } = await playJob(driver.settings, job({ script: ['echo hello'] }));
  assert.match(jobLog, /^Using Custom executor with driver Jacamar CI 1\.2\.3\.\.\.$/m);
  assert.match(jobLog, /^\$ echo hello\nhello$/m);
  assert.match(jobLog, /Job succeeded\n$/);
});

test("a script's own exit code becomes a build failure with that code", async () => {
  await using driver = await fakeDriver();
  const result = await playJob(driver.settings, job({ script: ['exit 3'] }));
  assert.equal(result.verdict, 'build-failure');
  assert.equal(result.exitCode, 3);
  assert.equal(result.failureReason, 'script_failure');
  assert.match(result.jobLog, /^ERROR: Job failed: exit status 3$/m);
});

test('after_script runs when the script failed, and sees the status', async () => {
  await using driver = await fakeDriver();
  const result = await playJob(
    driver.settings,
    job({ script: ['false'], afterScript: ['echo "was: $CI_JOB_STATUS"'] }),
  );
  assert.equal(result.verdict, 'build-failure');
  assert.match(result.jobLog, /^was: failed$/m);
});

test('after_script does not run when get_sources failed', async () => {
  await using driver = await fakeDriver({ run: `[ "$3" = get_sources ] && exit 1\n${HONEST_RUN}` });
  const result = await playJob(driver.settings, job({ afterScript: ['true'] }));
  const names = result.stages.map(({ name }) => name);
  assert.deepEqual(names, ['config', 'prepare', 'prepare_script', 'get_sources', 'cleanup_file_variables', 'cleanup']);
});

test('nothing but cleanup follows a failed prepare_script', async () => {
  await using driver = await fakeDriver({ run: 'exit 1' });
  const result = await playJob(driver.settings, job());
  const names = result.stages.map(({ name }) => name);
  assert.deepEqual(names, ['config', 'prepare', 'prepare_script', 'cleanup']);
  assert.match(result.jobLog, /Job failed: prepare environment: exit status 1\. Check /);
});

test('config that ends with 1 refuses the job at once, after one cleanup', async () => {
  await using driver = await fakeDriver({ config: 'echo no >&2; exit 1' });
  const result = await playJob(driver.settings, job());
  assert.deepEqual(await driver.calls(), ['config', 'cleanup']);
  assert.equal(result.verdict, 'build-failure');
  assert.match(result.jobLog, /^no$/m);
});

test('config that ends with 2 is tried three times, each time with cleanup', async () => {
  await using driver = await fakeDriver({ config: 'exit 2' });
  const result = await playJob(driver.settings, job());
  assert.deepEqual(await driver.calls(), ['config', 'cleanup', 'config', 'cleanup', 'config', 'cleanup']);
  assert.equal(result.verdict, 'system-failure');
  assert.equal(result.jobLog.match(/^ERROR: Preparation failed: exit status 2$/gm)?.length, 3);
  assert.match(result.jobLog, /^ERROR: Job failed \(system failure\): exit status 2$/m);
});

test('config output that is no JSON is a system failure and is not shown', async () => {
  await using driver = await fakeDriver({ config: 'echo chatter' });
  const result = await playJob(driver.settings, job());
  assert.equal(result.verdict, 'system-failure');
  assert.match(result.jobLog, /error while parsing JSON output/);
  assert.doesNotMatch(result.jobLog, /^chatter$/m);
});

test('config that names no directories is a configuration error without retry', async () => {
  await using driver = await fakeDriver({ config: ':' });
  const result = await playJob(driver.settings, job());
  assert.deepEqual(await driver.calls(), ['config', 'cleanup']);
  assert.equal(result.failureReason, 'runner_configuration_error');
});

test('get_sources is tried as often as the job asks, with clear_worktree between', async () => {
  await using driver = await fakeDriver({ run: `[ "$3" = get_sources ] && exit 1\n${HONEST_RUN}` });
  const { stages } = await playJob(driver.settings, job({ variables: [{ key: 'GET_SOURCES_ATTEMPTS', value: '2' }] }));
  const names = stages.map(({ name }) => name).filter((name) => /sources|worktree/.test(name));
  assert.deepEqual(names, ['get_sources', 'clear_worktree', 'get_sources']);
});

test('a failing cleanup is a warning and changes nothing', async () => {
  await using driver = await fakeDriver({ cleanup: 'echo bad >&2; exit 1' });
  const result = await playJob(driver.settings, job());
  assert.equal(result.verdict, 'success');
  assert.match(result.jobLog, /^WARNING: Cleanup script failed: exit status 1$/m);
  assert.doesNotMatch(result.jobLog, /^bad$/m);
  assert.equal(result.stages.at(-1)?.stderr, 'bad\n');
});

test('masked variables and words with a token prefix do not reach the job log', async () => {
  await using driver = await fakeDriver();
  const variables = [{ key: 'PASSWORD', value: 'correct horse', masked: true }];
  const script = ['echo "one $PASSWORD two $CI_JOB_TOKEN three glpat-abcdef.gh"'];
  const { jobLog, stages } = await playJob(driver.settings, job({ variables, script }));
  assert.match(jobLog, /^one \[MASKED\] two \[MASKED\] three glpat-\[MASKED\]$/m);
  assert.match(stages.find(({ name }) => name === 'build_script')?.stdout ?? '', /correct horse/);
});

test('a soft cancel during the script stops it, and after_script still runs', async () => {
  await using driver = await fakeDriver();
  const cancel = new AbortController();
  const contents = { script: ['echo started; sleep 60'], afterScript: ['echo "was: $CI_JOB_STATUS"'] };
  const result = await playJob(driver.settings, job(contents), {
    softCancel: cancel.signal,
    observer: { logLine: (line) => line === 'started' && cancel.abort() },
  });
  assert.equal(result.verdict, 'canceled');
  assert.match(result.jobLog, /^was: canceled$/m);
  assert.match(result.jobLog, /^ERROR: Job failed: canceled$/m);
  assert.deepEqual(
    result.stages.slice(-4).map(({ name }) => name),
    ['build_script', 'after_script', 'cleanup_file_variables', 'cleanup'],
  );
});

test('a hard cancel is followed by cleanup only', async () => {
  await using driver = await fakeDriver();
  const cancel = new AbortController();
  const result = await playJob(driver.settings, job({ script: ['echo started; sleep 60'], afterScript: ['true'] }), {
    hardCancel: cancel.signal,
    observer: { logLine: (line) => line === 'started' && cancel.abort() },
  });
  assert.equal(result.verdict, 'canceled');
  assert.deepEqual(
    result.stages.slice(-2).map(({ name }) => name),
    ['build_script', 'cleanup'],
  );
});

test('a job that is canceled before it starts calls no driver', async () => {
  await using driver = await fakeDriver();
  const result = await playJob(driver.settings, job(), { softCancel: AbortSignal.abort() });
  assert.equal(result.verdict, 'canceled');
  assert.deepEqual(await driver.calls(), []);
});

test('the job timeout stops the script and is named in the log', async () => {
  await using driver = await fakeDriver();
  const result = await playJob(driver.settings, job({ script: ['sleep 60'] }, 4));
  assert.equal(result.verdict, 'timeout');
  assert.match(result.jobLog, /^ERROR: Job failed: execution took longer than 4s seconds$/m);
});

test('RUNNER_SCRIPT_TIMEOUT stops the script, and after_script still runs', async () => {
  await using driver = await fakeDriver();
  const variables = [{ key: 'RUNNER_SCRIPT_TIMEOUT', value: '200ms' }];
  const contents = { variables, script: ['sleep 60'], afterScript: ['echo "was: $CI_JOB_STATUS"'] };
  const result = await playJob(driver.settings, job(contents));
  assert.equal(result.verdict, 'timeout');
  assert.match(result.jobLog, /^was: timedout$/m);
});

test('cleanup overlaps with a driver that ignores a hard stop for too long', async () => {
  const run = `[ "$3" = build_script ] || exit 0
trap '' TERM
echo started
until [ -e "$HERE/cleaned" ]; do sleep 0.05; done
exit 2`;
  await using driver = await fakeDriver({ run, cleanup: 'touch "$HERE/cleaned"' }, { hardStopPatienceMs: 100 });
  const cancel = new AbortController();
  const result = await playJob(driver.settings, job(), {
    hardCancel: cancel.signal,
    observer: { logLine: (line) => line === 'started' && cancel.abort() },
  });
  assert.match(result.jobLog, /^WARNING: Timed out waiting for the build to finish$/m);
  const [straggler] = await Promise.all(result.stragglers);
  assert.equal(straggler?.name, 'build_script');
  assert.equal(straggler?.outcome.kind, 'system-failure');
});

test('every later stage gets job_env, and config does not', async () => {
  const hint = 'echo "$1 $3 $JACAMAR_HINT" >> "$HERE/hints"';
  await using driver = await fakeDriver({ prepare: hint, run: `${hint}\n${HONEST_RUN}`, cleanup: hint });
  await playJob(driver.settings, job());
  const hints = (await driver.read('hints')).trim().split('\n');
  assert.ok(hints.length >= 5);
  assert.ok(hints.every((line) => line.endsWith('from config')));
});

test('steps between script and after_script become stages of their own', async () => {
  await using driver = await fakeDriver();
  const release = { name: 'Release', script: ['true'], timeout: 60, when: 'on_success', allow_failure: false };
  const { stages } = await playJob(driver.settings, job({ furtherSteps: [release] }));
  assert.ok(stages.some(({ name }) => name === 'step_release'));
});

test('jobs with cache and artifacts get the stages for them, in the form of the result', async () => {
  await using driver = await fakeDriver();
  const { stages } = await playJob(driver.settings, job({ script: ['false'], artifacts: [{}], cache: [{}] }));
  const names = stages.map(({ name }) => name);
  assert.ok(names.includes('restore_cache'));
  assert.deepEqual(names.slice(-4), [
    'archive_cache_on_failure',
    'upload_artifacts_on_failure',
    'cleanup_file_variables',
    'cleanup',
  ]);
});

test('a single stage can be called alone, with a changed environment and other arguments', async () => {
  await using driver = await fakeDriver({
    prepare: 'echo "$2 $(printenv JOB_RESPONSE_FILE || echo none) $CUSTOM_ENV_CI_JOB_ID"',
  });
  const attempt = await ExecutorAttempt.open(driver.settings, job());
  const record = await attempt.call('prepare', {
    args: ['prepare', 'extra'],
    environment: { JOB_RESPONSE_FILE: undefined, CUSTOM_ENV_CI_JOB_ID: 'forged' },
  });
  await attempt.close();
  assert.equal(record.stdout, 'extra none forged\n');
});

test('run can be called without config, with a script of the test', async () => {
  await using driver = await fakeDriver();
  const attempt = await ExecutorAttempt.open(driver.settings, job());
  const record = await attempt.runStage('build_script', { script: 'echo from the script; exit 7' });
  await attempt.close();
  assert.equal(record.stdout, 'from the script\n');
  assert.deepEqual(record.outcome, { kind: 'build-failure', exitCode: 7, text: 'exit status 7' });
});

test('what a job writes is handed on whole, and remembered up to a limit', async () => {
  const run =
    '[ "$3" = build_script ] && yes 123456789 | head -c 5000000; yes x | head -c 5000000 | tr -d "\\n"; exit 0';
  await using driver = await fakeDriver({ run }, { mostOutputKept: 1000 });
  let [seen, longest] = [0, 0];
  const logLine = (line: string) => {
    seen += line.length + 1;
    longest = Math.max(longest, line.length);
  };
  const { jobLog, stages } = await playJob(driver.settings, job(), { observer: { logLine } });
  assert.ok(seen > 5_000_000 && longest >= 2_500_000);
  assert.ok(jobLog.length < 3_000_000);
  for (const { stdout } of stages) assert.ok(stdout.length < 100_000);
});
