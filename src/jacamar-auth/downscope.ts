// Starts jacamar as the job's account, passes signals on, and waits. How privilege is given up on the way is a
// matter of the mechanism that the site chose; there is one file for each in `downscope/`.

import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { AuthorizationError, JobError, ScriptFailure, SystemFailure } from '../contract/errors.ts';
import { decodeReport, type Report } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import { ProcessTree } from '../contract/process-tree.ts';
import type { Account } from './account.ts';
import { type Credentials, type ExitStatus, isRoot } from './credentials.ts';
import { type Channel, openSocketChannel, pipeEnds, socketEnds } from './downscope/channel.ts';
import type { Downscope, Mechanism } from './downscope/mechanism.ts';
import { none } from './downscope/none.ts';
import { setuid } from './downscope/setuid.ts';
import { su } from './downscope/su.ts';
import { sudo } from './downscope/sudo.ts';
import { describeExit, waitForExit, waitForExitWithin } from './exit-status.ts';
import type { Waiting } from './head-start.ts';

export type { Downscope } from './downscope/mechanism.ts';

/** By the values of `auth.downscope`. */
export const MECHANISMS = { setuid, sudo, su, none } as const satisfies Record<string, Mechanism>;

/** One run of jacamar. */
export interface Errand {
  readonly downscope: Downscope;
  /** A jacamar that was started ahead and is just what would be started now; already the only owner of its channel. */
  readonly waiting: Waiting | undefined;
  /** What follows `--no-auth`. */
  readonly stageArguments: readonly string[];
  /** Makes the handoff; `reportMark` belongs into it. */
  readonly handoff: (reportMark: string | undefined) => Buffer;
  /** 1, or 2 where standard output belongs to the contract. */
  readonly output: 1 | 2;
  /** Whether processes of the job may outlive a stage that ends well (`general.keep_processes`). */
  readonly keepProcesses: boolean;
  /** From SIGTERM to SIGKILL, in milliseconds (`general.kill_timeout`). */
  readonly killTimeoutMs: number;
  /** Aborted when the runner wants an end. */
  readonly stop: AbortSignal;
  /**
   * Called as soon as jacamar runs, before it gets anything to do; may throw to prevent that. `starter` is what we started
   * for that, if it was not jacamar itself.
   */
  readonly onStart: (jacamar: number, starter: number | undefined) => void;
}

type SucceededReport = Extract<Report, { outcome: 'succeeded' }>;

/** A jacamar that runs. */
interface Running {
  readonly errand: Errand;
  readonly credentials: Credentials;
  readonly channel: Channel;
  /** What we started: jacamar, or the program that starts it. */
  readonly launched: number;
  readonly jacamar: number;
}

/**
 * Runs jacamar to its end.
 * @returns its report
 * @throws {ScriptFailure | JobError | SystemFailure} what the report says, or that there is none
 */
export async function runJacamar(errand: Errand, credentials: Credentials, lock: Lock): Promise<SucceededReport> {
  const tree = new ProcessTree(lock);
  const running = await begin(errand, credentials);
  const { channel, launched } = running;
  await announce(running);
  channel.send(errand.handoff(channel.reportMark));
  const stopForwarding = forwardStop(running);
  // Once it is waited for, its number may be another's, also as that of a group.
  const status = await waitForExit(launched, credentials).finally(stopForwarding);
  const report = decodeReport(await channel.report(REPORT_PATIENCE_MS));
  // Whatever the report says: anybody with the account's rights could have written it.
  const isKept = errand.keepProcesses && report !== undefined && !errand.stop.aborted;
  const surviving = isKept ? [] : await endLeftovers(errand.downscope, credentials, tree);
  if (report === undefined || !fits(report, status)) throw died(errand, status, surviving);
  if (report.outcome === 'failed') throw failureFrom(report);
  return report;
}

/** Nothing of the job has been started yet: jacamar waits for its handoff. */
async function announce(running: Running): Promise<void> {
  const { errand, launched, jacamar, credentials } = running;
  try {
    errand.onStart(jacamar, launched === jacamar ? undefined : launched);
  } catch (error) {
    await kill(running);
    await waitForExit(launched, credentials);
    throw error;
  }
}

/** How long the channel may stay open when jacamar has ended: somebody else may hold a copy of its end. */
const REPORT_PATIENCE_MS = 2_000;

/** jacamar ends with 0 after a success alone. */
function fits({ outcome }: Report, status: ExitStatus): boolean {
  const isSuccess = 'exitCode' in status && status.exitCode === 0;
  return isSuccess === (outcome === 'succeeded');
}

/** More than one round, since a process may have started another while the first was on its way. */
const KILL_ROUNDS = 5;

/**
 * What jacamar did not end itself, as when it was killed, or when something of the job became root. Orphans come to
 * us, the next subreaper above it, however they hide; they are found by their descent, since the number of a group
 * may be another's once its leader is reaped. A service account may not signal them: the account itself does.
 * @returns what still lives, as `name (pid)`
 */
async function endLeftovers(downscope: Downscope, credentials: Credentials, tree: ProcessTree) {
  for (let round = 0; round < KILL_ROUNDS && !tree.isEmpty; round++) {
    if (maySignal(downscope)) return (await tree.end(0)).surviving;
    await signalAsAccount(downscope, 'SIGKILL', tree.pids, credentials);
  }
  return tree.isEmpty ? [] : (await tree.end(0)).surviving;
}

/** The rights of root, or none needed. */
function maySignal({ account }: Downscope): boolean {
  return isRoot() || process.geteuid?.() === account.uid;
}

async function begin(errand: Errand, credentials: Credentials): Promise<Running> {
  const { downscope, waiting, stageArguments, output } = errand;
  if (waiting !== undefined) return takeOver(errand, waiting, credentials);
  const { isIndirect } = downscope.mechanism;
  const ends = isIndirect ? pipeEnds(output, credentials) : socketEnds(output, credentials);
  try {
    const launched = start(downscope, stageArguments, ends.stdio, credentials);
    const channel = ends.open();
    const jacamar = isIndirect ? await waitForGreeting(downscope, channel, launched, credentials) : launched;
    return { errand, credentials, channel, launched, jacamar };
  } catch (cause) {
    throw new SystemFailure({
      code: 'ERR_LAUNCH',
      message: `jacamar cannot be started as ${downscope.account.name}: ${(cause as Error).message}`,
      publicMessage: 'The job cannot be started under your account on this host.',
      cause,
    });
  }
}

function takeOver(errand: Errand, { pid, channel }: Waiting, credentials: Credentials): Running {
  return { errand, credentials, channel: openSocketChannel(channel), launched: pid, jacamar: pid };
}

type Streams = readonly [number, number, number];

function start(downscope: Downscope, args: readonly string[], stdio: Streams, credentials: Credentials): number {
  return credentials.launch({ ...downscope.mechanism.plan(downscope, args), cwd: '/', stdio, umask: 0o077 });
}

/** From the start of sudo or su to jacamar; PAM modules may mount a home directory, or fetch a ticket. */
const GREETING_LIMIT_MS = 60_000;

/** Before this nothing goes down: the script with all its secrets is for jacamar and the job's account only. */
async function waitForGreeting({ account }: Downscope, channel: Channel, launched: number, credentials: Credentials) {
  const greeting = await Promise.race([channel.greeting, delay(GREETING_LIMIT_MS, undefined, { ref: false })]);
  if (greeting?.uid === account.uid) return greeting.pid;
  signalIfAllowed(launched, 'SIGKILL', credentials);
  if (greeting !== undefined) throw new Error(`it came up with uid ${greeting.uid}, not ${account.uid}`);
  throw new Error(`the program between ended, or said nothing for ${GREETING_LIMIT_MS / 1000} s; see its own words`);
}

/** Passes the runner's wish for the end on; SIGKILL to everything of it when jacamar takes too long. */
function forwardStop(running: Running): () => void {
  const { stop, killTimeoutMs } = running.errand;
  let timer: NodeJS.Timeout | undefined;
  const onStop = () => {
    running.channel.stop(String(stop.reason));
    // What cannot be signalled is told after its end, as surviving.
    timer = setTimeout(() => void kill(running).catch(() => {}), killTimeoutMs);
  };
  if (stop.aborted) onStop();
  else stop.addEventListener('abort', onStop, { once: true });
  return () => {
    stop.removeEventListener('abort', onStop);
    clearTimeout(timer);
  };
}

async function kill({ errand: { downscope }, credentials, jacamar, launched }: Running): Promise<void> {
  await signalSession(downscope, 'SIGKILL', jacamar, credentials);
  if (downscope.mechanism.isIndirect) continueStarter(launched, credentials);
}

/** sudo and su stop themselves when jacamar is stopped, and would never see its end. */
export function continueStarter(pid: number, credentials: Credentials): void {
  signalIfAllowed(pid, 'SIGCONT', credentials);
}

/**
 * Signals a jacamar that lives, or is not reaped yet, and everything in its group. A service account has no right to signal others (it lacks
 * CAP_KILL), so then the account itself does it: by `jacamar signal`, started in the same way as jacamar. So it
 * does where jacamar's number is only what jacamar said: with root's rights that could be anybody's.
 */
export async function signalSession(
  downscope: Downscope,
  signal: 'SIGTERM' | 'SIGCONT' | 'SIGKILL',
  pid: number,
  credentials: Credentials,
): Promise<void> {
  const isAllowed = !downscope.mechanism.isIndirect && signalIfAllowed(-pid, signal, credentials);
  if (!isAllowed) await signalAsAccount(downscope, signal, [pid], credentials);
}

/** False when the kernel does not let us. A process that is gone needs no signal. */
function signalIfAllowed(pid: number, signal: 'SIGTERM' | 'SIGKILL' | 'SIGCONT', credentials: Credentials): boolean {
  try {
    credentials.signal(pid, constants.signals[signal]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM') return false;
    if (code !== 'ESRCH') throw error;
  }
  return true;
}

/** How long the account's own process may take to send a signal: its owner can stop it, but not us. */
const SIGNAL_LIMIT_MS = 5_000;

async function signalAsAccount(
  downscope: Downscope,
  signal: string,
  pids: readonly number[],
  credentials: Credentials,
): Promise<void> {
  const nothing = openSync('/dev/null', 'r+');
  try {
    const args = ['signal', signal, ...pids.map(String)];
    const sender = start(downscope, args, [nothing, nothing, 2], credentials);
    await waitForExitWithin(SIGNAL_LIMIT_MS, sender, credentials);
  } finally {
    closeSync(nothing);
  }
}

/** jacamar ended without a word, or without one that can be true. */
function died({ stop, downscope }: Errand, status: ExitStatus, surviving: readonly string[]): SystemFailure {
  const how = describeExit(status);
  const ending = stop.aborted ? `was stopped (${stop.reason}) and` : 'unexpectedly';
  const rest = surviving.length === 0 ? '' : `; still alive: ${surviving.join(', ')}`;
  return new SystemFailure({
    code: 'ERR_JACAMAR_DIED',
    message: `jacamar ${ending} ended with ${how}${filterHint(downscope, status)}${rest}`,
    publicMessage: `The program that runs the job ${ending} ended with ${how}.`,
  });
}

/** A filter that kills also kills jacamar, which runs under it like the job. */
function filterHint({ seccompFilter }: Downscope, status: ExitStatus): string {
  const isKilled = 'signal' in status && status.signal === constants.signals.SIGSYS;
  if (seccompFilter === undefined || !isKilled) return '';
  return ' (it made a system call that auth.seccomp refuses; the kernel log has its number)';
}

/** The report comes from the user's own process: it can blame the job or the host, never grant anything. */
function failureFrom(report: Extract<Report, { outcome: 'failed' }>): Error {
  const { code, message, publicMessage, exitCode } = report;
  if (exitCode !== undefined) return new ScriptFailure(exitCode, message);
  if (report.fault === 'user') return new JobError({ code, message: publicMessage });
  return new SystemFailure({ code, message, publicMessage });
}

/** The kernel would hand on root's rights for one of these; findAccount refused them long before. */
export function refuseRoot({ uid, name }: Account): void {
  if (uid !== 0) return;
  throw new AuthorizationError({ code: 'ERR_ACCOUNT_RESERVED', message: `"${name}" is root` });
}
