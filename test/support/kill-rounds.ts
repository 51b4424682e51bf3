// Rounds of sudden death: each starts a stage, kills one of its programs (or both) after a random time, and looks at
// what must hold whenever anything is killed: no privileged survivor, no process of the job older than its cleanup,
// no stuck lock, no file that others can read, and the next job runs. Used by a driver test and by script/kill-rounds.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestAccount } from './accounts.ts';
import { claimsOf } from './claims.ts';
import { eventually } from './eventually.ts';
import { filesBelow } from './files.ts';
import { allProcesses, type ProcessView, signal, treeOf } from './processes.ts';
import type { StagedJob } from './staged-job.ts';
import type { World } from './world.ts';

/** What is killed in a round. */
const VICTIMS = ['jacamar-auth', 'jacamar', 'both', 'the group', 'jacamar first', 'the shell'] as const;
type Victim = (typeof VICTIMS)[number];

type Stage = 'config' | 'prepare' | 'run' | 'cleanup';

/** In the order of one job; each is killed once. A killed config stage is repeated, as the runner does it. */
const STAGES: readonly Stage[] = ['config', 'prepare', 'run', 'run', 'run', 'cleanup'];

/** A job that hides what it can; one in four times a deaf part of it has to be killed, which takes longer. */
const SCRIPT = [
  'setsid sleep 301 &',
  '(setsid env -i /bin/sleep 302 > /dev/null 2>&1 < /dev/null & )',
  '[ "$((RANDOM % 4))" != 0 ] || (setsid bash -c "trap : TERM; sleep 303; sleep 304" & )',
  'sleep 0.1',
].join('\n');

export interface KillRounds {
  readonly rounds: number;
  /** Kills come within this time after the start of the stage, in milliseconds. */
  readonly latestMs: number;
  /** Decides everything random, so that a failure can be repeated. */
  readonly seed: number;
}

/** Plays at least so many rounds, one after the other, on one account. */
export async function playKillRounds(world: World, account: TestAccount, plan: KillRounds): Promise<void> {
  const random = generator(plan.seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const wishes = { login: account.name, options: { general: { kill_timeout: '1s' } } };
  for (let round = 0; round < plan.rounds; ) {
    const job = await world.stages(wishes);
    for (const stage of STAGES) {
      round += 1;
      const death = { stage, victim: pick(VICTIMS), afterMs: random() * plan.latestMs };
      const text = `round ${round} of seed ${plan.seed}: ${JSON.stringify(death)}`;
      await killDuring(world, job, account, death);
      if (stage === 'config') await startAgain(job, text);
    }
    await check(world, job, account, `up to round ${round} of seed ${plan.seed}`);
    await job.close();
  }
}

async function startAgain(job: StagedJob, text: string): Promise<void> {
  const cleaned = await job.cleanup();
  assert.equal(cleaned.outcome.kind, 'success', `${text}: ${cleaned.stderr}`);
  await job.configured();
}

interface Death {
  readonly stage: Stage;
  readonly victim: Victim;
  readonly afterMs: number;
}

/**
 * The time counts from the start of the driver: before that there is nothing of ours to kill. Whatever else is found
 * below it, only what is installed for this test or runs as its account is killed.
 */
async function killDuring(world: World, job: StagedJob, account: TestAccount, death: Death): Promise<void> {
  const { promise: start, resolve: onStart } = Promise.withResolvers<number>();
  const { stage } = death;
  const call = stage === 'run' ? job.run(SCRIPT, 'build_script', { onStart }) : job.attempt.call(stage, { onStart });
  const driver = await start;
  await Promise.race([call, delay(death.afterMs)]);
  const { prefix } = world.installation;
  const ours = (await treeOf(driver)).filter(({ command, uid }) => command.startsWith(prefix) || uid === account.uid);
  const [auth, jacamar, shell] = ours.map(({ pid }) => pid);
  // Not there: the call is over.
  if (auth === driver) for (const target of targets(death.victim, auth, jacamar, shell)) kill(target);
  await call;
}

/** Absent ones are left out. */
function targets(victim: Victim, auth: number, jacamar?: number, shell?: number): number[] {
  const all: Record<Victim, readonly (number | undefined)[]> = {
    'jacamar-auth': [auth],
    jacamar: [jacamar],
    both: [auth, jacamar],
    'jacamar first': [jacamar, auth],
    'the group': [-auth],
    'the shell': [shell],
  };
  return all[victim].filter((target) => target !== undefined);
}

/** It may have been quicker. */
function kill(target: number): void {
  try {
    signal(target, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The runner's cleanup, then everything that has to hold; that the next job runs, its own config stage shows. */
async function check(world: World, job: StagedJob, account: TestAccount, text: string): Promise<void> {
  const cleaned = await job.cleanup();
  assert.equal(cleaned.outcome.kind, 'success', `${text}: ${cleaned.stderr}`);
  assert.deepEqual(
    (await allProcesses()).filter(({ uid }) => uid === account.uid),
    [],
    `${text}: a process is older than the end of the cleanup`,
  );
  // Rounds of another account go on meanwhile: a launcher that is killed may have a child that has yet to drop its ids.
  await eventually(`${text}: no privileged survivor`, async () => (await orphansOf(world)).length === 0, 5_000);
  await checkFiles(world, account, text);
}

async function orphansOf({ installation }: World): Promise<ProcessView[]> {
  return (await allProcesses()).filter(
    ({ command, parent, uid }) => command.startsWith(installation.prefix) && parent === 1 && uid === 0,
  );
}

async function checkFiles(world: World, account: TestAccount, text: string): Promise<void> {
  for (const directory of [world.at('state'), join(account.home, '.jacamar-ci')]) {
    for (const { path, stats } of await filesBelow(directory)) {
      if (stats.isSymbolicLink() || /\/builds\//.test(path)) continue;
      assert.equal(stats.mode & 0o077, 0, `${text}: ${path} is open to others`);
    }
  }
  const scripts = await filesBelow(join(account.home, '.jacamar-ci/scripts'));
  assert.deepEqual(
    scripts.filter(({ stats }) => stats.isFile()).map(({ path }) => path),
    [],
    text,
  );
  assert.deepEqual(await claimsOf(account), [], `${text}: a claim is left`);
}

/** Mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
