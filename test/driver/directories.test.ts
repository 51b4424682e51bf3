// Where a job's files go, and who may own what is there already.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, lchown, lstat, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { changeAccounts, type TestAccount } from '../support/accounts.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { account } = world;
const [, other = account] = world.accounts;
const base = join(account.home, '.jacamar-ci');

/** A directory that accounts can reach. */
async function place(mode: number): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jt_data_'));
  world.onClose(() => rm(path, { recursive: true, force: true }));
  await chmod(path, mode);
  return path;
}

/** Puts something else where the base directory would be. */
async function withBase(make: (path: string) => Promise<unknown>): Promise<void> {
  await rm(base, { recursive: true, force: true });
  await make(base);
}

async function symlinkOf({ uid, gid }: TestAccount, target: string, path: string): Promise<void> {
  await symlink(target, path);
  await lchown(path, uid, gid);
}

async function configured(wishes: JobWishes = {}) {
  const job = await world.stages(wishes);
  const record = await job.config();
  const buildsDir = record.outcome.kind === 'success' ? String(JSON.parse(record.stdout).builds_dir) : undefined;
  return { job, record, buildsDir };
}

test('elsewhere than in the home, a directory named after the account is made', async () => {
  const data = await place(0o1777);
  const played = await world.play({ options: { general: { data_dir: data } }, script: 'pwd' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, new RegExp(`^${data}/${account.name}/builds/000/demo/hello$`, 'm'));
  const { mode, uid } = await lstat(join(data, account.name));
  assert.deepEqual([mode & 0o7777, uid], [0o700, account.uid]);
});

test('who has no home is told so; what helps elsewhere is not advised there', async () => {
  const away = `${account.home}.away`;
  await rename(account.home, away);
  try {
    const { record } = await configured();
    assert.equal(record.outcome.kind, 'system-failure');
    assert.match(record.stderr, /cannot be made: .*home directory/);
    assert.doesNotMatch(record.stderr, /root_dir_creation/);
  } finally {
    await rename(away, account.home);
  }
  const elsewhere = await configured({ options: { general: { data_dir: await place(0o755) } } });
  assert.match(elsewhere.record.stderr, /cannot be made: .*root_dir_creation/);
});

test('$USER in data_dir stands for the account', async () => {
  const data = await place(0o1777);
  const { buildsDir } = await configured({ options: { general: { data_dir: `${data}/$USER/ci` } } });
  assert.equal(buildsDir, `${data}/${account.name}/ci/builds/000`);
});

test('below a directory of root the account cannot make its own, and is told so', async () => {
  const data = await place(0o755);
  const { record } = await configured({ options: { general: { data_dir: data } } });
  assert.equal(record.outcome.kind, 'system-failure');
  assert.match(record.stderr, new RegExp(`^The directory ${data}/${account.name} cannot be made: you may not write`));
  assert.ok(!existsSync(join(data, account.name)));
});

test('root_dir_creation makes it for the account, and takes over nothing that is there', async () => {
  const data = await place(0o755);
  const options = { general: { data_dir: data }, auth: { root_dir_creation: true } };
  const { record } = await configured({ options });
  assert.equal(record.outcome.kind, 'success', record.stderr);
  const { mode, uid, gid } = await lstat(join(data, account.name));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o700, account.uid, account.gid]);

  await mkdir(join(data, other.name), { mode: 0o700 });
  await chown(join(data, other.name), account.uid, account.gid);
  const foreign = await configured({ login: other.name, options });
  assert.equal(foreign.record.outcome.kind, 'system-failure');
  assert.equal((await lstat(join(data, other.name))).uid, account.uid);
});

test('root_dir_creation makes the level of the account where $USER stands in the middle, and nothing in a home', async () => {
  const data = await place(0o755);
  const middle = { general: { data_dir: `${data}/$USER/ci` }, auth: { root_dir_creation: true } };
  const { buildsDir, record } = await configured({ options: middle });
  assert.equal(buildsDir, join(data, account.name, 'ci/builds/000'), record.stderr);
  for (const path of [join(data, account.name), join(data, account.name, 'ci')]) {
    const { mode, uid } = await lstat(path);
    assert.deepEqual([mode & 0o7777, uid], [0o700, account.uid], path);
  }
  const home = await configured({ options: { auth: { root_dir_creation: true } } });
  assert.equal(home.buildsDir, join(base, 'builds/000'), home.record.stderr);
});

test('root_dir_creation and group_permissions go together', async () => {
  const data = await place(0o755);
  const options = { general: { data_dir: data, group_permissions: true }, auth: { root_dir_creation: true } };
  assert.equal((await configured({ options })).record.outcome.kind, 'success');
  const { mode, uid } = await lstat(join(data, account.name));
  assert.deepEqual([mode & 0o7777, uid], [0o750, account.uid]);
});

test('root_dir_creation works in the data_dir that the RunAs script names, up to its end', async () => {
  const data = await place(0o755);
  const validation_script = world.at('names-data-dir');
  await writeFile(
    validation_script,
    `#!/bin/sh\necho '{"data_dir":"${data}/$USER"}'\n`.replace('$USER', '\\u0024USER'),
  );
  await chmod(validation_script, 0o700);
  const options = { auth: { root_dir_creation: true, runas: { validation_script } } };
  const job = await world.stages({ options });
  const record = await job.config();
  assert.equal(record.outcome.kind, 'success', record.stderr);
  assert.equal(JSON.parse(record.stdout).builds_dir, join(data, account.name, 'builds/000'));
  const { outcome } = await job.run('true');
  assert.equal(outcome.kind, 'success');
  assert.deepEqual(await readdir(join(data, account.name, 'scripts/TrialRunn/000/demo/hello')), [String(job.facts.id)]);
  await job.cleanup();
  assert.deepEqual(await readdir(join(data, account.name, 'scripts')), []);
});

test('a base directory of somebody else is refused', async () => {
  const data = await place(0o1777);
  await mkdir(join(data, account.name), { mode: 0o755 });
  await chmod(join(data, account.name), 0o777);
  await chown(join(data, account.name), other.uid, other.gid);
  const { record } = await configured({ options: { general: { data_dir: data } } });
  assert.equal(record.outcome.kind, 'system-failure');
  assert.match(record.stderr, new RegExp(`${data}/${account.name} is owned by uid ${other.uid}, not by you`));
});

for (const mode of [0o755, 0o750, 0o701]) {
  test(`a base directory with mode 0${mode.toString(8)} fails the job once and says what to do`, async () => {
    await withBase(async (path) => {
      await mkdir(path);
      await chmod(path, mode);
      await chown(path, account.uid, account.gid);
    });
    const played = await world.play();
    assert.equal(played.verdict, 'build-failure');
    assert.equal(played.stages.filter(({ name }) => name === 'config').length, 1);
    const line = `${base} has mode 0${mode.toString(8)} and must be yours alone; run: chmod 700 '${base}' (reference `;
    assert.ok(played.jobLog.includes(line), played.jobLog);
    assert.equal((await lstat(base)).mode & 0o7777, mode, 'left as it was');
  });
}

for (const mode of [0o000, 0o500]) {
  test(`a directory that the user has closed to himself (mode ${mode.toString(8)}) is his, and told with what mends it`, async () => {
    await withBase(async () => {});
    assert.equal((await world.play({ script: 'true' })).verdict, 'success');
    const below = ['claims', 'claims/shared', 'jobs', 'scripts', 'cache', 'builds', 'builds/000'];
    // In a home nothing is made that is there already.
    const home = mode === 0 ? [account.home] : [];
    for (const path of [...home, base, ...below.map((name) => join(base, name))]) {
      const { mode: before } = await lstat(path);
      await chmod(path, mode);
      const { record } = await configured().finally(() => chmod(path, before));
      assert.equal(record.outcome.kind, 'build-failure', `${path}: ${record.stderr}`);
      assert.match(
        record.stderr,
        new RegExp(`^${path} has mode \\d+ and .*; run: chmod u\\+rwx '${path}' \\(reference `),
      );
    }
    assert.equal((await world.play({ script: 'true' })).verdict, 'success');
  });
}

test('a file in place of the base directory fails the job and says so', async () => {
  await withBase((path) => writeFile(path, ''));
  const { record } = await configured();
  assert.notEqual(record.outcome.kind, 'success');
  assert.match(record.stderr, new RegExp(`${base} `));
});

interface Link {
  readonly title: string;
  readonly owner: 'own' | 'foreign';
  readonly mode: number;
  readonly works: boolean;
}
const links: readonly Link[] = [
  { title: 'a directory of his own is used', owner: 'own', mode: 0o700, works: true },
  { title: 'a directory of his own that others can read is refused', owner: 'own', mode: 0o755, works: false },
  { title: "somebody else's directory is refused", owner: 'foreign', mode: 0o700, works: false },
  { title: "somebody else's directory that all can write to is refused", owner: 'foreign', mode: 0o777, works: false },
];
for (const { title, owner, mode, works } of links) {
  test(`a base that is a user's symbolic link to ${title}`, async () => {
    const target = await place(0o700);
    const { uid, gid } = owner === 'own' ? account : other;
    await chown(target, uid, gid);
    await chmod(target, mode);
    await withBase((path) => symlink(target, path));
    const played = await world.play({ script: 'pwd -P' });
    assert.equal(played.verdict === 'success', works, played.jobLog);
    assert.equal(existsSync(join(target, 'builds')), works);
    if (works) assert.match(played.jobLog, new RegExp(`^${target}/builds/000/demo/hello$`, 'm'));
  });
}

test('a base that is a link to nothing is told, and nothing is made behind it', async () => {
  const target = join(await place(0o1777), 'gone');
  await withBase((path) => symlink(target, path));
  const { record } = await configured();
  assert.equal(record.outcome.kind, 'build-failure');
  assert.ok(
    record.stderr.includes(`${base} leads to ${target}, which does not exist; run: mkdir -p -m 700 '${target}'`),
  );
  assert.ok(!existsSync(target));
});

test('a base that is a link may lead over further links of his own and of root', async () => {
  const target = await place(0o700);
  await chown(target, account.uid, account.gid);
  await mkdir(join(account.home, 'links'), { mode: 0o700 });
  await chown(join(account.home, 'links'), account.uid, account.gid);
  await symlinkOf(account, '../links/two', join(account.home, 'links/one'));
  await symlink(target, join(account.home, 'links/two'));
  await withBase((path) => symlinkOf(account, 'links/one', path));
  assert.equal((await configured()).record.outcome.kind, 'success');
  assert.ok(existsSync(join(target, 'builds')));
});

test('links that lead round in a circle end', async () => {
  await withBase((path) => symlink('.jacamar-ci', path));
  const { record } = await configured();
  assert.equal(record.outcome.kind, 'build-failure');
  assert.match(record.stderr, /too many symbolic links/);
  await rm(base);
});

test('a link that somebody else laid in place of the base is not followed, though it leads to a good directory', async () => {
  const data = await place(0o1777);
  const target = await place(0o700);
  await chown(target, account.uid, account.gid);
  await symlinkOf(other, target, join(data, account.name));
  const { record } = await configured({ options: { general: { data_dir: data } } });
  assert.equal(record.outcome.kind, 'system-failure');
  assert.match(record.stderr, new RegExp(`holds the symbolic link ${account.name} of uid ${other.uid}`));
  assert.deepEqual(await readdir(target), []);
});

/** How the directory above the base may be, so that nobody but root and the account can exchange what is in it. */
type Owner = 'root' | 'own' | 'foreign' | 'project';
const above: readonly { mode: number; owner: Owner; safe: boolean; verdict?: string }[] = [
  { mode: 0o1777, owner: 'root', safe: true },
  { mode: 0o3775, owner: 'root', safe: true },
  { mode: 0o755, owner: 'own', safe: true },
  { mode: 0o777, owner: 'root', safe: false, verdict: 'system-failure' },
  { mode: 0o775, owner: 'root', safe: true },
  { mode: 0o2775, owner: 'project', safe: false, verdict: 'system-failure' },
  { mode: 0o755, owner: 'foreign', safe: false, verdict: 'system-failure' },
  { mode: 0o1777, owner: 'foreign', safe: false, verdict: 'system-failure' },
  { mode: 0o775, owner: 'own', safe: false, verdict: 'build-failure' },
  { mode: 0o777, owner: 'own', safe: false, verdict: 'build-failure' },
];
for (const { mode, owner, safe, verdict } of above) {
  const ids = { root: { uid: 0, gid: 0 }, own: account, foreign: other, project: { uid: 0, gid: other.gid } };
  const whose = { root: 'root', own: 'his own', foreign: 'somebody else', project: "root and a project's group" };
  const title = `below a directory of mode 0${mode.toString(8)} of ${whose[owner]}`;
  test(`${title} a job ${safe ? 'works' : 'works only if the site sets shared_parents'}`, async () => {
    const data = await place(mode);
    await chown(data, ids[owner].uid, ids[owner].gid);
    await chmod(data, mode);
    // Where the account may not make it, it is there.
    await mkdir(join(data, account.name), { mode: 0o700 });
    await chown(join(data, account.name), account.uid, account.gid);
    const strict = await configured({ options: { general: { data_dir: data } } });
    assert.equal(strict.record.outcome.kind, safe ? 'success' : verdict, strict.record.stderr);
    assert.equal(existsSync(join(data, account.name, 'builds')), safe);
    if (safe) return;
    assert.ok(strict.record.stderr.includes(`Others could exchange ${data}/${account.name}: ${data} `));
    const lenient = await configured({ options: { general: { data_dir: data, shared_parents: true } } });
    assert.equal(lenient.record.outcome.kind, 'success', lenient.record.stderr);
  });
}

test('below a directory of his own that nobody else can enter, others may be allowed anything', async () => {
  const open = join(account.home, 'open');
  await mkdir(open);
  await chown(open, account.uid, account.gid);
  await chmod(open, 0o777);
  const options = { general: { data_dir: '$HOME/open' } };
  assert.equal((await configured({ options })).buildsDir, join(open, '.jacamar-ci/builds/000'));
  await chmod(account.home, 0o711);
  const { record } = await configured({ options });
  await chmod(account.home, 0o700);
  assert.equal(record.outcome.kind, 'build-failure');
  assert.ok(record.stderr.includes(`${open} can be written by everybody; run: chmod go-w '${open}'`), record.stderr);
});

test('what is made is closed, whatever set-group-id directory it is made in', async () => {
  const data = await place(0o3777);
  const { record } = await configured({ options: { general: { data_dir: data } } });
  assert.equal(record.outcome.kind, 'success', record.stderr);
  for (const path of ['', 'builds', 'builds/000', 'cache', 'claims', 'claims/shared', 'scripts']) {
    const { mode, uid } = await lstat(join(data, account.name, path));
    assert.deepEqual([mode & 0o777, uid], [0o700, account.uid], path);
  }
});

test('with group_permissions the group can read data, and no scripts', async () => {
  const data = await place(0o1777);
  const colleague = await world.addAccount();
  await changeAccounts('usermod', ['--append', '--groups', String(account.gid), colleague.name]);
  const options = { general: { data_dir: data, group_permissions: true } };
  const job = await (await world.stages({ options })).configured();
  const own = join(data, account.name);
  const ran = await job.run(
    'stat -c "script %a" "$0"; umask 022; mkdir -p demo; echo read >demo/result',
    'build_script',
  );
  assert.match(ran.stdout, /^script 700$/m);
  for (const [path, wanted] of Object.entries({
    '': 0o750,
    builds: 0o750,
    'builds/000': 0o750,
    cache: 0o750,
    scripts: 0o700,
    claims: 0o700,
  }))
    assert.equal((await lstat(join(own, path))).mode & 0o7777, wanted, path);
  const look = (path: string) => promisify(execFile)('su', [colleague.name, '-c', `ls ${join(own, path)}`]);
  await look('builds/000');
  for (const closed of ['scripts', 'claims']) await assert.rejects(look(closed), /Permission denied/);
  await assert.rejects(promisify(execFile)('su', [other.name, '-c', `ls ${own}`]), /Permission denied/);
  await job.cleanup();
});

test('with group_permissions directories that were there may be closed, but not open to all', async () => {
  const options = { general: { group_permissions: true } };
  for (const [mode, works] of [
    [0o700, true],
    [0o750, true],
    [0o755, false],
    [0o770, false],
  ] as const) {
    await withBase((path) => mkdir(path));
    await chown(base, account.uid, account.gid);
    await chmod(base, mode);
    const { record } = await configured({ options });
    assert.equal(record.outcome.kind, works ? 'success' : 'build-failure', record.stderr);
    if (!works) assert.ok(record.stderr.includes(`run: chmod 750 '${base}'`), record.stderr);
  }
  await rm(base, { recursive: true });
});

test('a directory that is exchanged for a link between two stages is not followed any more', async () => {
  const prize = await place(0o700);
  await chown(prize, account.uid, account.gid);
  const job = await (await world.stages()).configured();
  await rename(join(base, 'scripts'), join(base, 'scripts-before'));
  await symlinkOf(account, prize, join(base, 'scripts'));
  const { outcome, stdout } = await job.run('echo ran');
  assert.equal(outcome.kind, 'build-failure');
  assert.doesNotMatch(stdout, /^ran$/m);
  assert.deepEqual(await readdir(prize), []);
  await rm(join(base, 'scripts'));
  await job.cleanup();
});

test('a base that somebody else puts in place between two stages is refused', async () => {
  const data = await place(0o777);
  const options = { general: { data_dir: data, shared_parents: true } };
  const job = await (await world.stages({ options })).configured();
  await rename(join(data, account.name), join(data, 'before'));
  await mkdir(join(data, account.name), { mode: 0o700 });
  await chmod(join(data, account.name), 0o777);
  await chown(join(data, account.name), other.uid, other.gid);
  const { outcome, stderr } = await job.run('echo ran');
  assert.equal(outcome.kind, 'system-failure');
  assert.match(stderr, new RegExp(`${data}/${account.name} is owned by uid ${other.uid}, not by you`));
  assert.deepEqual(await readdir(join(data, account.name)), []);
});

test('a symbolic link below the base is not followed', async () => {
  const target = await place(0o700);
  await chown(target, account.uid, account.gid);
  await withBase(async (path) => {
    await mkdir(path, { mode: 0o700 });
    await symlink(target, join(path, 'scripts'));
    await chown(path, account.uid, account.gid);
  });
  const { record } = await configured();
  assert.notEqual(record.outcome.kind, 'success');
  await rm(base, { recursive: true });
});
