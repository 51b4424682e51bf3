// The four driver stages on the user's side, as lists of steps.

import { buildDirectory } from '../contract/directories.ts';
import { JobError, SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import { loadLock } from '../contract/lock.ts';
import { writeFully } from '../contract/program.ts';
import { type Claimed, claimSlot, releaseClaims } from './claim.ts';
import { executorByName } from './executors/executor.ts';
import { directoryOf, openScripts, removeDeadScripts, removeScripts } from './job-scripts.ts';
import { type RepositoryAccess, repositoryAccess } from './repository-access.ts';
import { checkRoom, tellRoom } from './room.ts';
import { placeScript } from './script.ts';
import { leaveStaticDirectory, removeOldStaticDirectories, takeStaticDirectory } from './static-directory.ts';
import { bearMark, endStragglers } from './stragglers.ts';
import { removeSurplus } from './surplus.ts';
import { makeBuildsDirectory, openWorkspace } from './workspace.ts';

/** How long a stage may be busy removing things, in milliseconds: the runner waits, and shows nobody why. */
const REMOVAL_LIMIT_MS = { prepare: 10_000, cleanup: 60_000 } as const;

/** What a stage has to say besides that it went well: the config stage the build directory's number. */
export type StageResult = Partial<Claimed>;

/** Runs one stage. `stop` is aborted when it shall end early, with all that it started. */
export async function runStage(handoff: Handoff, script: Buffer, stop: AbortSignal): Promise<StageResult> {
  try {
    return await STAGES[handoff.stage](handoff, script, stop);
  } catch (error) {
    throw tellRoom(error, handoff.base, loadLock());
  }
}

const STAGES: Record<Handoff['stage'], typeof runStage> = { config, prepare, run, cleanup };

async function config(handoff: Handoff, _: Buffer, stop: AbortSignal): Promise<StageResult> {
  openWorkspace(handoff);
  const claimed = await chooseSlot(handoff, stop);
  makeBuildsDirectory(handoff, claimed.slot);
  return claimed;
}

/** A static directory has no number; the runner's own still stands in the names of others. */
async function chooseSlot(handoff: Handoff, stop: AbortSignal): Promise<Claimed> {
  if (!handoff.settings.staticBuildsDir) return await claimSlot(handoff, loadLock(), stop);
  takeStaticDirectory(handoff);
  return { slot: handoff.job.concurrent };
}

async function prepare(handoff: Handoff, _: Buffer, stop: AbortSignal): Promise<StageResult> {
  openWorkspace(handoff);
  const { executor, jobMessage } = handoff.settings;
  const lines = [
    ...(jobMessage === undefined ? [] : [jobMessage]),
    `Targeting ${executor} execution`,
    `Running as ${handoff.account.name} UID: ${process.getuid?.()} GID: ${process.getgid?.()}`,
    `Local time: ${localTime(new Date())}`,
  ];
  writeFully(1, `${lines.join('\n')}\n`);
  await removeDeadScripts(handoff, { deadline: performance.now() + REMOVAL_LIMIT_MS.prepare, stop });
  checkRoom(buildDirectory(handoff, requireSlot(handoff)), handoff.settings, loadLock());
  return {};
}

async function run(handoff: Handoff, script: Buffer, stop: AbortSignal): Promise<StageResult> {
  bearMark(handoff.job, loadLock());
  const { runStage: name = '' } = handoff;
  const { prepareScript, execute } = executorByName(handoff.settings.executor);
  const slot = requireSlot(handoff);
  const directory = directoryOf(handoff, slot);
  const access = repositoryAccess(directory, slot, handoff);
  const place = () => {
    openWorkspace(handoff);
    openScripts(handoff, slot);
    access.place();
    const whole = Buffer.concat([Buffer.from(access.preamble), script]);
    return placeScript(directory, name, prepareScript(whole, name));
  };
  const task = { handoff: withEnvironment(handoff, access.environment), place: () => insist(place), stop };
  try {
    await execute(task);
  } finally {
    removeNow(access);
  }
  return {};
}

async function cleanup(handoff: Handoff, _: Buffer, stop: AbortSignal): Promise<StageResult> {
  const { slot, settings } = handoff;
  if (!settings.keepProcesses) await endStragglers(handoff.job, loadLock(), handoff.stageWasKilled === true);
  await executorByName(settings.executor).cleanUp?.(handoff, stop);
  const patience = { deadline: performance.now() + REMOVAL_LIMIT_MS.cleanup, stop };
  try {
    if (slot !== undefined) await removeScripts(handoff, slot, patience);
  } finally {
    if (slot !== undefined && settings.staticBuildsDir) leaveStaticDirectory(handoff);
    releaseClaims(handoff);
  }
  if (settings.staticBuildsDir) await removeOldStaticDirectories(handoff, patience);
  else await removeSurplus(handoff, patience);
  return {};
}

/** What the job has made unreachable stays until cleanup, and is no reason for the stage to fail. */
function removeNow({ remove }: RepositoryAccess): void {
  try {
    remove();
  } catch {
    // cleanup tells of it
  }
}

/** How often the profile, which runs at the same time, may remove what was just made. */
const MOST_ATTEMPTS = 5;

function insist(place: () => string): string {
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt++) {
    try {
      return place();
    } catch (error) {
      const { code, cause } = error as { code?: string; cause?: { code?: string } };
      if (code !== 'ENOENT' && cause?.code !== 'ENOENT') throw error;
    }
  }
  const message =
    "The directory of the job's script is removed again and again; your profile or another job of yours does that.";
  throw new JobError({ code: 'ERR_SCRIPT_GONE', message });
}

function withEnvironment(handoff: Handoff, more: readonly string[]): Handoff {
  const { settings } = handoff;
  return { ...handoff, settings: { ...settings, userBashEnv: [...settings.userBashEnv, ...more] } };
}

function requireSlot({ slot }: Handoff): number {
  if (slot !== undefined) return slot;
  const message = 'no build directory was chosen for this job: its config stage did not end well';
  throw new SystemFailure({ code: 'ERR_NO_SLOT', message });
}

/** As date(1) writes it, in the host's time zone. */
function localTime(now: Date): string {
  const shifted = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19).replace('T', ' ');
}
