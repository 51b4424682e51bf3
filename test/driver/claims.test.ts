// Which job gets which build directory: no two at a time the same one, however many runners, hosts and tokens there are.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { chown, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import type { RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import { processesOf } from '../support/accounts.ts';
import { changeClaim, claimsOf } from '../support/claims.ts';
import { eventually } from '../support/eventually.ts';
import {
  callingThrough,
  driverBeforeBoot,
  driverBelowShell,
  driverOnHost,
  driverWithoutLocks,
} from '../support/hosts.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { signal, treeOf } from '../support/processes.ts';
import type { StagedJob } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const base = join(account.home, '.jacamar-ci');
const unlimited = { general: { limit_build_dir: false } };

interface Configured {
  readonly job: StagedJob;
  /** Below the base. */
  readonly directory: string;
}
const held = new Set<StagedJob>();

async function configured(wishes: JobWishes = {}): Promise<Configured> {
  const job = await world.stages(wishes);
  held.add(job);
  const { outcome, stdout, stderr } = await job.config();
  assert.equal(outcome.kind, 'success', stderr);
  const buildsDir = String(JSON.parse(stdout).builds_dir);
  assert.ok(lstatSync(buildsDir).isDirectory());
  return { job, directory: buildsDir.slice(base.length + 1) };
}

async function cleanUp(...jobs: readonly Configured[]): Promise<void> {
  for (const { job } of jobs) {
    const { outcome, stderr } = await job.cleanup();
    held.delete(job);
    assert.equal(outcome.kind, 'success', stderr);
  }
}

afterEach(async () => {
  for (const job of held) await job.cleanup();
  held.clear();
  await rm(base, { recursive: true, force: true });
});

/** What the account sees: `jacamar lock …`. */
function lockCommand(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const ids = ['--reuid', account.name, '--regid', account.name, '--init-groups', '--reset-env'];
  const program = [world.installation.program('jacamar'), 'lock', ...args];
  return spawnSync('setpriv', [...ids, ...program], { encoding: 'utf8', cwd: '/' });
}

const numbers = (count: number) => Array.from({ length: count }, (_, number) => String(number).padStart(3, '0'));

describe('jobs one after the other', () => {
  test('two jobs at once get 000 and 001, and the next one the lowest that is free', async () => {
    const first = await configured();
    const second = await configured();
    assert.deepEqual([first.directory, second.directory], ['builds/000', 'builds/001']);
    await cleanUp(first);
    assert.equal((await configured()).directory, 'builds/000');
  });

  test('config that is repeated for a job keeps its directory', async () => {
    const first = await configured();
    const again = await first.job.config();
    assert.equal(JSON.parse(again.stdout).builds_dir, join(base, first.directory));
  });

  test('a job whose config stage was killed after its claim gives it back at cleanup', async () => {
    const { job } = await configured();
    await rm(join(world.at('state/jobs'), await recordName(job), 'slot'));
    await cleanUp({ job, directory: '' });
    assert.deepEqual(await claimsOf(account), []);
  });

  test('a claim is given back even when limit_build_dir was changed meanwhile', async () => {
    const configuration = await world.configure();
    const { job } = await configured({ configuration });
    await writeFile(configuration, readFileSync(configuration, 'utf8').replace('limit_build_dir = true', ''));
    await cleanUp({ job, directory: '' });
    assert.deepEqual(await claimsOf(account), []);
  });
});

async function recordName(job: StagedJob): Promise<string> {
  const names = await readdir(world.at('state/jobs'));
  return names.find((name) => name.endsWith(`-${job.facts.id}`)) ?? '';
}

/** 50 jobs from five runner tokens, each token on two hosts that bring the same numbers. */
const fifty = Array.from({ length: 50 }, (_, index): Partial<RunnerSettings> => {
  const [token, concurrentProjectId] = [index % 5, Math.floor(index / 5) % 5];
  return { runnerToken: `glrt-t1_Token${token}xyzRestOfIt`, concurrentProjectId };
});

describe('50 jobs of one user at the same time', () => {
  test('never share a directory, and there are as many directories as jobs at a time', async () => {
    const start = (all: readonly Partial<RunnerSettings>[]) =>
      Promise.all(all.map((settings) => configured({ settings })));
    const jobs = await start(fifty);
    const expected = numbers(50).map((name) => `builds/${name}`);
    assert.deepEqual(jobs.map(({ directory }) => directory).toSorted(), expected);

    const [ending, staying] = [jobs.filter((_, index) => index % 2 === 0), jobs.filter((_, index) => index % 2 === 1)];
    const [, later] = await Promise.all([cleanUpAtOnce(ending), start(fifty.slice(0, 10))]);
    const latest = await start(fifty.slice(10, 25));
    const now = [...staying, ...later, ...latest].map(({ directory }) => directory);
    assert.equal(new Set(now).size, now.length, 'no directory twice');
    assert.ok((await readdir(join(base, 'builds'))).length <= 60, 'no more directories than jobs at a time');
    await cleanUpAtOnce([...staying, ...later, ...latest]);
    assert.deepEqual(await claimsOf(account), []);
  });

  test('without limit_build_dir keep the directories of their runners, and never share one', async () => {
    const configuration = await world.configure(unlimited);
    const jobs = await Promise.all(fifty.map((settings) => configured({ settings, configuration })));
    const tokens = [0, 1, 2, 3, 4].map((token) => `Token${token}xyz`);
    const expected = tokens.flatMap((token) => numbers(10).map((name) => `builds/${token}/${name}`));
    assert.deepEqual(jobs.map(({ directory }) => directory).toSorted(), expected);
    await cleanUpAtOnce(jobs);
    assert.deepEqual(await claimsOf(account), []);
  });
});

async function cleanUpAtOnce(jobs: readonly Configured[]): Promise<void> {
  await Promise.all(jobs.map((job) => cleanUp(job)));
}

const hosts: Record<string, { limit: boolean; tokens: [string, string]; expected: [string, string] }> = {
  'with one token and the same numbers': {
    limit: false,
    tokens: ['glrt-t1_OneToken00001', 'glrt-t1_OneToken00001'],
    expected: ['builds/OneToken0/000', 'builds/OneToken0/001'],
  },
  'with two tokens and the same numbers': {
    limit: false,
    tokens: ['glrt-t1_FirstOne00001', 'glrt-t1_SecondOne0001'],
    expected: ['builds/FirstOne0/000', 'builds/SecondOne/000'],
  },
  'with two tokens and limit_build_dir': {
    limit: true,
    tokens: ['glrt-t1_FirstOne00001', 'glrt-t1_SecondOne0001'],
    expected: ['builds/000', 'builds/001'],
  },
};

describe('two hosts with one home', async () => {
  const other = await driverOnHost(world, 'other');
  for (const [title, { limit, tokens, expected }] of Object.entries(hosts)) {
    test(`${title} never share a directory`, async () => {
      const options = { general: { limit_build_dir: limit } };
      const [here, there] = tokens;
      const through = await callingThrough(world, other, options);
      const first = await configured({ settings: { ...through, runnerToken: there } });
      const second = await configured({ options, settings: { runnerToken: here } });
      assert.deepEqual([second.directory, first.directory].toSorted(), expected);
    });
  }

  test('each gives back its own claims, and sees when the other has done so', async () => {
    const first = await configured({ settings: await callingThrough(world, other) });
    const second = await configured();
    await cleanUp(first);
    const third = await configured();
    assert.deepEqual([second.directory, third.directory], ['builds/001', 'builds/000']);
  });

  test('a claim of the other host ends when its job must be over', async () => {
    const lost = await configured({ settings: await callingThrough(world, other) });
    const [claim] = await claimsOf(account);
    assert.ok(claim);
    const { timeout } = lost.job.response.runner_info;
    assert.ok(claim.content.until > Date.now() + timeout * 1000, 'not before its job can have timed out');
    await changeClaim(claim, { until: Date.now() - 1, untilUptime: 0 });
    assert.equal((await configured()).directory, lost.directory);
  });

  test('a claim from before the last start of this host is void', async () => {
    const lost = await configured({ settings: await callingThrough(world, await driverBeforeBoot(world)) });
    assert.equal((await configured()).directory, lost.directory);
  });
});

describe('a job that nobody cleans up after', () => {
  test('loses its directory to the next one when everything was killed, and its last processes before that', async () => {
    const runner = await startRunner();
    const sleeper = await eventually('the job runs', async () => {
      return (await treeOf(runner.pid ?? 0)).find(({ command }) => command === 'sleep 987654');
    });
    const all = (await treeOf(runner.pid ?? 0)).filter(({ pid }) => pid !== sleeper.pid);
    const temporary = all.flatMap(({ command }) => command.match(/\/tmp\/jacamar-trial-[^/]+/) ?? [])[0];
    for (const { pid } of all) signal(pid, 'SIGSTOP');
    for (const { pid } of all) signal(pid, 'SIGKILL');
    await once(runner, 'exit');
    assert.equal((await claimsOf(account)).length, 1, 'nobody has given it back');
    assert.equal((await configured()).directory, 'builds/000');
    assert.deepEqual(await processesOf(account.uid), []);
    if (temporary !== undefined) await rm(temporary, { recursive: true });
  });

  test('keeps the next one from nothing by a late cleanup', async () => {
    const lost = await configured();
    const [claim] = await claimsOf(account);
    assert.ok(claim);
    await changeClaim(claim, { owner: { ...claim.content.owner, process: { pid: 4_194_303, startTime: '1' } } });
    const next = await configured();
    assert.equal(next.directory, lost.directory);
    await cleanUp(lost);
    const jobs = (await claimsOf(account)).map(({ content }) => content.jobId);
    assert.deepEqual(jobs, [next.job.facts.id], "the next one's claim stays");
  });
});

/** A runner that is a process of its own; `sleep` outlives what is killed around it. */
async function startRunner(): Promise<ChildProcess> {
  const configuration = await world.configure();
  const program = world.installation.program('jacamar-admin');
  const args = ['trial', '--configuration', configuration, '--user', account.name, '--script', 'sleep 987654'];
  return spawn(program, args, { stdio: 'ignore', detached: true });
}

test('a wrapper around the driver that ends with each call does not end the claim', async () => {
  const settings = await callingThrough(world, await driverBelowShell(world));
  const first = await configured({ settings });
  const second = await configured({ settings });
  assert.deepEqual([first.directory, second.directory], ['builds/000', 'builds/001']);
});

describe('where locks do not work', () => {
  for (const error of ['ENOLCK', 'EOPNOTSUPP', 'ENOSYS']) {
    test(`jobs at the same time still get directories of their own, and the log says why: ${error}`, async () => {
      await cleanUp(await configured()); // the server's keys are cached now, which needs a lock of its own
      const settings = await callingThrough(world, await driverWithoutLocks(world, error));
      const jobs = await Promise.all([1, 2, 3, 4].map(() => configured({ settings })));
      assert.deepEqual(
        jobs.map(({ directory }) => directory).toSorted(),
        numbers(4).map((name) => `builds/${name}`),
      );
      for (const { job } of jobs) assert.deepEqual(await troubleOf(job), ['ERR_LOCK_UNSUPPORTED']);
    });
  }

  const foreign: Record<string, (path: string) => Promise<unknown>> = {
    'a pipe': async (path) => execFileSync('mkfifo', [path]),
    'a symbolic link': (path) => symlink('/dev/null', path),
    'a directory': (path) => mkdir(path),
  };
  for (const [title, make] of Object.entries(foreign)) {
    test(`a job goes on when the lock file is ${title}`, async () => {
      const path = join(base, 'claims/shared/lock');
      await cleanUp(await configured());
      await rm(path);
      await make(path);
      await chown(dirname(path), account.uid, account.gid);
      const { job, directory } = await configured();
      assert.equal(directory, 'builds/000');
      assert.deepEqual(await troubleOf(job), ['ERR_LOCK_FILE']);
    });
  }

  test('a job does not wait for ever for a process that holds the lock and hangs', async () => {
    await cleanUp(await configured());
    const holder = spawn('flock', [join(base, 'claims/shared/lock'), 'sh', '-c', 'echo held; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    try {
      await once(holder.stdout, 'data');
      const { job, directory } = await configured();
      assert.equal(directory, 'builds/000');
      assert.deepEqual(await troubleOf(job), ['ERR_LOCK_BUSY']);
    } finally {
      signal(-(holder.pid ?? 0), 'SIGKILL');
    }
  });

  test('nothing is said where they do', async () => {
    assert.deepEqual(await troubleOf((await configured()).job), []);
  });
});

async function troubleOf(job: StagedJob): Promise<unknown[]> {
  const codes = (await job.log()).map(({ details }) => String(details?.['code'] ?? ''));
  return codes.filter((code) => code.startsWith('ERR_LOCK'));
}

describe('user_enabled_limit', () => {
  const options = { general: { limit_build_dir: true, user_enabled_limit: true } };
  const choose = (value: string) => ({ options, variables: [{ key: 'JACAMAR_LIMITED_DIR', value }] });

  test('leaves a job that does not ask for it in the directory of its runner', async () => {
    for (const wishes of [{ options }, choose('0'), choose('')]) {
      const job = await configured(wishes);
      assert.equal(job.directory, 'builds/TrialRunn/000');
      await cleanUp(job);
    }
  });

  test('gives one that sets JACAMAR_LIMITED_DIR to 1 a shared directory, in every stage', async () => {
    const played = await world.play({ ...choose('1'), script: 'pwd' });
    assert.match(played.jobLog, new RegExp(`^${base}/builds/000/demo/hello$`, 'm'));
    assert.deepEqual(await claimsOf(account), []);
  });

  test('does nothing without limit_build_dir', async () => {
    const general = { limit_build_dir: false, user_enabled_limit: true };
    const { directory } = await configured({ ...choose('1'), options: { general } });
    assert.equal(directory, 'builds/TrialRunn/000');
  });
});

describe('file_lock_debug', () => {
  test('writes down what becomes of claims, in a file of the user that stays', async () => {
    const options = { general: { file_lock_debug: true } };
    const { job, directory } = await configured({ options });
    await cleanUp({ job, directory });
    const path = join(base, 'lock.log');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => [line.includes(hostname()), line.includes(`job ${job.facts.id}`)]),
      [
        [true, true],
        [true, true],
      ],
    );
    const { mode, uid } = lstatSync(path);
    assert.deepEqual([mode & 0o7777, uid], [0o600, account.uid]);
  });

  test('is off otherwise, and never in the way of a job', async () => {
    await cleanUp(await configured());
    assert.ok(!existsSync(join(base, 'lock.log')));
    await symlink('/dev/full', join(base, 'lock.log'));
    await cleanUp(await configured({ options: { general: { file_lock_debug: true } } }));
  });
});

describe('max_build_dir', () => {
  const directories = async () => (await readdir(join(base, 'builds'))).toSorted();
  const left = async (general: object) => {
    const options = { general: { max_build_dir: 1, ...general } };
    const jobs = [];
    for (let count = 0; count < 4; count++) jobs.push(await configured({ options }));
    await writeFile(join(base, 'builds/003/file'), 'of a job');
    const seen = [];
    for (const job of jobs) {
      await cleanUp(job);
      seen.push((await directories()).join(' '));
    }
    return seen;
  };

  test('lets each job remove one directory that is too many and not in use, the highest first', async () => {
    assert.deepEqual(await left({}), ['001 002 003', '002 003', '003', '003']);
  });

  test('lets one job remove all of them with uncap_build_dir_cleanup', async () => {
    const jobs = await Promise.all([1, 2, 3].map(() => configured()));
    await cleanUp(...jobs);
    assert.deepEqual(await directories(), numbers(3));
    const options = { general: { max_build_dir: 1, uncap_build_dir_cleanup: true } };
    await cleanUp(await configured({ options }));
    assert.deepEqual(await directories(), ['000']);
  });

  test('is for shared directories alone', async () => {
    const general = { limit_build_dir: false };
    await left(general).catch(() => {});
    assert.equal((await readdir(join(base, 'builds/TrialRunn'))).length, 4);
  });

  test('leaves what cannot be removed, and removes the rest all the same', async () => {
    const jobs = await Promise.all([1, 2, 3, 4].map(() => configured()));
    await cleanUp(...jobs);
    const stuck = join(base, 'builds/003/group');
    await mkdir(stuck); // of root's
    await writeFile(join(stuck, 'file'), '');
    const options = { general: { max_build_dir: 1 } };
    const seen = [];
    for (let count = 0; count < 3; count++) {
      await cleanUp(await configured({ options }));
      seen.push((await directories()).filter((name) => !name.startsWith('.')).join(' '));
    }
    assert.deepEqual(seen, ['000 001 002', '000 001', '000']);
    assert.equal((await directories()).length, 2);
  });

  test('goes on with what a killed cleanup left aside', async () => {
    await cleanUp(await configured());
    const aside = join(base, 'builds/.surplus-004-x');
    await mkdir(join(aside, 'group'), { recursive: true });
    execFileSync('chown', ['-R', `${account.uid}:${account.gid}`, aside]);
    await cleanUp(await configured({ options: { general: { max_build_dir: 5 } } }));
    assert.deepEqual(await directories(), ['000']);
  });
});

describe('jacamar lock', () => {
  test('shows each claim with its directory, job, runner, and whether it is alive', async () => {
    const { job } = await configured();
    await configured({ options: unlimited });
    const { status, stdout } = lockCommand();
    assert.equal(status, 0);
    const [head, shared, own] = stdout.split('\n');
    assert.match(head ?? '', /^DIRECTORY +STATE +AGE +JOB +RUNNER +BECAUSE$/);
    const runner = `${hostname()}:${process.pid}`;
    const server = world.gitlab.url;
    assert.match(
      own ?? '',
      new RegExp(`^builds/TrialRunn/000 +alive +0m +\\d+ of demo/hello \\(${server}\\) +${runner} `),
    );
    assert.match(shared ?? '', new RegExp(`^builds/000 +alive +0m +${job.facts.id} of demo/hello`));
  });

  test('releases no claim of a living job, unless it is told to', async () => {
    const { job } = await configured();
    const refused = lockCommand('release', 'builds/000');
    assert.notEqual(refused.status, 0);
    assert.equal((await claimsOf(account)).length, 1);
    const forced = lockCommand('release', '--force', join(base, 'builds/000'));
    assert.equal(forced.status, 0, forced.stderr);
    assert.match(forced.stdout, new RegExp(`builds/000.*${job.facts.id}`));
    assert.deepEqual(await claimsOf(account), []);
  });

  test('releases all claims of jobs that are over, and no others', async () => {
    const over = [await configured(), await configured()].map(({ job }) => job.facts.id);
    const living = await configured();
    for (const claim of await claimsOf(account)) {
      if (over.includes(claim.content.jobId)) await changeClaim(claim, { until: 0, untilUptime: 0 });
    }
    assert.match(lockCommand().stdout, /^builds\/000 +dead /m);
    const { status, stdout } = lockCommand('release', '--dead');
    assert.deepEqual([status, stdout.split('\n').length], [0, 3]);
    assert.deepEqual(
      (await claimsOf(account)).map(({ content }) => content.jobId),
      [living.job.facts.id],
    );
  });

  test('says what is not claimed, asks for a name, and explains itself', async () => {
    assert.equal(lockCommand().status, 0, 'nothing is there');
    for (const args of [['builds/000'], []]) assert.notEqual(lockCommand('release', ...args).status, 0);
    const help = lockCommand('release', '--help');
    assert.equal(help.status, 0);
    for (const option of ['--base', '--dead', '--force']) assert.ok(help.stdout.includes(option));
  });
});
