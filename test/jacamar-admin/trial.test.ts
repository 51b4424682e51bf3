import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { parse } from 'smol-toml';
import { type TrialOptions, trial } from '../../src/jacamar-admin/trial.ts';
import { type FakeDriver, fakeDriver } from './fake-driver.ts';

const CONFIGURATION = `[general]
executor = "shell"
data_dir = "$HOME"
gitlab_server = "https://gitlab.example.com"
[auth]
downscope = "setuid"
jwt_required_aud = "https://hpc.example.com"
jwks_file = "/etc/keys.json"
[auth.logging]
location = "/var/log/jacamar.log"
`;

async function play(driver: FakeDriver, parts: Partial<TrialOptions> = {}, cancel = new AbortController()) {
  const configuration = join(driver.directory, 'custom.toml');
  await writeFile(configuration, CONFIGURATION, { flag: 'wx' }).catch(() => {});
  let shown = '';
  const world = {
    write: (text: string) => {
      shown += text;
    },
    colours: false,
    cancel: cancel.signal,
    forceCancel: new AbortController().signal,
  };
  const options = {
    configuration,
    user: 'alice',
    jacamarAuth: driver.executable,
    timeout: 60,
    variables: [],
    keep: false,
    verbose: false,
    unobfuscated: false,
    ...parts,
  };
  return { status: await trial(options, world), shown };
}

test('a trial that succeeds shows every stage, the job log and the verdict, and clones as in earnest', async () => {
  await using driver = await fakeDriver();
  const { status, shown } = await play(driver, { script: 'cat README.md' });
  assert.equal(status, 0, shown);
  assert.match(shown, /^ {2}login {10}alice$/m);
  for (const stage of ['config', 'prepare', 'prepare_script', 'get_sources', 'build_script', 'cleanup']) {
    assert.match(shown, new RegExp(`^${stage} +[0-9.]+ s {2}exit status 0$`, 'm'));
  }
  assert.match(shown, /^ {2}\| hello$/m);
  assert.match(shown, /The job of alice succeeded/);
});

test('a job that fails gives exit status 1 and says where it failed', async () => {
  await using driver = await fakeDriver();
  const { status, shown } = await play(driver, { script: 'exit 3' });
  assert.equal(status, 1);
  assert.match(shown, /^The job of alice failed in build_script with exit code 3\.$/m);
});

test('a refusal points to the log that the configuration names', async () => {
  await using driver = await fakeDriver({ config: 'echo "This job is not authorized" >&2; exit 1' });
  const { status, shown } = await play(driver);
  assert.equal(status, 1);
  assert.match(shown, /^ {2}! This job is not authorized$/m);
  assert.match(shown, /The job was not let in\./);
  assert.match(shown, /\/var\/log\/jacamar\.log/);
});

test('the configuration is handed over in a copy that leads to the stand-in and away from the real records', async () => {
  await using driver = await fakeDriver({
    prepare: 'true',
    config: 'cat "$3" > "$HERE/seen"; stat -c %a "$3" > "$HERE/mode"; exit 1',
  });
  await play(driver);
  const seen = parse(await driver.read('seen')) as { general: Record<string, string>; auth: Record<string, string> };
  assert.match(seen.general['gitlab_server'] ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(seen.general['data_dir'], '$HOME');
  assert.match(seen.auth['state_dir'] ?? '', /jacamar-trial-.*\/state$/);
  assert.equal(seen.auth['jwt_required_aud'], 'https://hpc.example.com');
  assert.equal('jwks_file' in seen.auth, false);
  assert.equal(await driver.read('mode'), '600\n');
});

test('another executor can be tried, with the settings that the configuration has for it', async () => {
  await using driver = await fakeDriver({ config: 'cat "$3" > "$HERE/seen"; exit 1' });
  const configuration = join(driver.directory, 'batch.toml');
  await writeFile(configuration, `${CONFIGURATION}[batch]\nscheduler_bin = "/opt/slurm/bin"\n`);
  const { shown } = await play(driver, { configuration, executor: 'slurm' });
  const seen = parse(await driver.read('seen')) as Record<string, Record<string, string>>;
  assert.equal(seen['general']?.['executor'], 'slurm');
  assert.equal(seen['batch']?.['scheduler_bin'], '/opt/slurm/bin');
  assert.match(shown, /in a copy: general\.executor is "slurm"/);
});

test('what is wrong with the configuration is told once, by its own path and line, and nothing is tried', async () => {
  await using driver = await fakeDriver();
  const configuration = join(driver.directory, 'misspelled.toml');
  await writeFile(configuration, `# Ours.\n\n${CONFIGURATION.replace('data_dir', 'data_dirs')}`);
  const misspelled = play(driver, { configuration });
  await assert.rejects(misspelled, { name: 'ConfigurationError', message: /\/misspelled\.toml, line 5\)/ });
  await writeFile(configuration, CONFIGURATION.replace('"$HOME"', '$HOME'));
  await assert.rejects(play(driver, { configuration }), { message: /\/misspelled\.toml:3:/ });
  assert.deepEqual(await driver.calls(), []);
});

test('the token is made for the audience that the configuration requires', async () => {
  await using driver = await fakeDriver({ config: 'printf %s "$CUSTOM_ENV_CI_JOB_JWT" > "$HERE/token"; exit 1' });
  await play(driver);
  const claims = decodeJwt(await driver.read('token'));
  assert.equal(claims.aud, 'https://hpc.example.com');
  assert.equal(claims['user_login'], 'alice');
});

test('the token is that of a runner whom the configuration lets in', async () => {
  await using driver = await fakeDriver({ config: 'printf %s "$CUSTOM_ENV_CI_JOB_JWT" > "$HERE/token"; exit 1' });
  const configuration = join(driver.directory, 'listed.toml');
  await writeFile(configuration, CONFIGURATION.replace('[auth]', '[auth]\nrunner_id_allowlist = [17, 18]'));
  await play(driver, { configuration });
  assert.equal(decodeJwt(await driver.read('token'))['runner_id'], 17);
});

test('the tokens of a file are made as the file says, with variables expanded', async () => {
  await using driver = await fakeDriver({ config: 'printf %s "$CUSTOM_ENV_MINE" > "$HERE/token"; exit 1' });
  const gitlabCi = join(driver.directory, '.gitlab-ci.yml');
  await writeFile(gitlabCi, 'a: {id_tokens: {MINE: {aud: "https://x/$CI_PROJECT_PATH"}}, script: [id], tags: [t]}');
  await play(driver, { gitlabCi });
  assert.equal(decodeJwt(await driver.read('token')).aud, 'https://x/demo/hello');
});

test('variables of the command line reach the job and win', async () => {
  await using driver = await fakeDriver();
  const { shown } = await play(driver, {
    script: 'echo "=$GREETING=$CI_COMMIT_REF_NAME"',
    variables: ['GREETING=a=b', 'CI_COMMIT_REF_NAME=mine'],
  });
  assert.match(shown, /^ {2}\| =a=b=mine$/m);
});

test('a variable without a name is refused', async () => {
  await using driver = await fakeDriver();
  await assert.rejects(play(driver, { variables: ['novalue'] }), /--variable novalue: expected NAME=value/);
});

test('a configuration that others can write is not tried, as jacamar-auth would not take it', async () => {
  await using driver = await fakeDriver();
  const configuration = join(driver.directory, 'open.toml');
  await writeFile(configuration, CONFIGURATION);
  await chmod(configuration, 0o666);
  await assert.rejects(play(driver, { configuration }), { name: 'ConfigurationError' });
  assert.deepEqual(await driver.calls(), []);
});

test('the job cannot steer the terminal', async () => {
  await using driver = await fakeDriver();
  const { shown } = await play(driver, { script: "printf '\\033[31mred\\033[0m \\033]0;title\\a\\n'" });
  assert.match(shown, /^ {2}\| red \\u001b\]0;title\\u0007$/m);
});

test('nor can the file that it is taken from', async () => {
  await using driver = await fakeDriver();
  const gitlabCi = join(driver.directory, '.gitlab-ci.yml');
  await writeFile(gitlabCi, '"a\\a": {script: [id], "k\\a": 1}\n');
  const { shown } = await play(driver, { gitlabCi });
  assert.match(shown, /^ {2}job {12}a\\u0007 of /m);
  assert.match(shown, /^ {2}note .*`k\\u0007` is ignored/m);
  await assert.rejects(play(driver, { gitlabCi, job: 'b' }), { message: /jobs of this file: a\\u0007$/ });
});

test('canceling ends the trial with after_script and cleanup', async () => {
  // Nothing before the script takes any time, so that it has begun by then.
  await using driver = await fakeDriver({ run: '[ "$3" = build_script ] && exec sleep 600; exit 0' });
  const { status, shown } = await play(driver, { cancelAfter: 4 });
  assert.equal(status, 1);
  assert.match(shown, /^The job of alice was canceled in build_script\.$/m);
});

test('nothing is left behind, unless it was asked to stay', async () => {
  await using driver = await fakeDriver();
  const left = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('jacamar-trial-'));
  const before = await left();
  const { shown } = await play(driver);
  assert.deepEqual(
    (await left()).filter((name) => !before.includes(name) && shown.includes(name)),
    [],
  );
  const kept = await play(driver, { keep: true });
  const directory = /^Kept: (.*)$/m.exec(kept.shown)?.[1] ?? '';
  const names = await readdir(directory);
  assert.ok(names.includes('configuration') && names.includes('repositories'));
  await import('node:fs/promises').then(({ rm }) => rm(directory, { recursive: true }));
});

type OnOutput = (text: string, kill: (signal: NodeJS.Signals) => void, leave: () => void) => void;

function runMain(args: string[], onOutput: OnOutput = () => {}) {
  const main = join(import.meta.dirname, '../../src/jacamar-admin/main.ts');
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
    const leave = () => child.stdout.destroy();
    onOutput(output.stdout, (signal) => child.kill(signal), leave);
  });
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (status) => resolve({ status, ...output }));
  });
}

test('the command prints its version', async () => {
  const { status, stdout } = await runMain(['--version']);
  assert.equal(status, 0);
  assert.match(stdout, /^Version: /);
});

test('a trial that cannot be played ends with 2 and one line that says why', async () => {
  await using driver = await fakeDriver();
  const missing = await runMain(['trial', '--user', 'alice', '--configuration', join(driver.directory, 'none.toml')]);
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /^jacamar-admin: configuration .*none\.toml.*\n$/);
  assert.equal((await runMain(['trial', '--user', 'alice'])).status, 2);
  assert.equal((await runMain(['trial', '--no-such-option'])).status, 2);
});

test('a time that no timer can wait for is refused, and not taken for none', async () => {
  const trial = ['trial', '--user', 'alice', '--configuration', '/none', '--cancel-after'];
  const workspace = ['workspace', '--configuration', '/none', '--time-limit'];
  for (const args of [
    [...trial, '2147484'],
    [...workspace, '25d'],
    [...workspace, '600h'],
  ]) {
    const { status, stderr } = await runMain(args);
    assert.equal(status, 2);
    assert.match(stderr, /At most 24 days/);
  }
});

test('Ctrl-C cancels the job as GitLab does, and cleanup follows', async () => {
  await using driver = await fakeDriver();
  const configuration = join(driver.directory, 'custom.toml');
  await writeFile(configuration, CONFIGURATION);
  const script = 'echo started; sleep 60';
  const args = ['trial', '--user', 'alice', '--configuration', configuration, '--jacamar-auth', driver.executable];
  let interrupted = false;
  const { status, stdout } = await runMain([...args, '--script', script], (text, kill) => {
    if (interrupted || !/\| started$/m.test(text)) return;
    interrupted = true;
    kill('SIGINT');
  });
  assert.equal(status, 1);
  assert.match(stdout, /^cleanup_file_variables .*exit status 0$/m);
  assert.match(stdout, /The job of alice was canceled in build_script\./);
});

test('when nobody reads any more, or the terminal is gone, the job is stopped and cleanup follows', async () => {
  await using driver = await fakeDriver({ cleanup: 'touch "$HERE/cleaned"' });
  const configuration = join(driver.directory, 'custom.toml');
  await writeFile(configuration, CONFIGURATION);
  const script = 'echo started; while sleep 0.1; do echo more; done';
  const args = ['trial', '--user', 'alice', '--configuration', configuration, '--jacamar-auth', driver.executable];
  const { status, stderr } = await runMain([...args, '--script', script], (text, _kill, leave) => {
    if (/\| started$/m.test(text)) leave();
  });
  assert.deepEqual([status, stderr], [1, '']);
  assert.equal(await driver.read('cleaned'), '');
});
