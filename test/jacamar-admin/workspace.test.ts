// `jacamar-admin workspace` as installed, with the directories of real accounts. What users can do to it is done here,
// too: it is root's, and walks through what is theirs.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import type { DirectoryLine } from '../../src/contract/workspace-lines.ts';
import { processesOf, type TestAccount } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const KIB = 1024;
const DAY_MS = 86_400_000;

interface Report {
  readonly accounts: readonly {
    readonly user: string;
    readonly directories: readonly DirectoryLine[];
    readonly error?: string;
  }[];
}

async function addAccount(): Promise<TestAccount> {
  const account = await world.addAccount();
  world.accounts.unshift(account);
  return account;
}

const baseOf = ({ home }: TestAccount) => join(home, '.jacamar-ci');

/** Runs a shell as the account. */
function as({ uid, gid, home }: TestAccount, script: string): void {
  const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  execFileSync('setpriv', [...ids, 'bash', '-euc', script], { cwd: home });
}

/** A build directory with files of that size that were last used so many days ago. */
function plant(account: TestAccount, name: string, { kib = 4, days = 0, base = baseOf(account) } = {}): string {
  const path = join(base, 'builds', name);
  const date = new Date(Date.now() - days * DAY_MS).toISOString();
  as(
    account,
    `umask 077; mkdir -p ${path}/group/project; head -c ${kib * KIB} /dev/zero >${path}/group/project/file
     find ${path} -exec touch -d ${date} {} +`,
  );
  return path;
}

function call(configuration: string, ...args: readonly string[]) {
  const program = world.installation.program('jacamar-admin');
  const words = ['workspace', '--configuration', configuration, ...args];
  return spawnSync(program, words, { encoding: 'utf8', timeout: 120_000, killSignal: 'SIGKILL' });
}

function report(configuration: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = call(configuration, '--json', ...args);
  assert.notEqual(stdout, '', stderr);
  return { status, stderr, accounts: (JSON.parse(stdout) as Report).accounts };
}

/** Without names, where the user database has one account of the tests only: those of other files have processes to count. */
function reportOfAll({ name }: TestAccount): Report {
  const passwd = world.at('passwd');
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  writeFileSync(passwd, lines.filter((line) => !line.startsWith('jt_') || line.startsWith(`${name}:`)).join('\n'));
  const enter = 'mount --bind "$1" /etc/passwd && shift && exec "$@"';
  const program = world.installation.program('jacamar-admin');
  const args = ['--mount', 'sh', '-c', enter, 'sh', passwd, program, 'workspace', '--configuration', configuration];
  const { stdout, stderr } = spawnSync('unshare', [...args, '--json'], { encoding: 'utf8' });
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as Report;
}

/** States by the name of the directory. */
function states({ accounts }: ReturnType<typeof report>): Record<string, string> {
  const lines = accounts.flatMap(({ directories }) => directories);
  return Object.fromEntries(lines.map(({ path, state }) => [path.split('/builds/')[1] ?? path, state]));
}

const configuration = await world.configure();

test('it lists what each account has, with size and last use, and removes nothing', async () => {
  const [one, two] = [await addAccount(), await addAccount()];
  plant(one, '000', { kib: 512, days: 3 });
  plant(one, 'runnerABC/001', { kib: 64 });
  plant(two, '007');
  const listed = report(configuration, '--user', one.name, '--user', two.name);
  assert.equal(listed.status, 0, listed.stderr);
  assert.deepEqual(listed.accounts.map(({ user }) => user).toSorted(), [one.name, two.name].toSorted());
  assert.deepEqual(states(listed), { '000': 'kept', 'runnerABC/001': 'kept', '007': 'kept' });
  const line = listed.accounts.flatMap(({ directories }) => directories).find(({ bytes }) => bytes >= 512 * KIB);
  assert.ok(line !== undefined && line.bytes < 560 * KIB && line.entries === 4);
  assert.ok(Math.abs(Date.now() - 3 * DAY_MS - line.lastUse * 1000) < 60_000);
});

test('the table names every directory and what there is in all', async () => {
  const account = await addAccount();
  const path = plant(account, '000', { kib: 1024, days: 40 });
  const { status, stdout } = call(configuration, '--user', account.name);
  assert.equal(status, 0);
  assert.ok(stdout.includes(path) && stdout.includes('40 days ago') && /1\.0\d MiB/.test(stdout), stdout);
});

test('the configuration may be named from the working directory, as for a trial', () => {
  const program = world.installation.program('jacamar-admin');
  const args = ['workspace', '--configuration', basename(configuration), '--user', 'root'];
  const { stdout } = spawnSync(program, args, { encoding: 'utf8', cwd: dirname(configuration) });
  assert.match(stdout, /^All: 0 B/);
});

test('--older-than removes what is old and nothing else; --dry-run only says so', async () => {
  const account = await addAccount();
  const old = plant(account, '000', { days: 31 });
  const young = plant(account, '001', { days: 29 });
  const args = ['--user', account.name, '--older-than', '30d'];
  assert.deepEqual(states(report(configuration, ...args, '--dry-run')), { '000': 'chosen', '001': 'kept' });
  assert.ok(existsSync(old));
  assert.deepEqual(states(report(configuration, ...args)), { '000': 'removed', '001': 'kept' });
  assert.deepEqual([existsSync(old), existsSync(join(young, 'group/project/file'))], [false, true]);
  assert.deepEqual(readdirSync(join(baseOf(account), 'builds')), ['001']);
});

test('one new file in an old directory makes it young', async () => {
  const account = await addAccount();
  const path = plant(account, '000', { days: 31 });
  as(account, `touch ${path}/group/project/new; touch -d 2020-01-01 ${path} ${path}/group ${path}/group/project`);
  assert.deepEqual(states(report(configuration, '--user', account.name, '--older-than', '30d')), { '000': 'kept' });
});

test('--budget removes the least recently used until the rest fits', async () => {
  const account = await addAccount();
  plant(account, '000', { kib: 1024, days: 1 });
  plant(account, '001', { kib: 1024, days: 9 });
  plant(account, 'runnerABC/000', { kib: 1024, days: 5 });
  const within = (budget: string) => states(report(configuration, '--user', account.name, '--budget', budget));
  assert.deepEqual(within('4MiB'), { '000': 'kept', '001': 'kept', 'runnerABC/000': 'kept' });
  assert.deepEqual(within('2500KiB'), { '000': 'kept', '001': 'removed', 'runnerABC/000': 'kept' });
  assert.deepEqual(within('2047KiB'), { '000': 'kept', 'runnerABC/000': 'removed' });
  assert.deepEqual(within('0'), { '000': 'removed' });
});

test('the directory of a job that is at work stays, however old and large', async () => {
  const account = await addAccount();
  const job = await (await world.stages()).configured();
  await job.run('true');
  const path = plant(account, '000', { days: 400 });
  const args = ['--user', account.name, '--older-than', '1d', '--budget', '0'];
  assert.deepEqual(states(report(configuration, ...args)), { '000': 'busy' });
  assert.ok(existsSync(join(path, 'group/project/file')));
  await job.cleanup();
  assert.deepEqual(states(report(configuration, ...args)), { '000': 'removed' });
});

test('so does a static directory while its job is at work', async () => {
  const account = await addAccount();
  const options = { general: { static_builds_dir: true, limit_build_dir: false } };
  const job = await (await world.stages({ options })).configured();
  const args = ['--user', account.name, '--budget', '0'];
  const only = (state: string) => assert.deepEqual(Object.values(states(report(configuration, ...args))), [state]);
  only('busy');
  await job.cleanup();
  only('removed');
  assert.deepEqual(readdirSync(join(baseOf(account), 'static')), []);
});

test('a job begins anew in the number of a directory that was removed', async () => {
  const account = await addAccount();
  plant(account, '000', { days: 31 });
  report(configuration, '--user', account.name, '--older-than', '30d');
  const job = await (await world.stages()).configured();
  assert.equal((await job.run('echo ran')).stdout, 'ran\n');
  assert.deepEqual(readdirSync(join(baseOf(account), 'builds')), ['000']);
  await job.cleanup();
});

test('what a removal left that was killed goes with the next one', async () => {
  const account = await addAccount();
  plant(account, '.removing-000-x');
  const wanted = report(configuration, '--user', account.name, '--older-than', '30d');
  assert.deepEqual(states(wanted), { '.removing-000-x': 'removed' });
});

test('what cannot be removed is named, and the rest goes; the exit status says so', async () => {
  const account = await addAccount();
  const path = plant(account, '000', { days: 31 });
  const file = join(path, 'group/project/file');
  as(account, `touch -d 2020-01-01 ${path}/other; touch -d 2020-01-01 ${path}; chmod 500 ${path}`);
  execFileSync('chattr', ['+i', file]);
  const removal = report(configuration, '--user', account.name, '--older-than', '30d');
  execFileSync('chattr', ['-R', '-i', join(baseOf(account), 'builds')]);
  assert.equal(removal.status, 1);
  assert.deepEqual(states(removal), { '000': 'remains' });
  assert.match(removal.accounts[0]?.directories[0]?.notes.join() ?? '', /group\/project\/file/);
  assert.deepEqual(execFileSync('find', [join(baseOf(account), 'builds'), '-name', 'other'], { encoding: 'utf8' }), '');
});

test('when the time for an account is over nothing more is begun, and that is said', async () => {
  const account = await addAccount();
  const path = plant(account, '000', { days: 31 });
  const late = report(configuration, '--user', account.name, '--budget', '0', '--time-limit', '0');
  assert.equal(late.status, 1);
  assert.notEqual(late.accounts[0]?.error, undefined);
  assert.ok(existsSync(join(path, 'group/project/file')));
});

test('links lead nowhere: not to files of root, not to other accounts, not with the base itself', async (context) => {
  const [account, victim] = [await addAccount(), await addAccount()];
  const open = mkdtempSync(join(tmpdir(), 'jt_open_'));
  context.after(() => execFileSync('rm', ['-rf', open]));
  chmodSync(open, 0o777);
  mkdirSync(join(open, 'builds/000'), { recursive: true, mode: 0o777 });
  for (const path of ['builds', 'builds/000']) chmodSync(join(open, path), 0o777);
  writeFileSync(join(open, 'builds/000/kept'), '', { mode: 0o666 });
  const other = plant(victim, '000', { days: 31 });
  plant(account, '001', { days: 31 });
  as(account, `cd ${baseOf(account)}/builds; ln -s ${open} 000; ln -s ${open}/builds run; ln -s ${open} 001/link`);
  const args = ['--user', account.name, '--budget', '0'];
  assert.deepEqual(states(report(configuration, ...args)), { '001': 'removed' });
  as(account, `rm -r ${baseOf(account)}; ln -s ${open} ${baseOf(account)}`);
  assert.equal(report(configuration, ...args).status, 1);
  as(account, `rm ${baseOf(account)}; ln -s ${baseOf(victim)} ${baseOf(account)}`);
  report(configuration, ...args);
  assert.ok(existsSync(join(open, 'builds/000/kept')));
  assert.ok(existsSync(other));
});

test('root itself touches nothing below the home of an account', async () => {
  const account = await addAccount();
  plant(account, '000', { days: 31 });
  const trace = world.at('trace');
  const args = ['workspace', '--configuration', configuration, '--user', account.name, '--older-than', '30d'];
  const program = world.installation.program('jacamar-admin');
  execFileSync('strace', ['-f', '-qq', '-e', 'trace=file', '-o', trace, program, ...args]);
  const lines = readFileSync(trace, 'utf8').split('\n');
  const ofAccount = new Set(
    lines.filter((line) => /execve\("[^"]*\/jacamar"/.test(line)).map((line) => line.split(' ')[0]),
  );
  const touching = lines.filter((line) => line.includes(account.home) && !line.includes('execve('));
  assert.ok(touching.length > 0 && ofAccount.size > 0);
  assert.deepEqual(
    touching.filter((line) => !ofAccount.has(line.split(' ')[0])),
    [],
  );
});

test('without names it goes through all accounts that have a directory beside each other', async (context) => {
  const [one, two] = [await addAccount(), await addAccount()];
  const data = mkdtempSync(join(tmpdir(), 'jt_data_'));
  context.after(() => execFileSync('rm', ['-rf', data]));
  chmodSync(data, 0o755);
  for (const account of [one, two]) {
    mkdirSync(join(data, account.name), { mode: 0o700 });
    chownSync(join(data, account.name), account.uid, account.gid);
    plant(account, '000', { base: join(data, account.name) });
  }
  mkdirSync(join(data, 'nobody-of-this-name'));
  const listed = report(await world.configure({ general: { data_dir: data } }));
  assert.equal(listed.status, 0, listed.stderr);
  assert.deepEqual(listed.accounts.map(({ user }) => user).toSorted(), [one.name, two.name].toSorted());
});

test('without names and with data_dir in the homes it goes through the user database', async () => {
  const account = await addAccount();
  plant(account, '000');
  const listed = reportOfAll(account);
  assert.ok(listed.accounts.some(({ user, directories }) => user === account.name && directories.length === 1));
  assert.ok(!listed.accounts.some(({ user }) => user === 'root'));
});

test('an account that cannot be used is told when it was asked for', async () => {
  const account = await addAccount();
  const { status, stderr, accounts } = report(configuration, '--user', 'root', '--user', account.name);
  assert.equal(status, 1);
  assert.match(stderr, /root/);
  assert.deepEqual(
    accounts.map(({ user }) => user),
    [account.name],
  );
});

/** A configuration with another jacamar, whose text stands for what an account makes of its own process. */
async function withJacamar(script: string): Promise<string> {
  const path = join(dirname(world.installation.program('jacamar')), 'odd');
  writeFileSync(path, `#!/bin/bash\n${script}\n`);
  chmodSync(path, 0o755);
  return await world.configure({ auth: { jacamar_path: path } });
}

/** What is reported of an account whose jacamar does this, once the error was told. */
async function failing(script: string) {
  const account = await addAccount();
  const { status, accounts } = report(await withJacamar(script), '--user', account.name);
  assert.equal(status, 1);
  assert.notEqual(accounts[0]?.error, undefined);
  return accounts[0];
}

test("nonsense in place of an account's list is told as that", async () => {
  const told = await failing('printf \'{"line":"directory","path":"x"}\\n\'; exec sleep 600');
  assert.deepEqual(told?.directories, []);
});

test('an account that traces its process holds up nobody: what cannot be seen to end is given up', async () => {
  await failing(`
    (strace -qq -o /dev/null -p $$ &
    until grep -q 'TracerPid:.*[1-9]' /proc/$$/status; do sleep 0.1; done
    kill -STOP $!
    echo nonsense) &
    exec sleep 600`);
});

test('nor does one whose process is gone, and its output open', async () => {
  await failing('sleep 600 & exit 3');
});

test('a stop ends it also while an account has stopped its process', async () => {
  const account = await addAccount();
  const odd = await withJacamar('kill -STOP $$');
  const args = ['workspace', '--configuration', odd, '--user', account.name];
  const child = spawn(world.installation.program('jacamar-admin'), args, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const isStopped = async () => (await processesOf(account.uid)).some((pid) => stateOf(pid) === 'T');
  await eventually('its process stands still', isStopped);
  child.kill('SIGINT');
  assert.deepEqual(await ended, [1, null]);
});

const stateOf = (pid: number) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];

test('when nobody reads its list any more it stops, and says nothing of a fault', async () => {
  const account = await addAccount();
  plant(account, '000', { days: 31 });
  const program = world.installation.program('jacamar-admin');
  const words = [program, 'workspace', '--configuration', configuration, '--user', account.name].join(' ');
  const script = `exec 3> >(exec true); wait $!; ${words} >&3`;
  const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [1, '']);
});

test('nobody but root can do it', async () => {
  const { uid, gid } = await addAccount();
  const program = world.installation.program('jacamar-admin');
  const args = [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    program,
    'workspace',
    '--configuration',
    configuration,
  ];
  assert.equal(spawnSync('setpriv', args).status, 2);
});

test('a data_dir that is not there is told as that, and by its name', async () => {
  const dataDir = join(mkdtempSync(join(tmpdir(), 'jt_data_')), 'missing');
  world.onClose(async () => rmdirSync(dirname(dataDir)));
  const { status, stdout, stderr } = call(await world.configure({ general: { data_dir: dataDir } }));
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(
    stderr,
    new RegExp(`^jacamar-admin: ${dataDir} \\(general.data_dir\\) cannot be listed: ENOENT; is it mounted\\?$`, 'm'),
  );
});
