// The four driver stages as lists of steps. Each authorizes afresh: what came back through the environment
// of the runner is a hint, never authority.

import { statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describeConfig } from '../contract/config-output.ts';
import { customBuildsDir } from '../contract/custom-builds-dir.ts';
import {
  type ConfigOutput,
  type DriverStage,
  JOB_ENVIRONMENT,
  RUN_STAGE_NAME,
  SCRIPT_FROM_HANDOFF,
  USER_SCRIPT_STAGES,
} from '../contract/custom-executor.ts';
import { accountDirectory, baseDirectory, dataPermissions } from '../contract/directories.ts';
import { SystemFailure } from '../contract/errors.ts';
import { encodeHandoff, type HandoffContent, repositoryAccess, settingsOf } from '../contract/handoff.ts';
import { readRunnerNumbers } from '../contract/job.ts';
import { noRoom } from '../contract/no-room.ts';
import { callingRunner, identityOf, mayBeAlive, type ProcessIdentity } from '../contract/process-identity.ts';
import { tell, writeFully } from '../contract/program.ts';
import type { StageCall } from '../contract/runner-call.ts';
import { printable } from '../contract/text.ts';
import type { Account } from './account.ts';
import { type Authorization, authorize, authorizeAgain, authorizeCleanup, type ServedJob } from './authorize.ts';
import { type CallFilter, callFilter } from './call-filter.ts';
import { isRoot } from './credentials.ts';
import { type Decision, decide } from './decision.ts';
import {
  continueStarter,
  type Downscope,
  type Errand,
  MECHANISMS,
  refuseRoot,
  runJacamar,
  signalSession,
} from './downscope.ts';
import { jacamarVariables } from './environment.ts';
import { type HeadStart, leaveHeadStart } from './head-start.ts';
import { jacamarExecutable } from './jacamar-executable.ts';
import { warnOfNoNewPrivileges } from './no-new-privileges.ts';
import { type JobRecord, RecordDirectory, type RunningJacamar } from './record.ts';
import { createRootDirectory } from './root-directory.ts';
import { findServer, isSafeTransport } from './server.ts';
import { readJob, type Site } from './site.ts';
import { readTrustedFile, UntrustedFileError } from './trusted-file.ts';

/** Largest script taken from the runner: all variables of the job stand in it. */
const LARGEST_SCRIPT = 64 * 1024 * 1024;

/** How long a killed process may take to be gone, in milliseconds. */
const DEATH_LIMIT_MS = 5_000;

/** What the runner asks of one call. */
interface Request {
  readonly call: StageCall;
  /** A jacamar that may already wait for what this stage will have to say. */
  readonly headStart: HeadStart | undefined;
  readonly stop: AbortSignal;
}

/** Runs the stage that was asked for, to its end. */
export async function runStage(site: Site, request: Request): Promise<void> {
  const { call } = request;
  const { downscope, noNewPrivs: noNewPrivileges } = site.configuration.auth;
  if (call.stage === 'config') warnOfNoNewPrivileges(site.log, downscope);
  const filter = callFilter(site.configuration, site.credentials);
  MECHANISMS[downscope].check({ credentials: site.credentials, noNewPrivileges, hasFilter: filter !== undefined });
  const served = serve(site);
  const records = new RecordDirectory(site.stateDirectory, served.server.url, served.job.id);
  await STAGES[call.stage]({ ...request, site, filter, served, records });
}

/** What each stage function works with. */
interface Step extends Request {
  readonly site: Site;
  /** Of system calls, where the site wants one. */
  readonly filter: CallFilter | undefined;
  readonly served: ServedJob;
  readonly records: RecordDirectory;
}

const STAGES: Record<DriverStage, (step: Step) => Promise<void>> = { config, prepare, run, cleanup };

async function config(step: Step): Promise<void> {
  const { site, served, records } = step;
  records.prune(Math.floor(site.now() / 1000));
  warnOfWeakness(step);
  const { account, record } = await decideAt(step, async (decision) => {
    const authorization = await authorize(site, served, decision);
    const record = recordOf(step, authorization);
    records.create(record);
    return { account: authorization.account, record };
  });
  site.log.info(`local account (${account.name}) authorized for CI job execution`);
  makeAsRoot(site, record, account);
  const { slot, lockTrouble } = await launch(step, { account, record, output: 2 });
  if (lockTrouble !== undefined) site.log.warn(printable(lockTrouble.message), { code: lockTrouble.code });
  if (slot === undefined)
    throw new SystemFailure({ code: 'ERR_NO_SLOT', message: 'jacamar reported no build directory' });
  records.slot = slot;
  if (site.configuration.auth.startAhead) leaveHeadStart(site.environment, downscopeFor(step, account));
  writeFully(1, JSON.stringify(configOutput(step, { account, record }, slot)));
}

/** What an administrator may have chosen, but should see in the log of every job. */
function warnOfWeakness({ site, served: { server } }: Step): void {
  if (!isSafeTransport(new URL(server.url)))
    site.log.warn('the GitLab server is asked without TLS', { server: server.url });
  const isService = !isRoot() && site.configuration.auth.downscope === 'setuid';
  if (isService && statSync(site.configurationPath).uid !== 0) {
    site.log.warn(
      'the configuration belongs to the service account: whoever has that account decides who runs as whom',
    );
  }
}

async function prepare(step: Step): Promise<void> {
  const record = requireRecord(step);
  const { account } = await decideAt(step, (decision) => authorizeAgain(step.site, step.served, record, decision));
  await launch(step, { account, record, output: 1 });
}

async function run(step: Step): Promise<void> {
  const runStageName = requireRunStage(step.call);
  if (!isAllowedRunStage(step, runStageName)) return;
  const script = readScript(step.call.scriptPath);
  const record = requireRecord(step);
  const { account } = await decideAt(step, (decision) => authorizeAgain(step.site, step.served, record, decision));
  step.records.markRun();
  try {
    await launch(step, { account, record, output: 1, script });
  } finally {
    step.records.running = undefined;
  }
}

/** Works with nothing, twice, with an expired token, and beside a run that still lives. */
async function cleanup(step: Step): Promise<void> {
  const { site, served, records } = step;
  const record = records.read();
  if (record === undefined || records.hasEnded) {
    site.log.debug('nothing to clean up: no job was authorized, or it was cleaned up before');
    return;
  }
  const account = await decideAt(step, (decision) => authorizeCleanup(site, served, record, decision));
  markClosing(step);
  await endRunning(step, account);
  await launch(step, { account, record, output: 1 });
  records.end();
}

/** Without room for the mark there is none for the record of a new run stage either, and so it does not start. */
function markClosing({ site, records }: Step): void {
  try {
    records.markClosing();
  } catch (error) {
    const parts = noRoom(error);
    if (parts === undefined) throw error;
    site.log.error('the state directory is full; the job is cleaned up all the same', { reason: parts.message });
  }
}

/**
 * After a hard stop the runner waits only five minutes for a run call before it starts cleanup, and a killed
 * one leaves nobody to wait for: what still runs of the job is ended here.
 */
async function endRunning(step: Step, account: Account): Promise<void> {
  const { running } = step.records;
  if (running === undefined) return;
  if (mayBeAlive(running)) await endJacamar(step, account, running);
  await releaseStarter(step, running);
}

async function endJacamar(step: Step, account: Account, running: RunningJacamar): Promise<void> {
  const { site } = step;
  site.log.warn('a run stage of this job still lives and is ended', { pid: running.pid });
  const downscope = downscopeFor(step, account);
  await signalSession(downscope, 'SIGTERM', running.pid, site.credentials);
  // A stopped one acts on that only when it goes on.
  await signalSession(downscope, 'SIGCONT', running.pid, site.credentials);
  await untilGone(running, site.configuration.general.killTimeoutMs);
  if (!mayBeAlive(running)) return;
  await signalSession(downscope, 'SIGKILL', running.pid, site.credentials);
  await releaseStarter(step, running);
  await untilGone(running, DEATH_LIMIT_MS);
}

/** A sudo or su that had stopped itself with jacamar sees its end only when it goes on; until then it stays. */
async function releaseStarter({ site }: Step, { starter }: RunningJacamar): Promise<void> {
  if (starter === undefined || !mayBeAlive(starter)) return;
  continueStarter(starter.pid, site.credentials);
  await untilGone(starter, DEATH_LIMIT_MS);
}

async function untilGone(identity: ProcessIdentity, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (mayBeAlive(identity) && performance.now() < deadline) await delay(20);
}

/** The server is found before anything else is believed of the job. */
function serve({ environment, configuration, log }: Site): ServedJob {
  const job = readJob(environment);
  log.describe({ job: job.id });
  log.describe({ runner: readRunnerNumbers(environment).shortToken });
  const { gitlabServer: url, tlsCaFile: caFile } = configuration.general;
  return { job, server: findServer({ url, caFile }, job) };
}

function recordOf({ site, served: { job, server } }: Step, { claims, account, dataDir }: Authorization): JobRecord {
  const { shortToken, concurrentProjectId } = readRunnerNumbers(site.environment);
  const isChoosable = site.configuration.general.customBuildDir;
  const buildsDir = isChoosable ? customBuildsDir(site.environment, job, account) : undefined;
  return {
    server: server.url,
    jobId: job.id,
    tokenId: claims.jti,
    tokenExpiry: claims.exp,
    userId: claims.user_id,
    login: claims.user_login,
    account: { name: account.name, uid: account.uid, gid: account.gid, home: account.home },
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(buildsDir === undefined ? {} : { customBuildsDir: buildsDir }),
    runner: shortToken,
    concurrent: concurrentProjectId,
  };
}

async function decideAt<T>(
  { site, served: { job }, call }: Step,
  make: (decision: Decision) => Promise<T>,
): Promise<T> {
  return await decide({ job, stage: call.stage, log: site.log }, make);
}

function requireRecord({ records, call }: Step): JobRecord {
  const record = records.read();
  if (record !== undefined && !records.isClosing) return record;
  throw new SystemFailure({
    code: 'ERR_NO_RECORD',
    message: `no open record of this job at the ${call.stage} stage: its config stage did not end well, or it is over`,
  });
}

function requireRunStage({ runStage: name }: StageCall): string {
  if (name !== undefined && RUN_STAGE_NAME.test(name)) return name;
  const message = `"${printable(name ?? '')}" is no acceptable name of a run stage`;
  throw new SystemFailure({ code: 'ERR_RUN_STAGE', message });
}

function isAllowedRunStage({ site }: Step, name: string): boolean {
  const { runStageAllowlist: allowed } = site.configuration.auth;
  const names = USER_SCRIPT_STAGES.includes(name) ? USER_SCRIPT_STAGES : [name];
  if (allowed === undefined || names.some((each) => allowed.includes(each))) return true;
  tell(`Skipping ${name}: this runner's administrator does not allow it.`);
  site.log.warn('run stage skipped: it is not on run_stage_allowlist', { runStage: name });
  return false;
}

function readScript(path: string | undefined): Buffer {
  try {
    return readTrustedFile(path ?? '', LARGEST_SCRIPT);
  } catch (cause) {
    if (!(cause instanceof UntrustedFileError)) throw cause;
    throw new SystemFailure({ code: 'ERR_SCRIPT_FILE', message: `script of the runner ${cause.message}`, cause });
  }
}

function makeAsRoot({ configuration }: Site, record: JobRecord, account: Account): void {
  const { general, auth } = configuration;
  const path = accountDirectory(record.dataDir ?? general.dataDir, record.account);
  if (!auth.rootDirCreation || path === undefined) return;
  createRootDirectory({ path, permissions: dataPermissions(general) }, account);
}

function baseOf({ configuration }: Site, { account, dataDir }: JobRecord): string {
  return baseDirectory(dataDir ?? configuration.general.dataDir, account);
}

function configOutput(step: Step, { account, record }: Authorized, slot: number): ConfigOutput {
  return describeConfig({
    layout: handoffOf(step, record, account),
    slot,
    jobEnvironment: { [JOB_ENVIRONMENT.configuration]: step.site.configurationPath },
  });
}

interface Authorized {
  readonly account: Account;
  readonly record: JobRecord;
}

interface Launch extends Authorized {
  readonly output: 1 | 2;
  readonly script?: Buffer;
}

async function launch(step: Step, { account, record, output, script }: Launch) {
  const { site, call, headStart, stop, records } = step;
  const { general, auth } = site.configuration;
  const handoff = handoffOf(step, record, account);
  const downscope = downscopeFor(step, account);
  if (!auth.startAhead) await headStart?.discard(site.credentials);
  const errand: Errand = {
    downscope,
    waiting: await headStart?.take(downscope, site.credentials),
    stageArguments: call.stage === 'run' ? ['run', SCRIPT_FROM_HANDOFF, call.runStage ?? ''] : [call.stage],
    handoff: (reportMark) => encodeHandoff(reportMark === undefined ? handoff : { ...handoff, reportMark }, script),
    output,
    keepProcesses: general.keepProcesses,
    killTimeoutMs: general.killTimeoutMs,
    stop,
    onStart: (pid, starter) => {
      site.log.debug('jacamar started', { account: account.name, uid: account.uid, pid, runStage: call.runStage });
      if (call.stage !== 'run') return;
      records.running = { ...identityOf(pid), ...(starter === undefined ? {} : { starter: identityOf(starter) }) };
      // A cleanup that did not see this one has said so before: nothing of the job has been started yet.
      requireRecord(step);
    },
  };
  return await runJacamar(errand, site.credentials, site.lock);
}

function downscopeFor({ site, filter }: Step, account: Account): Downscope {
  const { auth } = site.configuration;
  refuseRoot(account);
  return {
    mechanism: MECHANISMS[auth.downscope],
    jacamar: jacamarExecutable(auth.jacamarPath),
    account,
    noNewPrivileges: auth.noNewPrivs || filter?.noNewPrivileges === true,
    ...(filter === undefined ? {} : { seccompFilter: filter.compileFor(account) }),
  };
}

function handoffOf(
  { site, served: { job }, call, records }: Step,
  record: JobRecord,
  account: Account,
): HandoffContent {
  const { general, auth, batch } = site.configuration;
  const { name, home, shell } = account;
  const { slot } = records;
  const variables = jacamarVariables(site.environment, {
    longest: auth.maxEnvChars,
    argumentsVariable: batch.argumentsVariable,
  });
  return {
    stage: call.stage,
    ...(call.runStage === undefined ? {} : { runStage: call.runStage }),
    job: {
      id: job.id,
      server: record.server,
      projectPath: job.projectPath,
      runner: record.runner,
      concurrent: record.concurrent,
      timeoutSeconds: job.timeoutSeconds,
      startedAt: records.createdAt,
    },
    account: { name, home, shell },
    runnerProcess: callingRunner(),
    base: baseOf(site, record),
    ...(record.customBuildsDir === undefined ? {} : { customBuildsDir: record.customBuildsDir }),
    ...(slot === undefined ? {} : { slot }),
    ...(call.stage === 'cleanup' && records.running !== undefined ? { stageWasKilled: true } : {}),
    settings: settingsOf(site.configuration, variables),
    variables,
    ...repositoryAccess(job, general.unrestrictedCmdLine),
  };
}
