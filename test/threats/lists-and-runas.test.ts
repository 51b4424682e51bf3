// Group B of the threat cases: the lists of accounts and groups, and the site's own RunAs script. Numbers are those of
// docs/threats.md.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { allGone, allProcesses } from '../support/processes.ts';
import { allowed, ask, auditLine, failed, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{ groups: 2 }, {}] });
const { account, gitlab } = world;
const [, target = account] = world.accounts;
const [groupA = '', groupB = ''] = account.groups;
const auth = (table: Record<string, unknown>, wishes: JobWishes = {}): JobWishes => ({
  ...wishes,
  options: { auth: table },
});

/** Takes half a minute, so that it begins first and is looked at later. */
const hanging = hang();

// ---- lists

const other = 'jt_someone_else';
const userAllow = { absent: undefined, 'the user': [other, account.name], others: [other] };
const userBlock = { nobody: [], 'the user': [other, account.name] };
const groupBlock = { none: [] as string[], 'a group of the user': [groupB], 'another group': ['daemon'] };
const groupAllow = { absent: undefined, 'a group of the user': ['daemon', groupA], 'another group': ['daemon'] };

/** The documented order, written down a second time: what the first list that speaks of the user says. */
function documented(lists: { ua: string; ub: string; gb: string; ga: string }): [string, string] {
  if (lists.ua === 'the user') return ['allowed', `user_allowlist: ${account.name}`];
  if (lists.ub === 'the user') return ['refused', 'ERR_USER_BLOCKED'];
  if (lists.gb === 'a group of the user') return ['refused', 'ERR_GROUP_BLOCKED'];
  if (lists.ga === 'a group of the user') return ['allowed', `groups_allowlist: ${groupA}`];
  const open = lists.ua === 'absent' && lists.ga === 'absent';
  return open ? ['allowed', 'no allowlist'] : ['refused', 'ERR_NOT_ALLOWED'];
}

for (const [ua, user_allowlist] of Object.entries(userAllow)) {
  for (const [ub, user_blocklist] of Object.entries(userBlock)) {
    test(`case 23: user_allowlist: ${ua}, user_blocklist: ${ub}, with every combination of the group lists`, async () => {
      for (const [gb, groups_blocklist] of Object.entries(groupBlock)) {
        for (const [ga, groups_allowlist] of Object.entries(groupAllow)) {
          const wishes = auth({ user_allowlist, user_blocklist, groups_blocklist, groups_allowlist });
          const { record, log } = await ask(world, wishes);
          const { result, rule } = auditLine(log);
          assert.deepEqual([result, rule], documented({ ua, ub, gb, ga }), JSON.stringify({ gb, ga }));
          assert.equal(record.outcome.kind, result === 'allowed' ? 'success' : 'build-failure');
        }
      }
    });
  }
}

for (const key of ['groups_allowlist', 'groups_blocklist']) {
  test(`case 24: a group on ${key} that does not exist is the administrator's error, not a list of nobody`, async () => {
    const wishes = auth({ [key]: ['jt_no_such_group'] });
    await failed(world, wishes, 'ERR_CONFIG_GROUP_UNKNOWN', /names "jt_no_such_group", which is no group/);
  });
}

test('case 25: lists compare byte for byte, without regard to nothing', async () => {
  const upper = account.name.toUpperCase();
  await allowed(
    world,
    auth({ user_blocklist: [upper, `${account.name}x`, account.name.slice(0, -1), `${account.name}\u0301`] }),
  );
  await refused(world, auth({ user_allowlist: [upper, `${account.name}x`] }), 'ERR_NOT_ALLOWED');
});

for (const entry of ['alice ', ' alice', 'alice\n', '']) {
  test(`case 25: the list entry ${JSON.stringify(entry)} is an error of the configuration`, async () => {
    const { record } = await ask(world, auth({ user_blocklist: [entry] }));
    assert.equal(record.outcome.kind, 'system-failure');
  });
}

test('case 25: an allowlist that is written but empty is an error of the configuration', async () => {
  for (const key of ['user_allowlist', 'groups_allowlist', 'shell_allowlist', 'pipeline_source_allowlist']) {
    const { record } = await ask(world, auth({ [key]: [] }));
    assert.equal(record.outcome.kind, 'system-failure', key);
  }
});

// ---- RunAs

let scripts = 0;

/** A RunAs script as an administrator has it: root's, 0700, in a directory of root. */
async function script(text: string): Promise<string> {
  scripts += 1;
  const path = world.at(`runas-${scripts}`);
  await writeFile(path, text, { mode: 0o700 });
  return path;
}

async function runAs(text: string, runas: Record<string, unknown> = {}, wishes: JobWishes = {}): Promise<JobWishes> {
  const validation_script = await script(text);
  return { ...wishes, options: { auth: { ...wishes.options?.auth, runas: { validation_script, ...runas } } } };
}

const bash = (...lines: string[]) => ['#!/bin/bash', ...lines, ''].join('\n');
const prints = (text: string) => bash(`printf %s '${text}'`);
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

test("the admin tutorial's script, as printed, maps one login and refuses all others", async () => {
  const printed = (login: string, local: string) =>
    `#!/bin/bash\n\nif [ "$1" == "${login}" ] ; then\n  echo '{"username":"${local}"}'\n  exit 0\nfi\nexit 1\n`;
  const wishes = await runAs(printed('gitlabUsername', target.name));
  const audit = await allowed(world, { ...wishes, login: 'gitlabUsername' });
  assert.deepEqual([audit['login'], audit['account'], audit['uid']], ['gitlabUsername', target.name, target.uid]);
  await refused(world, wishes, 'ERR_RUNAS_REFUSED', { reason: /exit status 1/ });
});

test('case 26: a RunAs script that others could have written is not run', async () => {
  const marker = world.at('unsafe-ran');
  const text = bash(`touch ${marker}`);
  const places: Record<string, () => Promise<string>> = {
    'writable by its group': async () => withMode(await script(text), 0o720),
    'writable by all': async () => withMode(await script(text), 0o702),
    "the user's": async () => owned(await script(text), account.uid),
    'a symbolic link into a home': async () => {
      await world.writeHome('evil', text);
      const link = world.at('link');
      await symlink(join(account.home, 'evil'), link);
      return link;
    },
    'in a home': async () => {
      const path = join(account.home, 'root-owned');
      await writeFile(path, text, { mode: 0o700 });
      return path;
    },
    'in a directory that all can write to': async () => {
      const directory = await mkdtemp(join(tmpdir(), 'jt_open_'));
      world.onClose(() => rm(directory, { recursive: true, force: true }));
      await chmod(directory, 0o777);
      await writeFile(join(directory, 'script'), text, { mode: 0o700 });
      return join(directory, 'script');
    },
    'a directory': async () => {
      await mkdir(world.at('directory'));
      return world.at('directory');
    },
    'not there': async () => world.at('nothing'),
  };
  for (const [what, make] of Object.entries(places)) {
    const { log } = await failed(world, auth({ runas: { validation_script: await make() } }), 'ERR_RUNAS_SCRIPT');
    assert.match(JSON.stringify(log), /auth\.runas\.validation_script/, what);
  }
  assert.ok(!existsSync(marker));
});

test('case 27: the script that is run is the one whose checksum was taken, however often its name changes hands', async () => {
  const good = bash(`echo '{"username":"${target.name}"}'`);
  const marker = world.at('exchanged-ran');
  const evil = bash(`touch ${marker}`, `echo '{"username":"${account.name}"}'`);
  const validation_script = await script(good);
  const wishes = auth({ runas: { validation_script, sha256: digest(good) } });
  let racing = true;
  const race = (async () => {
    for (let turn = 0; racing; turn += 1) {
      const next = `${validation_script}.next`;
      await writeFile(next, turn % 2 === 0 ? evil : good, { mode: 0o700 });
      await rename(next, validation_script);
    }
  })();
  const outcomes = [];
  for (let round = 0; round < 12; round += 1) outcomes.push(await ask(world, wishes));
  racing = false;
  await race;
  for (const { record, log } of outcomes) {
    if (record.outcome.kind === 'success') assert.equal(auditLine(log)['account'], target.name);
    else assert.match(JSON.stringify(log), /ERR_RUNAS_SCRIPT/);
  }
  assert.ok(!existsSync(marker), 'the other script never ran');
});

test('case 28: a script whose checksum is another one is not run', async () => {
  const marker = world.at('checksum-ran');
  const text = bash(`touch ${marker}`);
  await failed(world, await runAs(text, { sha256: digest('something else') }), 'ERR_RUNAS_SCRIPT', /SHA-256 checksum/);
  assert.ok(!existsSync(marker));
  await allowed(world, await runAs(text, { sha256: digest(text).toUpperCase() }));
  assert.ok(existsSync(marker));
});

const replies: Record<string, [string, string]> = {
  'more than 64 KiB': [bash('head -c 100000000 /dev/zero | tr "\\0" " "'), 'ERR_RUNAS_BROKEN'],
  'invalid JSON': [prints('username=bob'), 'ERR_RUNAS_REPLY'],
  'two objects': [prints('{"username":"a"}{"username":"b"}'), 'ERR_RUNAS_REPLY'],
  'one key twice': [prints(`{"username":"${target.name}","username":"root"}`), 'ERR_RUNAS_REPLY'],
  'an unknown key': [prints('{"uid":0}'), 'ERR_RUNAS_REPLY'],
  'an array': [prints('["bob"]'), 'ERR_RUNAS_REPLY'],
  'a number as name': [prints('{"username":0}'), 'ERR_RUNAS_REPLY'],
  'an array as name': [prints('{"username":["bob"]}'), 'ERR_RUNAS_REPLY'],
  'null as name': [prints('{"username":null}'), 'ERR_RUNAS_REPLY'],
  'a prototype': [prints('{"__proto__":{"username":"root"}}'), 'ERR_RUNAS_REPLY'],
  'NUL bytes': [bash(`printf '{"username":"${target.name}\\0"}'`), 'ERR_RUNAS_REPLY'],
  'bytes that are not UTF-8': [bash(`printf '{"user_message":"\\xff"}'`), 'ERR_RUNAS_REPLY'],
  'a relative data_dir': [prints('{"data_dir":"../x"}'), 'ERR_RUNAS_REPLY'],
  root: [prints('{"username":"root"}'), 'ERR_ACCOUNT_RESERVED'],
  'a system account': [prints('{"username":"daemon"}'), 'ERR_ACCOUNT_UID'],
  'a name with a blank in front': [prints(`{"username":" ${target.name}"}`), 'ERR_ACCOUNT_NAME'],
  'an empty name': [prints('{"username":""}'), 'ERR_ACCOUNT_NAME'],
  'an account that does not exist': [prints('{"username":"jt_not_here"}'), 'ERR_ACCOUNT_UNKNOWN'],
};
for (const [what, [text, code]] of Object.entries(replies)) {
  test(`case 29: a script that prints ${what} gets the job refused`, async () => {
    await refused(world, await runAs(text), code);
  });
}

test('case 29: a script that prints nothing overrides nothing', async () => {
  const audit = await allowed(world, await runAs(bash('exit 0')));
  assert.equal(audit['account'], account.name);
});

test('case 29: the account that the script names passes the lists and the shell rule', async () => {
  const text = prints(`{"username":"${target.name}"}`);
  const table = (lists: Record<string, unknown>) => runAs(text, {}, auth(lists));
  await refused(world, await table({ user_blocklist: [target.name] }), 'ERR_USER_BLOCKED');
  await refused(world, await table({ user_allowlist: [account.name] }), 'ERR_NOT_ALLOWED');
  await refused(world, await table({ shell_allowlist: ['/bin/zsh'] }), 'ERR_SHELL_NOT_ALLOWED');
  await allowed(world, await table({ user_blocklist: [account.name] }));
});

test('lists_pre_validation asks the lists about the login before the script is run, and about its answer after', async () => {
  const marker = world.at('asked');
  const text = bash(`touch ${marker}`, `echo '{"username":"${target.name}"}'`);
  const table = (lists: Record<string, unknown>) => runAs(text, {}, auth({ lists_pre_validation: true, ...lists }));
  await refused(world, await table({ user_blocklist: [account.name] }), 'ERR_USER_BLOCKED');
  assert.ok(!existsSync(marker), 'the script was not asked');
  await refused(world, await table({ user_blocklist: [target.name] }), 'ERR_USER_BLOCKED');
  assert.ok(existsSync(marker), 'the script was asked');
  await refused(world, await table({ groups_blocklist: [groupA] }), 'ERR_GROUP_BLOCKED');
});

const endings: Record<string, [string, string, RegExp]> = {
  'ends with a status, whatever it printed': [
    bash(`echo '{"username":"${target.name}"}'`, 'exit 3'),
    'ERR_RUNAS_REFUSED',
    /exit status 3/,
  ],
  'is killed by a signal': [
    bash(`echo '{"username":"${target.name}"}'`, 'kill -9 $$'),
    'ERR_RUNAS_REFUSED',
    /signal 9/,
  ],
  'cannot be executed': ['#!/no/such/interpreter\n', 'ERR_RUNAS_SCRIPT', /./],
};
for (const [what, [text, code, reason]] of Object.entries(endings)) {
  test(`case 30: a script that ${what} gets nobody in`, async () => {
    const wishes = await runAs(text);
    if (code === 'ERR_RUNAS_SCRIPT') await failed(world, wishes, code, reason);
    else await refused(world, wishes, code, { reason });
  });
}

test('case 30: a script that leaves a daemon with its output open gets the job refused at once', async () => {
  const wishes = await runAs(bash(`${sleepFor(1234)} & echo '{"username":"${target.name}"}'`));
  const started = performance.now();
  await refused(world, wishes, 'ERR_RUNAS_BROKEN', { reason: /kept its output open/ });
  assert.ok(performance.now() - started < 29_000);
  await allGone('the daemon', await pidsOf(sleepFor(1234)));
});

test('case 30: a script that hangs is killed after 30 seconds, with what it started', async () => {
  const took = await hanging;
  assert.ok(took < 90_000, `${took} ms`);
  await allGone('what the script started', [...(await pidsOf(sleepFor(2345))), ...(await pidsOf(sleepFor(3456)))]);
});

const asks = (value: string): JobWishes => ({ variables: [{ key: 'SERVICE', value }] });
for (const value of ['bob; id', '$(id)', '`id`', 'a b', '-u', '../x', 'a\nb', 'é', 'x'.repeat(100_000)]) {
  test(`case 31: the wish for account ${JSON.stringify(value.slice(0, 20))} reaches no script, and the user is told`, async () => {
    const marker = world.at('wish-ran');
    const wishes = await runAs(bash(`touch ${marker}`), { user_variable: 'SERVICE' }, asks(value));
    const told = /^The CI variable SERVICE holds ".*", which is no name of an account\. \(reference [0-9a-f]{8}\)\n$/;
    await refused(world, wishes, 'ERR_RUNAS_TARGET', { told });
    assert.ok(!existsSync(marker));
  });
}

test('case 31: a wish is one argument, before the login; without one the login stands alone', async () => {
  const text = bash(
    '[ "$#|$1|$2" = "2|svc.climate|$JWT_USER_LOGIN" ] || exit 9',
    `echo '{"username":"${target.name}"}'`,
  );
  const audit = await allowed(world, await runAs(text, { user_variable: 'SERVICE' }, asks('svc.climate')));
  assert.equal(audit['account'], target.name);
  const alone = bash('[ "$#|$1" = "1|$JWT_USER_LOGIN" ] || exit 9', '[ -z "${RUNAS_TARGET_USER+x}" ] || exit 8');
  await allowed(world, await runAs(alone, { user_variable: 'SERVICE' }));
  await allowed(world, await runAs(alone, {}, asks('svc.climate')));
});

test('case 31: a wish that the script approves without a word is granted, and judged like any account', async () => {
  const approve = bash('exit 0');
  const audit = await allowed(world, await runAs(approve, { user_variable: 'SERVICE' }, asks(target.name)));
  assert.equal(audit['account'], target.name);
  await refused(world, await runAs(approve, { user_variable: 'SERVICE' }, asks('root')), 'ERR_ACCOUNT_RESERVED');
});

test('case 32: the script finds a clean environment, three descriptors, its own session, and nothing of the job', async () => {
  const report = world.at('report');
  const text = bash(
    `exec >${report} 2>&1`,
    'tr "\\0" "\\n" </proc/$$/environ',
    'echo "cwd $PWD"; echo "umask $(umask)"; echo "stdin $(readlink /proc/$$/fd/0)"',
    'echo "session $(ps -o sid= -p $$ | tr -d " ") $$"; echo "tty $(ps -o tty= -p $$)"',
    'find /proc/$$/fd -type l -printf "fd %f %l\\n"',
    'grep -E "^(Cap(Inh|Amb)|Groups)" /proc/$$/status',
  );
  const runas = { validation_env: ['SITE=cluster1', 'JWT_JOB_ID=1', 'PATH=/evil', 'RUNAS_CURRENT_USER=root'] };
  const environment = { LD_PRELOAD: '/evil.so', BASH_ENV: '/evil', NODE_OPTIONS: '--evil', SECRET_OF_RUNNER: 's3cret' };
  const wishes = await runAs(text, runas, {
    settings: { environment: { PATH: '/usr/bin:/bin', ...environment } },
    variables: [{ key: 'SECRET_OF_JOB', value: 's3cret' }],
  });
  await allowed(world, wishes);
  const found = await readFile(report, 'utf8');
  const expected = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    LANG: 'C.UTF-8',
    SITE: 'cluster1',
    RUNAS_CURRENT_USER: account.name,
    JWT_USER_LOGIN: account.name,
    JWT_USER_EMAIL: `${account.name}@example.com`,
    JWT_USER_ID: '7',
    JWT_NAMESPACE_ID: '72',
    JWT_PROJECT_ID: '20',
    JWT_PROJECT_PATH: 'demo/hello',
    JWT_PIPELINE_ID: '501',
    JWT_PIPELINE_SOURCE: 'push',
    JWT_ISS: gitlab.url,
  };
  const names = [...found.matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name);
  assert.deepEqual(names.toSorted(), [...Object.keys(expected), 'JWT_JOB_ID'].toSorted());
  for (const [name, value] of Object.entries(expected))
    assert.ok(found.includes(`${name}=${value}\n`), `${name}\n${found}`);
  assert.doesNotMatch(found, /JWT_JOB_ID=1\n|s3cret|eyJ|CUSTOM_ENV/);
  assert.match(found, /^cwd \/$/m);
  assert.match(found, /^umask 0077$/m);
  assert.match(found, /^stdin \/dev\/null$/m);
  assert.match(found, /^session (\d+) \1$/m);
  assert.match(found, /^tty \?$/m);
  const descriptors = [...found.matchAll(/^fd (\d+) (.*)$/gm)].map(
    ([, fd, to]) => `${Number(fd) > 2 ? 'more' : fd} ${to}`,
  );
  const own = world.at(`runas-${scripts}`);
  const expectedOpen = ['0 /dev/null', `1 ${report}`, `2 ${report}`, `more ${own}`];
  assert.deepEqual([...new Set(descriptors)].toSorted(), expectedOpen, 'beyond the three only the script itself');
  assert.match(found, /^CapInh:\s*0+$/m);
  assert.match(found, /^CapAmb:\s*0+$/m);
});

test('case 32: external identities of the user are told to the script by provider', async () => {
  const user_identities = [
    { provider: 'ldap-main', extern_uid: 'uid=alice' },
    { provider: 'x\ny', extern_uid: 'z' },
  ];
  const text = bash('[ "$JWT_IDENTITY_LDAP_MAIN|$JWT_IDENTITY_X_Y" = "uid=alice|z" ]');
  const token: JobWishes['token'] = (facts) => gitlab.tokenFor(facts, { claims: { user_identities } });
  await allowed(world, await runAs(text, {}, { token }));
});

test('the data_dir that the script names is the one of this job, user_message is shown, error_message is not', async () => {
  const data_dir = await mkdtemp(join(tmpdir(), 'jt_runas_'));
  world.onClose(() => rm(data_dir, { recursive: true, force: true }));
  await chmod(data_dir, 0o1777);
  const reply = { data_dir, user_message: 'Moved for the upgrade.', error_message: 'INTERNAL-1234' };
  const played = await world.play({ ...(await runAs(prints(JSON.stringify(reply)))), script: 'pwd' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^Moved for the upgrade\.$/m);
  assert.match(played.jobLog, new RegExp(`^${data_dir}/${account.name}/builds/`, 'm'));
  assert.doesNotMatch(played.jobLog, /INTERNAL-1234/);
});

test('a refusing script tells the user its user_message, the administrator its error_message, and neither a control character', async () => {
  const reply = JSON.stringify({ user_message: 'Ask \u001b[31mhpc-support', error_message: 'not in project\nX' });
  const told = /^Ask \\u001b\[31mhpc-support \(reference [0-9a-f]{8}\)\n$/;
  await refused(world, await runAs(bash(`printf %s '${reply}'`, 'exit 1')), 'ERR_RUNAS_REFUSED', {
    told,
    reason: /not in project/,
  });
});

async function hang(): Promise<number> {
  const path = world.at('hanging');
  await writeFile(path, `#!/bin/bash\n${sleepFor(2345)} &\n${sleepFor(3456)}\n`, { mode: 0o700 });
  const started = performance.now();
  const wishes = { options: { auth: { runas: { validation_script: path } } } };
  await refused(world, wishes, 'ERR_RUNAS_BROKEN', { reason: /longer than 30 s/ });
  return performance.now() - started;
}

async function withMode(path: string, mode: number): Promise<string> {
  await chmod(path, mode);
  return path;
}

async function owned(path: string, uid: number): Promise<string> {
  await chown(path, uid, uid);
  return path;
}

/** A command of this run alone: other runs of this file may be going on. */
function sleepFor(seconds: number): string {
  return `sleep ${seconds}.${process.pid}`;
}

async function pidsOf(command: string): Promise<number[]> {
  return (await allProcesses()).filter((each) => each.command === command).map(({ pid }) => pid);
}
