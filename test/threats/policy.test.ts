// What a site can ask of a job beyond its token: the rest of [auth] and of [general], the rules on claims, the table
// of mappings. Each rule lets in what it names and refuses the rest.

import assert from 'node:assert/strict';
import { chmod, chown, copyFile, lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { PrivateHost } from '../support/threats-host.ts';
import { allowed, ask, failed, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { gitlab, account } = world;
const [, target = account] = world.accounts;
// Everything that is waited for comes first: the world closes when no registered test is left.
const host = await PrivateHost.open(world);

const auth = (table: Record<string, unknown>, wishes: JobWishes = {}): JobWishes => ({
  ...wishes,
  options: { auth: table },
});
const general = (table: Record<string, unknown>, wishes: JobWishes = {}): JobWishes => ({
  ...wishes,
  options: { general: table },
});
const claims = (changes: Record<string, unknown>): JobWishes => ({
  token: (facts) => gitlab.tokenFor(facts, { claims: changes }),
});

/** What the rule is, a job that it lets in, one that it does not, and the code of that refusal. */
interface ClaimRule {
  readonly table: Record<string, unknown>;
  readonly good: readonly Record<string, unknown>[];
  readonly bad: readonly Record<string, unknown>[];
  readonly code: string;
}

const project = (path: string) => ({ job_project_path: path, project_path: path });
const namespace = (path: string) => ({ job_namespace_path: path, namespace_path: path });
const rules: ClaimRule[] = [
  {
    table: { pipeline_source_allowlist: ['push', 'web'] },
    good: [{}, { pipeline_source: 'web' }],
    bad: [{ pipeline_source: 'schedule' }, { pipeline_source: 'PUSH' }, { pipeline_source: '' }],
    code: 'ERR_PIPELINE_SOURCE',
  },
  {
    table: { project_allowlist: ['demo/hello', 'climate/model'] },
    good: [{}, project('climate/model')],
    bad: [project('demo/hello2'), project('demo'), project('Demo/hello'), project('x/demo/hello')],
    code: 'ERR_PROJECT_NOT_ALLOWED',
  },
  {
    table: { namespace_allowlist: ['demo', 'climate/ocean'] },
    good: [{}, namespace('demo/sub/sub'), namespace('climate/ocean')],
    bad: [namespace('demo2'), namespace('climate'), namespace('climate/oceanx'), namespace('x/demo')],
    code: 'ERR_NAMESPACE_NOT_ALLOWED',
  },
  {
    table: { require_protected_ref: true },
    good: [{}],
    bad: [{ ref_protected: 'false' }],
    code: 'ERR_REF_NOT_PROTECTED',
  },
  {
    table: { min_access_level: 'developer' },
    good: [{}, { user_access_level: 'maintainer' }, { user_access_level: 'owner' }],
    bad: [
      ...['guest', 'planner', 'reporter', 'Owner', 'admin', ''].map((user_access_level) => ({ user_access_level })),
      ...[{ user_access_level: null }, { user_access_level: undefined }],
    ],
    code: 'ERR_ACCESS_LEVEL',
  },
  {
    table: { runner_id_allowlist: [3, 17] },
    good: [{}, { runner_id: 17 }],
    bad: [{ runner_id: 4 }, { runner_id: undefined }],
    code: 'ERR_RUNNER_NOT_ALLOWED',
  },
];
for (const { table, good, bad, code } of rules) {
  test(`${Object.keys(table)[0]} lets in what it names and nothing else`, async () => {
    for (const each of good) await allowed(world, { ...claims(each), ...auth(table) });
    for (const each of bad) await refused(world, { ...claims(each), ...auth(table) }, code);
  });
  test(`${Object.keys(table)[0]} is off by default`, async () => {
    for (const each of bad) await allowed(world, claims(each));
  });
}

// ---- [[auth.mapping]]

const mapping = (...entries: Record<string, unknown>[]) => auth({ mapping: entries });

test('a mapping by login or user number replaces the name; the first entry that fits decides', async () => {
  const byLogin = await allowed(world, {
    ...mapping({ login: 'alice.example', account: target.name }),
    login: 'alice.example',
  });
  assert.equal(byLogin['account'], target.name);
  assert.equal((await allowed(world, mapping({ user_id: 7, account: target.name })))['account'], target.name);
  const both = mapping(
    { user_id: 7, login: 'other', account: 'root' },
    { user_id: 7, account: target.name },
    { user_id: 7, account: account.name },
  );
  assert.equal((await allowed(world, both))['account'], target.name);
  assert.equal((await allowed(world, mapping({ user_id: 8, account: target.name })))['account'], account.name);
});

test('a mapped account is judged like any other', async () => {
  await refused(world, mapping({ user_id: 7, account: 'root' }), 'ERR_ACCOUNT_RESERVED');
  await refused(world, mapping({ user_id: 7, account: 'daemon' }), 'ERR_ACCOUNT_UID');
  const listed = auth({ mapping: [{ user_id: 7, account: target.name }], user_blocklist: [target.name] });
  await refused(world, listed, 'ERR_USER_BLOCKED');
});

test('a user who is named for other projects only is refused', async () => {
  const entry = { user_id: 7, account: target.name, projects: ['climate/model'] };
  await refused(world, mapping(entry), 'ERR_MAPPING_PROJECT');
  await allowed(world, mapping({ ...entry, projects: ['climate/model', 'demo/hello'] }));
});

test('a bot or service account runs as a named account, in the projects of its entry and nowhere else', async () => {
  const bot: JobWishes = { login: 'project_20_bot_ab12', answer: { bot: true } };
  const entry = { login: 'project_20_bot_ab12', account: target.name };
  await refused(world, { ...bot, ...mapping(entry) }, 'ERR_BOT_ACCOUNT');
  const audit = await allowed(world, { ...bot, ...mapping({ ...entry, projects: ['demo/hello'] }) });
  assert.equal(audit['account'], target.name);
  await refused(world, { ...bot, ...mapping({ ...entry, projects: ['demo/other'] }) }, 'ERR_MAPPING_PROJECT');
  await refused(
    world,
    { ...bot, login: 'group_1_bot', ...mapping({ ...entry, projects: ['demo/hello'] }) },
    'ERR_BOT_ACCOUNT',
  );
});

// ---- the rest of [auth]

const hosted = (wishes: JobWishes) =>
  host.job({ ...wishes, options: { general: { data_dir: '$HOME' }, ...wishes.options } });

test('allow_bot_accounts lets in what is named like a bot and what the server calls one', async () => {
  await host.answer({ asked: 'project_1_bot', uid: 61501 });
  const bot: JobWishes = { login: 'project_1_bot', answer: { bot: true } };
  await refused(world, await host.job(bot), 'ERR_BOT_ACCOUNT');
  await allowed(world, await host.job({ ...bot, options: { auth: { allow_bot_accounts: true } } }));
});

for (const [file, title] of [
  ['/etc/nologin', '/etc/nologin'],
  ['/run/nologin', '/var/run/nologin'],
] as const) {
  test(`enforce_nologin: while ${title} exists jobs are refused with its text; without the key they are not`, async () => {
    const wishes = { options: { auth: { enforce_nologin: true } } };
    await allowed(world, await hosted(wishes));
    await writeFile(host.at(file), 'Maintenance until Friday.\n', { mode: 0o644 });
    const told = /^This host takes no jobs at the moment\.\nMaintenance until Friday\. \(reference [0-9a-f]{8}\)\n$/;
    await refused(world, await hosted(wishes), 'ERR_NOLOGIN', { told, reason: new RegExp(title) });
    await allowed(world, await hosted({}));
    await writeFile(host.at(file), '');
    await refused(world, await hosted(wishes), 'ERR_NOLOGIN', { told: /^This host takes no jobs at the moment\. / });
    await rm(host.at(file));
  });
}

test('run_stage_allowlist: step_script and build_script are one', async () => {
  const wishes = {
    ...auth({ run_stage_allowlist: ['prepare_script', 'get_sources', 'step_script'] }),
    script: 'echo built',
  };
  const played = await world.play(wishes);
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^built$/m);
});

test('run_stage_allowlist: a stage that is not on it is skipped with a warning, and the job goes on', async () => {
  const wishes: JobWishes = {
    ...auth({ run_stage_allowlist: ['prepare_script', 'get_sources', 'build_script'] }),
    script: 'echo built',
    afterScript: ['echo after'],
  };
  const played = await world.play(wishes);
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^built$/m);
  assert.doesNotMatch(played.jobLog, /^after$/m);
  assert.match(played.jobLog, /^Skipping after_script: this runner's administrator does not allow it\.$/m);
  const warnings = played.log.filter(({ msg }) => /^run stage skipped/.test(msg));
  assert.deepEqual(
    warnings.map(({ level, details }) => [level, details?.['runStage']]),
    [
      ['WARN', 'after_script'],
      ['WARN', 'cleanup_file_variables'],
    ],
  );
});

test('no_new_privs is set for the job, or not', async () => {
  for (const [no_new_privs, bit] of [
    [true, '1'],
    [false, '0'],
  ] as const) {
    const played = await world.play({ ...auth({ no_new_privs }), script: 'grep ^NoNewPrivs: /proc/self/status' });
    assert.match(played.jobLog, new RegExp(`^NoNewPrivs:\\s*${bit}$`, 'm'));
  }
});

test("root_dir_creation makes the account's directory, 0700, below one that only root can write to", async () => {
  const data_dir = await rootsDirectory(0o755);
  const wishes = { options: { general: { data_dir }, auth: { root_dir_creation: true } } };
  const played = await world.play({ ...wishes, script: 'pwd' });
  assert.equal(played.verdict, 'success', played.jobLog);
  const { uid, gid, mode } = await lstat(join(data_dir, account.name));
  assert.deepEqual([uid, gid, mode & 0o7777], [account.uid, account.gid, 0o700]);
  const without = await world.play({ ...general({ data_dir: await rootsDirectory(0o755) }), script: 'pwd' });
  assert.notEqual(without.verdict, 'success');
});

test('root_dir_creation gives nothing away that is there already: a link, a directory of another, a file', async () => {
  const prize = await rootsDirectory(0o700);
  const traps: Record<string, (path: string) => Promise<unknown>> = {
    'a symbolic link': (path) => symlink(prize, path),
    'a link to nothing': (path) => symlink('/nonexistent', path),
    "another's directory": async (path) => {
      await mkdir(path, { mode: 0o755 });
      await chown(path, target.uid, target.gid);
    },
    "root's directory": (path) => mkdir(path, { mode: 0o755 }),
    'a file': (path) => writeFile(path, ''),
  };
  for (const [what, lay] of Object.entries(traps)) {
    const data_dir = await rootsDirectory(0o755);
    const path = join(data_dir, account.name);
    await lay(path);
    const before = await lstat(path);
    const { record } = await ask(world, { options: { general: { data_dir }, auth: { root_dir_creation: true } } });
    assert.equal(record.outcome.kind, 'system-failure', what);
    const after = await lstat(path);
    assert.deepEqual(
      [after.uid, after.gid, after.mode, after.ino],
      [before.uid, before.gid, before.mode, before.ino],
      what,
    );
    assert.equal((await lstat(prize)).uid, 0, what);
  }
});

test('root_dir_creation makes nothing where others can write, or below what is not there', async () => {
  for (const mode of [0o777, 0o775]) {
    const data_dir = await rootsDirectory(mode);
    const { record } = await ask(world, { options: { general: { data_dir }, auth: { root_dir_creation: true } } });
    assert.equal(record.outcome.kind, 'system-failure');
    await assert.rejects(lstat(join(data_dir, account.name)), { code: 'ENOENT' });
  }
});

test('jacamar_path names the program, which only root may be able to write', async () => {
  const copy = join(world.installation.prefix, 'bin', 'jacamar');
  await allowed(world, auth({ jacamar_path: copy }));
  const open = world.at('jacamar');
  await copyFile(copy, open);
  await chmod(open, 0o777);
  const { record } = await ask(world, auth({ jacamar_path: open }));
  assert.equal(record.outcome.kind, 'system-failure');
  const missing = await ask(world, auth({ jacamar_path: '/nonexistent/jacamar' }));
  assert.match(JSON.stringify(missing.log), /ERR_CONFIG_JACAMAR_PATH/);
});

// ---- [general], as far as authorization reads it

test('gitlab_server is the issuer that counts, with or without a slash at its end', async () => {
  await allowed(world, general({ gitlab_server: gitlab.url }));
  await allowed(world, general({ gitlab_server: `${gitlab.url}/` }));
  const elsewhere = general({ gitlab_server: gitlab.url.replace('127.0.0.1', 'localhost') });
  await refused(world, elsewhere, 'ERR_TOKEN_CLAIM', { reason: /claim iss/ });
});

test('without gitlab_server a job whose repository lies elsewhere than its server is a fault of the site', async () => {
  const forge: NonNullable<JobWishes['forge']> = (job) => ({
    ...job,
    git_info: { ...job.git_info, repo_url: 'https://gitlab.example.com/demo/hello.git' },
  });
  await failed(world, { forge }, 'ERR_SERVER_UNKNOWN', /Set general\.gitlab_server/);
});

test('jwt_env_variable names the token; without one of that name CI_JOB_JWT is taken, with advice to the user', async () => {
  const wishes = general({ jwt_env_variable: 'SITE_ID_TOKEN' });
  const { record, log } = await ask(world, wishes);
  assert.equal(record.outcome.kind, 'success', record.stderr);
  const [first, ...rest] = record.stderr.split('\n');
  assert.equal(
    first,
    'No id_token found on SITE_ID_TOKEN variable. Please update your CI job to include the following:',
  );
  assert.deepEqual(rest.slice(0, 4), ['', '  id_tokens:', '    SITE_ID_TOKEN:', `      aud: ${gitlab.url}`]);
  assert.ok(log.some(({ level, msg }) => level === 'WARN' && /no ID token in the variable/.test(msg)));
  // The runner's file names the job; its own token under the site's name is enough.
  const job = await world.stages();
  const value = job.response.variables.find(({ key }) => key === 'CI_JOB_JWT')?.value ?? '';
  await job.close();
  const named = await ask(world, {
    ...wishes,
    facts: job.facts,
    token: null,
    variables: [{ key: 'SITE_ID_TOKEN', value }],
  });
  assert.equal(named.record.outcome.kind, 'success');
  assert.equal(named.record.stderr, '');
});

test('job_message is shown, and name stands in every line of the log', async () => {
  const played = await world.play(general({ job_message: 'Questions? support@example.com', name: 'login nodes' }));
  assert.match(played.jobLog, /^Questions\? support@example\.com$/m);
  assert.ok(played.log.length > 5);
  assert.ok(played.log.every(({ name }) => name === 'login nodes'));
});

async function rootsDirectory(mode: number): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jt_roots_'));
  world.onClose(() => rm(path, { recursive: true, force: true }));
  await chmod(path, mode);
  return path;
}
