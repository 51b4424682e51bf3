// The job token on its way: every account of the host can read command lines, so it stands on none.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { filesBelow } from '../support/files.ts';
import type { JobWishes, Played } from '../support/job-wishes.ts';
import type { StagedJob } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { account } = world;
const [, watcher = account] = world.accounts;
const unrestricted = { options: { general: { unrestricted_cmd_line: true } } };

/** An ordinary account that looks at everything /proc shows it, as fast as it can. Resolves to what it saw. */
async function watched(act: () => Promise<Played>): Promise<{ played: Played; seen: string }> {
  const look = `
    const { readdirSync, readFileSync } = require('node:fs');
    process.setgroups([]);
    process.setgid(${watcher.gid});
    process.setuid(${watcher.uid});
    const seen = new Set();
    const look = (pid, name) => { try { seen.add(readFileSync('/proc/' + pid + '/' + name, 'latin1')); } catch {} };
    process.on('SIGTERM', () => { process.stdout.write([...seen].join('\\n'), () => process.exit()); });
    console.error('watching');
    const round = () => {
      for (const pid of readdirSync('/proc')) if (/^[0-9]+$/.test(pid)) { look(pid, 'cmdline'); look(pid, 'environ'); }
      setImmediate(round);
    };
    round();`;
  const child = spawn(process.execPath, ['-e', look], {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [seen, said] = ['', ''];
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    seen += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += String(chunk);
  });
  const closed = new Promise((resolve) => void child.once('close', resolve));
  try {
    await eventually('the watcher looks', () => said.includes('watching'));
    const played = await act();
    child.kill('SIGTERM');
    await closed;
    return { played, seen };
  } finally {
    child.kill('SIGKILL');
  }
}

/** A server that answers slowly keeps git and its children where they can be seen. */
async function slowly(wishes: JobWishes): Promise<{ played: Played; seen: string }> {
  world.gitlab.behaviour.git = { delayMs: 400 };
  try {
    return await watched(() => world.play({ git: true, script: 'cat README.md', ...wishes }));
  } finally {
    delete world.gitlab.behaviour.git;
  }
}

/** Names of what lies in the job's scripts directory. */
async function scriptsOf({ facts }: StagedJob): Promise<string[]> {
  const all = (await filesBelow(join(account.home, '.jacamar-ci/scripts'))).map(({ path }) => path.split('/'));
  return all.filter((parts) => parts.at(-2) === String(facts.id)).map((parts) => parts.at(-1) ?? '');
}

test('an account that watches all through a job that clones never sees the job token', async () => {
  const { played, seen } = await slowly({});
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(seen, /git-remote-http|remote-http/, 'it saw the programs that would bear it');
  assert.ok(!seen.includes(played.facts.token));
});

test('with unrestricted_cmd_line it does, which shows that it would have', async () => {
  const { played, seen } = await slowly(unrestricted);
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.ok(seen.includes(played.facts.token));
});

test('the project can be fetched again in the script of the job, and in after_script', async () => {
  const script = ['git fetch origin', 'git ls-remote origin | head -1', 'git config --get-all remote.origin.url'];
  const { played, seen } = await slowly({ script, afterScript: ['git fetch origin && echo fetched'] });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^fetched$/m);
  assert.ok(!seen.includes(played.facts.token));
});

test('so it can after a profile, or a file named by BASH_ENV, that gives git settings of its own by the environment', async () => {
  const count = (number: number) => `GIT_CONFIG_COUNT=${number + 1} GIT_CONFIG_KEY_${number}=x.y${number}`;
  const profile = join(account.home, '.bash_profile');
  const file = join(account.home, 'bash-env');
  await writeFile(profile, `export BASH_ENV=~/bash-env ${count(0)} GIT_CONFIG_VALUE_0=one\n`);
  await writeFile(file, `export ${count(1)} GIT_CONFIG_VALUE_1=two\n`);
  const script = 'git fetch origin && git config x.y0 && git config x.y1';
  const { verdict, jobLog } = await world.play({ git: true, script });
  await Promise.all([profile, file].map((path) => rm(path)));
  assert.equal(verdict, 'success', jobLog);
  assert.match(jobLog, /^one\ntwo$/m);
});

test("an address with the token in a user's own script is kept from git's children in the project", async () => {
  const { played, seen } = await slowly({
    script: [
      'printf "[remote \\"own\\"]\\n\\turl = %s\\n" "http://gitlab-ci-token:$CI_JOB_TOKEN@${CI_SERVER_URL#http://}/demo/hello.git" >> .git/config',
      'git ls-remote own | head -1',
    ],
  });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, new RegExp(`^${played.facts.sha}`, 'm'));
  assert.ok(!seen.includes(played.facts.token));
});

test("credential helpers of the user's learn nothing of the job token", async () => {
  const settings = '[credential]\n\thelper = store --file=~/kept\n';
  await writeFile(join(account.home, '.gitconfig'), settings);
  await chown(join(account.home, '.gitconfig'), account.uid, account.gid);
  const played = await world.play({ git: true, script: 'git fetch origin; cat ~/kept || echo nothing kept' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^nothing kept$/m);
});

test('in other repositories the settings of the user hold', async () => {
  const show =
    'cd && git init -q other && git -C other config --get-all credential.helper && git -C other config --get-regexp url || echo no rules';
  const { jobLog } = await world.play({ git: true, script: [show] });
  assert.match(jobLog, /^store --file=~\/kept\nno rules$/m);
});

test('the artifact commands of the runner get the token by their environment', async () => {
  const directory = join(account.home, 'bin');
  await mkdir(directory);
  const program = join(directory, 'gitlab-runner');
  const text =
    '#!/bin/sh\nif [ "$1" = --version ]; then exit 0; fi\nprintf "[%s]" "$@"; echo; echo "token ${#CI_JOB_TOKEN}"; sleep 0.5; exit 3\n';
  await writeFile(program, text, { mode: 0o755 });
  const job = await (await world.stages({ git: true })).configured();
  const command = `export PATH=${directory}:$PATH; gitlab-runner --version; 'gitlab-runner' "artifacts-uploader" --url http://x --token ${job.facts.token} --id 7 'a b'`;
  const { stdout, outcome } = await job.run(command, 'upload_artifacts_on_success');
  assert.equal(stdout, `[artifacts-uploader][--url][http://x][--id][7][a b]\ntoken ${job.facts.token.length}\n`);
  assert.equal(outcome.kind === 'build-failure' && outcome.exitCode, 3);
});

test("older runners' `git remote add` with the token is taken care of in their own stages", async () => {
  const job = await (await world.stages({ git: true })).configured();
  const url = job.response.git_info.repo_url;
  const commands = `cd; rm -rf older; git init -q older; cd older; 'git' 'remote' 'add' 'origin' '${url}'; cat .git/config; type -t git`;
  const { stdout, stderr } = await job.run(commands, 'get_sources');
  assert.ok(url.includes(job.facts.token));
  assert.match(stdout, /url = http:\/\/127\.0\.0\.1/, stderr);
  assert.ok(!stdout.includes(job.facts.token));
  assert.match(stdout, /^function$/m);
});

test('the functions are for the stages of the runner; what users run finds git as it is', async () => {
  const job = await (await world.stages({ git: true })).configured();
  for (const stage of ['build_script', 'after_script', 'step_release']) {
    const { stdout } = await job.run('type -t git; env | grep -c BASH_FUNC || :', stage);
    assert.equal(stdout, 'file\n0\n');
  }
});

test('the private files are for the account only, and gone with the stage', async () => {
  const job = await (await world.stages({ git: true })).configured();
  const { stdout } = await job.run('cd "$(dirname "$0")"; stat -c "%a %U %n" pass*');
  assert.equal(stdout, `600 ${account.name} pass\n600 ${account.name} pass.gitconfig\n`);
  assert.deepEqual(await scriptsOf(job), ['build_script.bash']);
});

test('after a killed stage cleanup removes them, with retain_logs too', async () => {
  const options = { general: { retain_logs: true, kill_timeout: '1s' } };
  const job = await (await world.stages({ git: true, options })).configured();
  const call = job.start('echo "$PPID"; kill -KILL $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 60');
  await call.ended;
  assert.ok((await scriptsOf(job)).includes('pass'));
  await job.cleanup();
  assert.deepEqual(await scriptsOf(job), ['build_script.bash']);
});
