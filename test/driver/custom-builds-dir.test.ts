// CUSTOM_CI_BUILDS_DIR: a job says where it wants its build directories. It works as the user, so a trick can only hurt
// whoever plays it; what is tested here is that it says so, once, and that nobody else gets a say.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { VariableParts } from '../../src/jacamar-admin/job.ts';
import type { TestAccount } from '../support/accounts.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import type { StagedJob } from '../support/staged-job.ts';
import { ask } from '../support/threats-verdict.ts';
import { type ConfigurationWishes, openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { account } = world;
const [, other = account] = world.accounts;
const base = join(account.home, '.jacamar-ci');

const SITE: ConfigurationWishes = { general: { custom_build_dir: true } };

function wanting(value: string, more: Partial<VariableParts> = {}, options = SITE): JobWishes {
  return { options, variables: [{ key: 'CUSTOM_CI_BUILDS_DIR', value, ...more }] };
}

/** A directory that accounts can reach. */
async function place(mode: number, owner?: Pick<TestAccount, 'uid' | 'gid'>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'jt_custom_'));
  world.onClose(() => rm(path, { recursive: true, force: true }));
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  await chmod(path, mode);
  return path;
}

/** The build directory that config names. */
async function buildsDirOf(wishes: JobWishes): Promise<unknown> {
  const { record } = await ask(world, wishes);
  assert.equal(record.outcome.kind, 'success', record.stderr);
  return JSON.parse(record.stdout).builds_dir;
}

/** The job fails, and it is the job's own fault: said in one line, with this code, and nothing on standard output. */
async function fails(wishes: JobWishes, code: string, told: string): Promise<void> {
  const { record, log } = await ask(world, wishes);
  assert.equal(record.outcome.kind, 'build-failure', record.stderr);
  assert.equal(record.stdout, '');
  assert.ok(record.stderr.includes(told), record.stderr);
  assert.match(record.stderr, /^[^\n]* \(reference [0-9a-f]{8}\)\n$/);
  const codes = log.flatMap(({ msg, details }) =>
    /^(job refused|stage failed)$/.test(msg) ? [details?.['code']] : [],
  );
  assert.deepEqual(codes, [code]);
}

test('a job builds where it wants to, in a numbered directory that is its own alone', async () => {
  const data = await place(0o1777);
  const wished = join(data, account.name, 'ci');
  const played = await world.play({ ...wanting(wished), script: ['pwd', 'stat -c "mode %a %U" ../../..'], git: true });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, new RegExp(`^${wished}/000/demo/hello$`, 'm'));
  assert.match(played.jobLog, new RegExp(`^mode 700 ${account.name}$`, 'm'));
  for (const path of [join(data, account.name), wished, join(wished, '000')])
    assert.equal((await lstat(path)).mode & 0o7777, 0o700, path);
  assert.ok(!existsSync(join(base, 'builds')), 'and nowhere else');
  const files = (await readdir(wished, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const claims = files.filter(({ name }) => name.endsWith('.json')).map((file) => join(file.parentPath, file.name));
  for (const claim of claims) assert.equal(await readFile(claim, 'utf8'), '{"free":true}', 'its claim is over');
});

test('without limit_build_dir the name of the runner stands above the number', async () => {
  const options = { general: { ...SITE.general, limit_build_dir: false } };
  assert.equal(await buildsDirOf(wanting('$HOME/ci', {}, options)), join(account.home, 'ci/TrialRunn/000'));
});

const home = { $HOME: account.home, $USER: account.name };
const expansions: [value: string, directory: string, more?: Partial<VariableParts>][] = [
  ['$HOME/b', `${home.$HOME}/b`],
  ['${HOME}/b/', `${home.$HOME}/b`],
  ['~/b', `${home.$HOME}/b`],
  ['$$HOME/b', `${home.$HOME}/b`],
  ['$HOME/b', `${home.$HOME}/b`, { raw: true }],
  ['$HOME/$USER', `${home.$HOME}/${home.$USER}`],
  ['$HOME/${USER}-b', `${home.$HOME}/${home.$USER}-b`],
  ['$HOME//b/./c', `${home.$HOME}/b/c`],
  ['$HOME/$NAME', `${home.$HOME}/of a variable`],
  ['$HOME/~', `${home.$HOME}/~`],
  ['$HOME/-rf', `${home.$HOME}/-rf`],
  ['$HOME/ünï *', `${home.$HOME}/ünï *`],
  [`$HOME/${'n'.repeat(200)}`, `${home.$HOME}/${'n'.repeat(200)}`],
];
for (const [value, directory, more = {}] of expansions) {
  const title = `${value.slice(0, 40)}${more.raw === true ? ' (raw)' : ''}`;
  test(`${title} is a place for builds`, async () => {
    const wishes = wanting(value, more);
    const variables = [...(wishes.variables ?? []), { key: 'NAME', value: 'of a variable' }];
    assert.equal(await buildsDirOf({ ...wishes, variables }), `${directory}/000`);
    assert.equal((await lstat(`${directory}/000`)).uid, account.uid);
  });
}

test('a job works in a place with an odd name', async () => {
  const played = await world.play({ ...wanting('$HOME/-o *; #[ü'), script: 'pwd', git: true });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.ok(played.jobLog.includes(`\n${account.home}/-o *; #[ü/000/demo/hello\n`), played.jobLog);
});

test('where the site does not let jobs choose, the variable changes nothing', async () => {
  const options = { general: { custom_build_dir: false } };
  assert.equal(await buildsDirOf(wanting('relative', {}, options)), join(base, 'builds/000'));
});

const bad: [title: string, value: string, told: string, more?: Partial<VariableParts>][] = [
  ['nothing', '', 'is empty'],
  ['blanks', '  ', 'is empty'],
  ['a variable that does not exist', '$NOWHERE', 'is empty'],
  ['a relative path', 'builds', 'is no absolute path'],
  ['the home of somebody else, as a shell writes it', '~root/x', 'is no absolute path'],
  ['a way upwards', '$HOME/../x', 'leads upwards with ".."'],
  ['a variable that the runner leaves alone', '$HOME/$PWD', 'has quotes', { raw: true }],
  ['a command', '$HOME/$(id)', 'has quotes'],
  ['a command of old', '$HOME/`id`', 'has quotes'],
  ['a quotation mark', '$HOME/"', 'has quotes'],
  ['an apostrophe', "$HOME/'", 'has quotes'],
  ['a backslash', '$HOME/\\', 'has quotes'],
  ['a line break', '$HOME/a\nb', 'has control characters'],
  ['an escape sequence', '$HOME/\u001b[2J', 'has control characters'],
  ['a path that is too long', `$HOME${'/long'.repeat(250)}`, 'is longer than 1024 bytes'],
];
for (const [title, value, told, more = {}] of bad) {
  test(`${title} in the variable is refused`, async () => {
    await fails(wanting(value, more), 'ERR_CUSTOM_BUILDS_DIR', told);
  });
}

test('a name that no file system takes is refused', async () => {
  await fails(wanting(`$HOME/${'n'.repeat(256)}`), 'ERR_DIRECTORY', 'its name is too long');
});

test('the base directory and what is in it is refused, by whatever way', async () => {
  await symlinkOf(account, '.jacamar-ci', join(account.home, 'detour'));
  for (const value of ['$HOME/.jacamar-ci', '$HOME/.jacamar-ci/builds/x', '$HOME/detour/x'])
    await fails(wanting(value), 'ERR_CUSTOM_BUILDS_DIR', 'choose another directory');
});

test("somebody else's directory is refused, even one that all can write to, and nothing is made in it", async () => {
  const foreign = await place(0o777, other);
  await fails(wanting(foreign), 'ERR_DIRECTORY_OWNER', `${foreign} is owned by uid ${other.uid}, not by you`);
  await fails(wanting(join(foreign, 'x')), 'ERR_DIRECTORY_SHARED', `${foreign} belongs to uid ${other.uid}`);
  assert.deepEqual(await readdir(foreign), []);
});

test('a directory that cannot be made is refused', async () => {
  const rootsOwn = await place(0o755);
  await fails(wanting(join(rootsOwn, 'x')), 'ERR_DIRECTORY', `${rootsOwn}/x cannot be made: you may not write`);
  await fails(wanting('/proc/none'), 'ERR_DIRECTORY', '/proc/none cannot be made');
});

test('a file in its place is refused', async () => {
  await writeFile(join(account.home, 'file'), '');
  await fails(wanting('$HOME/file'), 'ERR_DIRECTORY_MODE', `${account.home}/file is not a directory`);
  await fails(wanting('$HOME/file/below'), 'ERR_DIRECTORY_MODE', `${account.home}/file is not a directory`);
});

test('a directory of his own that all can read is taken, what is made in it is closed', async () => {
  const own = await place(0o755, account);
  assert.equal(await buildsDirOf(wanting(own)), join(own, '000'));
  assert.equal((await lstat(join(own, '000'))).mode & 0o7777, 0o700);
});

test('a directory of his own that others can write to is refused', async () => {
  const own = await place(0o775, account);
  await fails(
    wanting(own),
    'ERR_DIRECTORY_MODE',
    `${own} has mode 0775 and must not be writable by others; run: chmod`,
  );
});

test('a link of his own is followed, one that somebody else laid is not', async () => {
  const data = await place(0o1777);
  const target = await place(0o700, account);
  await symlinkOf(account, target, join(data, 'own'));
  assert.equal(await buildsDirOf(wanting(join(data, 'own'))), join(data, 'own/000'));
  assert.ok(existsSync(join(target, '000')));
  await symlinkOf(other, target, join(data, 'laid'));
  await fails(wanting(join(data, 'laid')), 'ERR_DIRECTORY_SHARED', `holds the symbolic link laid of uid ${other.uid}`);
});

test('a place that is exchanged for a link between two stages is not followed any more', async () => {
  const data = await place(0o1777);
  const wished = join(data, 'ci');
  const job = await (await world.stages(wanting(wished))).configured();
  const prize = await place(0o777, other);
  await rename(wished, join(data, 'moved'));
  await symlinkOf(other, prize, wished);
  const { outcome, stdout } = await job.run('echo ran');
  assert.equal(outcome.kind, 'build-failure');
  assert.doesNotMatch(stdout, /^ran$/m);
  assert.deepEqual(await readdir(prize), []);
  await job.cleanup();
});

test('jobs with other base directories do not get the same number in one place', async () => {
  const wished = join(await place(0o1777), 'ci');
  const data = [await place(0o1777), await place(0o1777)];
  const options = data.map((data_dir) => ({ general: { ...SITE.general, data_dir, limit_build_dir: false } }));
  const jobs = [];
  for (const each of options) jobs.push(await world.stages(wanting(wished, {}, each)));
  const named = [];
  for (const job of jobs) named.push(JSON.parse((await job.config()).stdout).builds_dir);
  assert.deepEqual(named, [join(wished, 'TrialRunn/000'), join(wished, 'TrialRunn/001')]);
  for (const job of jobs) await job.cleanup();
});

test('root_dir_creation makes the base directory and leaves the chosen one to the user', async () => {
  const data_dir = await place(0o755);
  const options = { general: { ...SITE.general, data_dir }, auth: { root_dir_creation: true } };
  assert.equal(await buildsDirOf(wanting('$HOME/both', {}, options)), join(account.home, 'both/000'));
  assert.equal((await lstat(join(data_dir, account.name))).uid, account.uid);
  const rootsOwn = await place(0o755);
  await fails(wanting(join(rootsOwn, 'x'), {}, options), 'ERR_DIRECTORY', `${rootsOwn}/x cannot be made`);
  assert.deepEqual(await readdir(rootsOwn), []);
});

/** A link that belongs to an account: lchown(2). */
async function symlinkOf({ uid, gid }: TestAccount, target: string, path: string): Promise<void> {
  await symlink(target, path);
  await lchown(path, uid, gid);
}

test('what the user has there beside them is no surplus of max_build_dir, whatever number it is called', async () => {
  const data = await place(0o700, account);
  const years = ['2023', '2024'].map((year) => join(data, year));
  for (const year of years) {
    await mkdir(year, { mode: 0o700 });
    await chown(year, account.uid, account.gid);
  }
  const options = { general: { custom_build_dir: true, max_build_dir: 1, uncap_build_dir_cleanup: true } };
  const jobs = [];
  for (let count = 0; count < 2; count++) jobs.push(await world.stages(wanting(data, {}, options)));
  for (const job of jobs) await succeeds(job.config());
  for (const job of jobs) await succeeds(job.cleanup());
  assert.deepEqual(
    (await readdir(data)).filter((name) => /^[0-9]/.test(name)),
    ['001', '2023', '2024'],
  );
});

async function succeeds(call: ReturnType<StagedJob['config']>): Promise<void> {
  const { outcome, stderr } = await call;
  assert.equal(outcome.kind, 'success', stderr);
}
