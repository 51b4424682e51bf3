// Room where jobs work: looked at before a job starts, and a full file system or a used-up quota told as what it is.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ScriptFailure } from '../../src/contract/errors.ts';
import { recordBuildExitCode } from '../../src/contract/program.ts';
import { filesBelow } from '../support/files.ts';
import { mountSmall } from '../support/small-file-system.ts';
import type { StagedJob } from '../support/staged-job.ts';
import { openWorld, type World } from '../support/world.ts';

const world = await openWorld();
const KIB = 1024;

/** An account whose CI directory is a file system of that size, as the one that the next jobs run as. */
async function smallHome(options: string): Promise<string> {
  const account = await world.addAccount();
  world.accounts.unshift(account);
  const base = join(account.home, '.jacamar-ci');
  mountSmall(world, base, account, options);
  return base;
}

/** Leaves so many bytes free. */
function fill(base: string, free = 0): void {
  const { bavail, bsize } = statfsSync(base);
  const ballast = join(base, 'ballast');
  rmSync(ballast, { force: true });
  writeFileSync(ballast, Buffer.alloc(Math.max(statfsSync(base).bavail * bsize - free, 0)));
  assert.ok(bavail >= 0 && statfsSync(base).bavail * bsize <= free);
}

function fillInodes(base: string, free = 0): void {
  for (let name = 0; statfsSync(base).ffree > free; name++) writeFileSync(join(base, `ballast-${name}`), '');
}

async function codeOf(job: StagedJob): Promise<unknown> {
  return (await job.log()).findLast(({ level }) => level === 'ERROR')?.details?.['code'];
}

const scriptsOf = async (base: string) =>
  (await filesBelow(join(base, 'scripts'))).filter(({ stats }) => stats.isFile()).map(({ path }) => path);

test('a job on a file system that is nearly full is told so, with numbers, and runs', async () => {
  await smallHome('size=3m');
  const job = await (await world.stages()).configured();
  const { outcome, stderr } = await job.prepare();
  assert.equal(outcome.kind, 'success');
  assert.match(stderr, /[0-9.]+ MiB of 3\.00 MiB/);
  assert.equal((await job.run('echo ran')).stdout, 'ran\n');
  await job.cleanup();
});

test('few inodes are told in the same way', async () => {
  await smallHome('size=4g,nr_inodes=60');
  const job = await (await world.stages()).configured();
  const { stderr } = await job.prepare();
  assert.match(stderr, /[0-9]+ of 60 files/);
  assert.doesNotMatch(stderr, /GiB/);
  await job.cleanup();
});

test('nothing is said where there is room, or where the site wants to hear nothing', async () => {
  await smallHome('size=3m,nr_inodes=60');
  const silent = await (await world.stages({ options: { general: { free_space_warning: '0' } } })).configured();
  assert.equal((await silent.prepare()).stderr, '');
  await silent.cleanup();
  await smallHome('size=4g,nr_inodes=100k');
  const roomy = await (await world.stages()).configured();
  assert.equal((await roomy.prepare()).stderr, '');
  await roomy.cleanup();
});

test('build directories can be removed from a full file system', async () => {
  const base = await smallHome('size=3m');
  const { uid, gid } = world.account;
  for (let count = 0; count < 2; count++) {
    const jobs = [await (await world.stages()).configured(), await (await world.stages()).configured()];
    for (const job of jobs) await job.cleanup();
  }
  fill(base);
  const jacamar = world.installation.program('jacamar');
  const wishes = ['workspace', '--base', base, '--older-than', '0', '--remove'];
  const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const lines = execFileSync('setpriv', [...ids, jacamar, ...wishes], { encoding: 'utf8' });
  assert.deepEqual(lines.match(/"state":"\w+"/g), ['"state":"removed"', '"state":"removed"'], lines);
  assert.ok(!existsSync(join(base, 'builds')));
});

test('below free_space_required no job is started', async () => {
  await smallHome('size=3m');
  const options = { general: { free_space_required: '2MiB', free_space_warning: '0' } };
  const job = await (await world.stages({ options })).configured();
  assert.equal((await job.prepare()).outcome.kind, 'success');
  fill(join(world.account.home, '.jacamar-ci'), KIB * KIB);
  const { outcome, stderr } = await job.prepare();
  assert.equal(outcome.kind, 'system-failure');
  assert.match(stderr, /1\.00 MiB of 3\.00 MiB/);
  assert.equal(await codeOf(job), 'ERR_ROOM_REQUIRED');
  await job.cleanup();
});

test('a full file system ends the config stage as a system failure that says so', async () => {
  const base = await smallHome('size=1m,nr_inodes=40');
  fillInodes(base, 1);
  const job = await world.stages();
  const { outcome, stdout, stderr } = await job.config();
  assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
  assert.equal(await codeOf(job), 'ERR_NO_SPACE');
  assert.match(stderr, /0 of 40 files/);
  await job.cleanup();
});

test('a script runs whole or not at all, whatever room is left for it', async () => {
  const base = await smallHome('size=1m');
  const job = await (await world.stages()).configured();
  const script = `echo begun\n${'# filling\n'.repeat(4000)}echo whole`;
  const seen = new Set<string>();
  for (let free = 0; free <= 80 * KIB; free += 8 * KIB) {
    fill(base, free);
    const { outcome, stdout } = await job.run(script);
    seen.add(outcome.kind);
    assert.equal(stdout, outcome.kind === 'success' ? 'begun\nwhole\n' : '', `${free} bytes free`);
    if (outcome.kind === 'success') continue;
    assert.equal(outcome.kind, 'system-failure');
    assert.equal(await codeOf(job), 'ERR_NO_SPACE');
    const [placed = '', ...others] = await scriptsOf(base);
    assert.deepEqual(others, [], 'neither a temporary file nor half a token');
    if (placed !== '') assert.ok(readFileSync(placed, 'utf8').includes('echo whole'));
  }
  assert.deepEqual([...seen].toSorted(), ['success', 'system-failure']);
  await job.cleanup();
});

test('without a free inode no script runs', async () => {
  const base = await smallHome('size=1m,nr_inodes=60');
  const job = await (await world.stages()).configured();
  fillInodes(base);
  const { outcome, stdout } = await job.run('echo ran');
  assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
  assert.equal(await codeOf(job), 'ERR_NO_SPACE');
  await job.cleanup();
});

/** Stands in jacamar's place and lets the kernel answer some of its calls in another way: strace(1), tampering. */
function tracedJacamar(world: World, ...options: string[]): { jacamar_path: string } {
  const path = join(world.installation.prefix, 'bin', `traced-${Math.random().toString(36).slice(2)}`);
  const trace = ['strace', '-D', '-f', '-qqq', '-o', '/dev/null', ...options, world.installation.program('jacamar')];
  writeFileSync(path, `#!/bin/sh\nexec ${trace.join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
  return { jacamar_path: path };
}

const FAULTS = {
  made: ['-e', 'trace=openat,open', '-e', 'inject=openat,open:error=EDQUOT'],
  written: ['-e', 'trace=write', '-e', 'inject=write:error=EDQUOT'],
  flushed: ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EDQUOT'],
  'closed, where NFS says it': ['-e', 'trace=close', '-e', 'inject=close:error=EDQUOT'],
} as const;

for (const [when, fault] of Object.entries(FAULTS)) {
  test(`a quota that is used up when the script is ${when} is a system failure, and no script runs`, async () => {
    world.accounts.unshift(await world.addAccount());
    const base = join(world.account.home, '.jacamar-ci');
    const job = await (await world.stages()).configured();
    await job.run('true');
    const [placed = ''] = await scriptsOf(base);
    // The name under which jacamar writes; exec keeps the number of the shell.
    const temporary = join(placed, '..', '.build_script.$$');
    const JACAMAR_CI_CONFIGURATION = await world.configure({ auth: tracedJacamar(world, ...fault, '-P', temporary) });
    const environment = { JACAMAR_CI_CONFIGURATION };
    const { outcome, stdout } = await job.run('echo ran', 'build_script', { environment });
    assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
    assert.equal(await codeOf(job), 'ERR_QUOTA');
    assert.deepEqual(await scriptsOf(base), [placed]);
    await job.cleanup();
  });
}

/** struct dqblk as the kernel fills it: quotactl(2). */
function quotaBytes(...numbers: readonly number[]): string {
  const bytes = Buffer.alloc(72);
  numbers.forEach((number, index) => void bytes.writeBigUInt64LE(BigInt(number), index * 8));
  return bytes.toString('hex');
}

test('a quota that is nearly used up is told with numbers; one with room is not', async () => {
  world.accounts.unshift(await world.addAccount());
  const poked = (quota: string) =>
    tracedJacamar(world, '-e', 'trace=quotactl_fd', '-e', `'inject=quotactl_fd:retval=0:poke_exit=@arg4=${quota}'`);
  const graceEnds = Math.floor(Date.now() / 1000) + 3600;
  const gib = KIB ** 3;
  const cases = [
    { quota: quotaBytes(10 * KIB * KIB, 0, gib, 0, 0, 5, 0, 0), said: [] },
    { quota: quotaBytes(2 * KIB * KIB, 0, 1.5 * gib, 0, 0, 5, 0, 0), said: ['512 MiB of 2.00 GiB'] },
    { quota: quotaBytes(0, 0, gib, 2000, 0, 1990, 0, 0), said: ['10 of 2000 files'] },
    {
      quota: quotaBytes(9 * KIB * KIB, 2 * KIB * KIB, 3 * gib, 0, 0, 5, graceEnds, 0),
      said: ['6.00 GiB of 9.00 GiB', new Date(graceEnds * 1000).toISOString()],
    },
    { quota: quotaBytes(9 * KIB * KIB, 2 * KIB * KIB, 3 * gib, 0, 0, 5, 1, 0), said: ['0 B of 2.00 GiB'] },
  ];
  for (const { quota, said } of cases) {
    const job = await (await world.stages({ options: { auth: poked(quota) } })).configured();
    const { outcome, stderr } = await job.prepare();
    assert.equal(outcome.kind, 'success', stderr);
    assert.equal(stderr === '', said.length === 0, stderr);
    for (const text of said) assert.ok(stderr.includes(text), stderr);
    await job.cleanup();
  }
});

describe('a state directory without room', () => {
  const stateOf = (name: string) => {
    const state = world.at(name);
    mountSmall(world, state, { uid: 0, gid: 0 }, 'size=1m,nr_inodes=40');
    return state;
  };
  const leave = (state: string) => {
    for (const name of readdirSync(state)) if (name.startsWith('ballast')) rmSync(join(state, name));
  };

  test('ends the config stage as a system failure, before anything is started', async () => {
    world.accounts.unshift(await world.addAccount());
    const state = stateOf('state-full');
    fillInodes(state);
    const job = await world.stages({ options: { auth: { state_dir: state } } });
    const { outcome, stdout } = await job.config();
    assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
    assert.equal(await codeOf(job), 'ERR_NO_SPACE');
    assert.ok(!existsSync(join(world.account.home, '.jacamar-ci')));
  });

  test('lets no script run, and cleanup do its work and say that it could not write that down', async () => {
    world.accounts.unshift(await world.addAccount());
    const state = stateOf('state-fills');
    const base = join(world.account.home, '.jacamar-ci');
    const job = await (await world.stages({ options: { auth: { state_dir: state } } })).configured();
    await job.run('true');
    fillInodes(state);
    const { outcome, stdout } = await job.run('echo ran');
    assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
    assert.equal(await codeOf(job), 'ERR_NO_SPACE');
    assert.notDeepEqual(await scriptsOf(base), []);
    assert.equal((await job.cleanup()).outcome.kind, 'system-failure');
    assert.equal(await codeOf(job), 'ERR_NO_SPACE');
    assert.deepEqual(await scriptsOf(base), []);
    leave(state);
    assert.equal((await job.cleanup()).outcome.kind, 'success');
  });
});

test("no room for the script's exit code leaves no file, and the failure the script's", () => {
  const directory = world.at('exit-code');
  mountSmall(world, directory, { uid: 0, gid: 0 }, 'size=4k,nr_inodes=8');
  writeFileSync(join(directory, 'ballast'), Buffer.alloc(4 * KIB));
  const file = join(directory, 'code');
  recordBuildExitCode(new ScriptFailure(7, ''), { BUILD_EXIT_CODE_FILE: file });
  assert.ok(!existsSync(file));
  rmSync(join(directory, 'ballast'));
  recordBuildExitCode(new ScriptFailure(7, ''), { BUILD_EXIT_CODE_FILE: file });
  assert.equal(readFileSync(file, 'utf8'), '7\n');
});
