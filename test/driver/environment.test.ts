// What surrounds a job's processes: made from nothing, whatever surrounds the runner.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, chown, copyFile, mkdir } from 'node:fs/promises';
import { test } from 'node:test';
import { asleep, descriptorsOf, treeOf } from '../support/processes.ts';
import { openWorld } from '../support/world.ts';

/** As a service manager, an administrator at a prompt, or an attacker might leave it. */
const dirt = {
  PATH: '/evil:/usr/bin:/bin',
  HOME: '/root',
  USER: 'root',
  LANG: 'de_DE.UTF-8',
  NODE_OPTIONS: '--require /nonexistent.js',
  NODE_PATH: '/evil',
  NODE_EXTRA_CA_CERTS: '/evil.pem',
  LD_PRELOAD: '/nonexistent.so',
  LD_LIBRARY_PATH: '/evil',
  OPENSSL_CONF: '/evil.cnf',
  SSL_CERT_FILE: '/evil.pem',
  BASH_ENV: '/evil.sh',
  ENV: '/evil.sh',
  'BASH_FUNC_id%%': '() { echo evil; }',
  SHELLOPTS: 'xtrace',
  IFS: 'e',
  PS4: '$(id)',
  http_proxy: 'http://127.0.0.1:1',
  https_proxy: 'http://127.0.0.1:1',
  GIT_CONFIG_GLOBAL: '/evil',
  PYTHONPATH: '/evil',
  PERL5LIB: '/evil',
  XDG_RUNTIME_DIR: '/run/user/0',
  INVOCATION_ID: '0',
  MALLOC_CHECK_: '3',
  JACAMAR_CI_HANDOFF: 'stdin',
  JACAMAR_CI_SLOT: '9',
};

const world = await openWorld();
const { account } = world;
const job = await (await world.stages({ settings: { environment: dirt } })).configured();

async function says(commands: string): Promise<string> {
  const { stdout, stderr, outcome } = await job.run(commands);
  assert.equal(outcome.kind, 'success', stderr);
  return stdout;
}

test("nothing of the runner's environment reaches the job", async () => {
  const text = await says('env -0 | tr "\\n\\0" " \\n"');
  const entries = new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const expected = {
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: '/bin/bash',
    JACAMAR_CI_SHELL: 'true',
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(entries.get(name), value, name);
  const foreign = [...entries.keys()].filter((name) =>
    /^(TMPDIR|JOB_RESPONSE_FILE|BUILD_.*|SYSTEM_.*|CUSTOM_ENV_.*|JACAMAR_CI_(?!SHELL$|JOB$).*|NODE_.*|LD_.*)$/.test(
      name,
    ),
  );
  assert.deepEqual(foreign, []);
  for (const [name, value] of Object.entries(dirt)) assert.notEqual(entries.get(name), value, name);
  assert.doesNotMatch(text, /evil/);
});

test("nothing of it stands in the environment of any of the job's processes", async () => {
  const call = job.start('echo ready; sleep 300');
  await call.until('ready');
  const below = (await treeOf(await call.pid())).filter(({ uid }) => uid === account.uid);
  assert.ok(below.length >= 3);
  for (const { environment, command } of below) {
    assert.doesNotMatch(
      environment,
      /evil|TMPDIR=|JOB_RESPONSE_FILE=|CUSTOM_ENV_|BUILD_|NODE_|custom-executor/,
      command,
    );
  }
  call.stop();
  await call.ended;
});

test('job_env names nothing but the configuration, and the job does not see it', async () => {
  assert.deepEqual(Object.keys(job.attempt.jobEnvironment), ['JACAMAR_CI_CONFIGURATION']);
  assert.doesNotMatch(await says('env'), /CONFIGURATION/);
});

test('user_bash_env of the site reaches the login shell', async () => {
  const played = await world.play({
    options: { general: { user_bash_env: ['LMOD_ADMIN_FILE=none', 'WITH=a=b c'] } },
    script: ['echo "[$LMOD_ADMIN_FILE][$WITH]"'],
  });
  assert.match(played.jobLog, /^\[none\]\[a=b c\]$/m);
});

test('a variable of 100 KB arrives whole', async () => {
  const value = 'v'.repeat(100_000);
  const played = await world.play({ variables: [{ key: 'LARGE', value }], script: ['echo "length ${#LARGE}"'] });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^length 100000$/m);
});

test('a script of many megabytes runs', async () => {
  const { stdout, outcome } = await job.run(`: ${'x'.repeat(4 << 20)}\necho end`);
  assert.equal(outcome.kind, 'success');
  assert.equal(stdout, 'end\n');
});

test('variables arrive byte for byte, whatever stands in them', async () => {
  const value = ' \'"`$(id)\\\n\tü€ * ; & | < > $HOME ${X}';
  const played = await world.play({
    variables: [{ key: 'ODD', value, raw: true }],
    script: ['printf %s "$ODD" | od -An -tx1 | tr -d " \\n"; echo'],
  });
  assert.match(played.jobLog, new RegExp(`^${Buffer.from(value).toString('hex')}$`, 'm'));
});

test('a process of the job has descriptors 0 to 2 and no others; input is empty, output are pipes', async () => {
  const call = job.start('sleep 300 & echo "sleeper $!"; wait');
  const [, pid] = /sleeper (\d+)\n/.exec(await call.until('sleeper')) ?? [];
  await asleep(Number(pid), 'sleep 300');
  const [input, output, errors, ...rest] = await descriptorsOf(Number(pid));
  assert.equal(input, '0 /dev/null');
  assert.match(output ?? '', /^1 pipe:/);
  assert.match(errors ?? '', /^2 pipe:/);
  assert.deepEqual(rest, []);
  call.stop();
  await call.ended;
});

test('/dev/stdout and /dev/stderr can be opened', async () => {
  const { stdout, stderr } = await job.run(
    'echo out > /dev/stdout; echo more | tee /dev/stderr; echo err > /dev/stderr',
  );
  assert.equal(stdout, 'out\nmore\n');
  assert.equal(stderr, 'more\nerr\n');
});

test('the job has no controlling terminal', async () => {
  assert.equal(await says('ps -o tty= -p $$ | tr -d " "; (: < /dev/tty) 2>/dev/null || echo none'), '?\nnone\n');
});

test('files of the job get the usual modes, and a profile can choose others', async () => {
  assert.equal(await says('umask'), '0022\n');
  await world.writeHome('.bash_profile', 'umask 027\n');
  assert.equal(await says('umask'), '0027\n');
});

test('signals have their default meaning in the job', async () => {
  const text = await says('grep -E "^Sig(Blk|Ign)" /proc/self/status');
  assert.match(text, /^SigBlk:\s+0+\nSigIgn:\s+0+\n$/);
});

test('the job starts in the home directory, its script in the project', async () => {
  assert.equal(await says('pwd'), `${account.home}\n`);
});

test('TMPDIR is not the private one of the runner, and what mktemp makes can be used', async () => {
  assert.equal(await says('f=$(mktemp) && echo "${TMPDIR-unset}" > "$f" && cat "$f" && rm "$f"'), 'unset\n');
});

test('a home directory that cannot be entered is replaced by / as working directory', async () => {
  const homeless = await world.addAccount();
  const base = world.at('data');
  await mkdir(base);
  await chown(base, homeless.uid, homeless.gid);
  await chmod(world.directory, 0o711);
  await chmod(homeless.home, 0o000);
  const wishes = { login: homeless.name, options: { general: { data_dir: base } } };
  const other = await (await world.stages(wishes)).configured();
  const { stdout, outcome } = await other.run('pwd');
  assert.equal(outcome.kind, 'success');
  assert.equal(stdout, '/\n');
});

test('a bare shell_path is used, and the script still gets the bash of PATH', async () => {
  const shell = world.at('own-bash');
  await copyFile('/bin/bash', shell);
  await chmod(shell, 0o755);
  await chmod(world.directory, 0o711);
  const other = await (await world.stages({ options: { general: { shell_path: shell } } })).configured();
  const { stdout } = await other.run('readlink /proc/$(ps -o ppid= -p $$ | tr -d " ")/exe; readlink /proc/$$/exe');
  assert.equal(stdout, `${shell}\n/usr/bin/bash\n`);
});

/** Runs `act` with other soft limits for what this process starts; the hard ones stay. */
async function withSoftLimits<T>(limits: Record<string, string>, act: () => Promise<T>): Promise<T> {
  const prlimit = (name: string, soft: string) =>
    execFileSync('prlimit', ['--pid', String(process.pid), `--${name}=${soft}:`]);
  const before = Object.keys(limits).map((name) => {
    const soft = execFileSync('prlimit', ['--pid', String(process.pid), `--${name}`, '-o', 'SOFT', '--noheadings'], {
      encoding: 'utf8',
    });
    return [name, soft.trim()] as const;
  });
  for (const [name, soft] of Object.entries(limits)) prlimit(name, soft);
  return act().finally(() => {
    for (const [name, soft] of before) prlimit(name, soft);
  });
}

test('limits are those of the runner, although our runtime raises one for itself', async () => {
  const limits = { nofile: '1777', stack: '4194304', core: '0', nproc: '5000' };
  const text = await withSoftLimits(limits, () => says('ulimit -Sn; ulimit -Ss; ulimit -Sc; ulimit -Su; ulimit -Hn'));
  const [files, stack, core, processes, hard] = text.split('\n');
  assert.deepEqual([files, stack, core, processes], ['1777', '4096', '0', '5000']);
  assert.ok(hard === 'unlimited' || Number(hard) > 1777);
});

test('set_stack_size gives the job the hard limit of the stack, and a profile may choose another', async () => {
  const other = await (await world.stages({ options: { general: { set_stack_size: true } } })).configured();
  const ask = () => withSoftLimits({ stack: '4194304' }, () => other.run('ulimit -Ss; ulimit -Hs'));
  const [soft, hard] = (await ask()).stdout.split('\n');
  assert.equal(soft, hard);
  assert.notEqual(soft, '4096');
  await world.writeHome('.bash_profile', 'ulimit -Ss 2048\n');
  assert.match((await ask()).stdout, /^2048\n/);
});

test('JACAMAR_NO_BASH_PROFILE keeps every profile out, JACAMAR_ETC_PROFILE_ONLY lets the site in', async () => {
  await world.writeHome('.bash_profile', 'export FROM_HOME=yes\n');
  const asked = 'echo "[${FROM_HOME-}][$(echo "$PATH" | cut -d: -f1)]"';
  const path = execFileSync('env', ['-i', 'bash', '-c', '. /etc/profile; echo "${PATH%%:*}"'], {
    encoding: 'utf8',
    uid: account.uid,
    gid: account.gid,
  }).trim();
  const withVariable = async (name?: string) => {
    const environment = name === undefined ? {} : { [`CUSTOM_ENV_${name}`]: 'true' };
    return (await job.run(asked, 'build_script', { environment })).stdout.trim();
  };
  assert.match(await withVariable(), /^\[yes\]/);
  assert.equal(await withVariable('JACAMAR_NO_BASH_PROFILE'), '[][/usr/local/sbin]');
  assert.equal(await withVariable('JACAMAR_ETC_PROFILE_ONLY'), `[][${path}]`);
});

test('a profile can tell a job from a login by JACAMAR_CI_SHELL, and the job by JACAMAR_CI_JOB', async () => {
  await world.writeHome('.bash_profile', 'export SEEN="$JACAMAR_CI_SHELL $JACAMAR_CI_JOB"\n');
  assert.equal(await says('echo "$SEEN"'), `true ${job.facts.id}@${world.gitlab.url}\n`);
});
