// Starts jacamar as the job's account, passes signals on, and waits. Whatever mechanism ends the privilege is
// chosen here; today that is the addon's launch (`setuid`), or no change at all (`none`).

import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { AuthorizationError, ConfigurationError, JobError, ScriptFailure, SystemFailure } from '../contract/errors.ts';
import { decodeReport, frame, REPORT_LIMIT, type Report, stopWord } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import { ProcessTree } from '../contract/process-tree.ts';
import type { Account } from './account.ts';
import type { Credentials, ExitStatus } from './credentials.ts';
import { accountEnvironment } from './environment.ts';
import { describeExit, waitForExit } from './exit-status.ts';

/** As whom jacamar is started, and how. */
export interface Downscope {
  /** Absolute path of the jacamar executable. */
  readonly jacamar: string;
  readonly account: Account;
  /** False for downscope "none": ids stay as they are. */
  readonly changesCredentials: boolean;
  readonly noNewPrivileges: boolean;
  /** Binds jacamar and all that it starts. */
  readonly seccompFilter?: Uint8Array;
}

/** One run of jacamar. */
export interface Errand {
  readonly downscope: Downscope;
  /** What follows `--no-auth`. */
  readonly stageArguments: readonly string[];
  readonly handoff: Buffer;
  /** 1, or 2 where standard output belongs to the contract. */
  readonly output: 1 | 2;
  /** Whether processes of the job may outlive a stage that ends well (`general.keep_processes`). */
  readonly keepProcesses: boolean;
  /** From SIGTERM to SIGKILL, in milliseconds (`general.kill_timeout`). */
  readonly killTimeoutMs: number;
  /** Aborted when the runner wants an end. */
  readonly stop: AbortSignal;
  /** Called with the pid as soon as jacamar runs, and before it gets anything to do; may throw to prevent that. */
  readonly onStart: (pid: number) => void;
}

type SucceededReport = Extract<Report, { outcome: 'succeeded' }>;

/**
 * Runs jacamar to its end.
 * @returns its report
 * @throws {ScriptFailure | JobError | SystemFailure} what the report says, or that there is none
 */
export async function runJacamar(errand: Errand, credentials: Credentials, lock: Lock): Promise<SucceededReport> {
  const tree = new ProcessTree(lock);
  const [ours, theirs] = credentials.socketPair();
  const { downscope, stageArguments, output } = errand;
  const pid = start(downscope, stageArguments, [theirs, output, 2], credentials);
  closeSync(theirs);
  try {
    errand.onStart(pid);
  } catch (error) {
    closeSync(ours); // without a handoff it ends by itself, unless the user has stopped it
    await signalSession(downscope, 'SIGKILL', pid, credentials);
    await waitForExit(pid, credentials);
    throw error;
  }
  const channel = openChannel(ours, errand.handoff);
  const stopForwarding = forwardStop(errand, pid, channel, credentials);
  try {
    const status = await waitForExit(pid, credentials);
    const report = decodeReport(await channel.report(REPORT_PATIENCE_MS));
    // Whatever the report says: anybody with the account's rights could have written it.
    const isKept = errand.keepProcesses && report !== undefined && !errand.stop.aborted;
    const surviving = isKept ? [] : await endLeftovers(downscope, credentials, tree);
    if (report === undefined || !fits(report, status)) throw died(errand, status, surviving);
    if (report.outcome === 'failed') throw failureFrom(report);
    return report;
  } finally {
    stopForwarding();
  }
}

/** How long the channel may stay open when jacamar has ended: somebody else may hold a copy of its end. */
const REPORT_PATIENCE_MS = 2_000;

/** jacamar ends with 0 after a success alone. */
function fits({ outcome }: Report, status: ExitStatus): boolean {
  const isSuccess = 'exitCode' in status && status.exitCode === 0;
  return isSuccess === (outcome === 'succeeded');
}

/**
 * What jacamar did not end itself, as when it was killed, or when something of the job became root. Orphans come to
 * us, the next subreaper above it, however they hide; they are found by their descent, since the number of a group
 * may be another's once its leader is reaped. A service account may not signal them: the account itself does, group
 * by group, which harms nobody else.
 * @returns what still lives, as `name (pid)`
 */
async function endLeftovers(downscope: Downscope, credentials: Credentials, tree: ProcessTree) {
  if (tree.isEmpty) return [];
  const groups = maySignal(downscope) ? [] : tree.processGroups();
  for (const group of groups) await signalAsAccount(downscope, 'SIGKILL', group, credentials);
  return (await tree.end(0)).surviving;
}

function maySignal({ changesCredentials }: Downscope): boolean {
  return !changesCredentials || process.geteuid?.() === 0;
}

type Streams = [number, number, number];

function start(downscope: Downscope, args: readonly string[], stdio: Streams, credentials: Credentials): number {
  const { jacamar: file, account } = downscope;
  try {
    return credentials.launch({
      file,
      argv: [file, '--no-auth', ...args],
      env: accountEnvironment(account),
      cwd: '/',
      stdio,
      ...(downscope.changesCredentials ? { credentials: account } : {}),
      umask: 0o077,
      noNewPrivileges: downscope.noNewPrivileges,
      ...(downscope.seccompFilter === undefined ? {} : { seccompFilter: downscope.seccompFilter }),
      deathSignal: constants.signals.SIGTERM,
      newSession: true,
    });
  } catch (cause) {
    throw new SystemFailure({
      code: 'ERR_LAUNCH',
      message: `jacamar cannot be started as ${account.name}: ${(cause as Error).message}`,
      publicMessage: 'The job cannot be started under your account on this host.',
      cause,
    });
  }
}

/** Our end of the channel. It stays open while jacamar runs: its closing tells jacamar that we are gone. */
interface Channel {
  /** All bytes until the other end is closed, or the patience in milliseconds is over; closes this end. */
  report(patience: number): Promise<Buffer>;
  stop(signal: string): void;
}

function openChannel(descriptor: number, handoff: Buffer): Channel {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  let size = 0;
  socket.on('data', (chunk) => {
    size += chunk.length;
    if (size > REPORT_LIMIT) socket.destroy();
    else chunks.push(chunk);
  });
  // A jacamar that died early leaves a broken pipe; its exit status says more than that.
  socket.on('error', () => socket.destroy());
  socket.once('end', () => socket.end());
  socket.write(frame(handoff));
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return {
    async report(patience) {
      const timer = setTimeout(() => socket.destroy(), patience);
      await closed;
      clearTimeout(timer);
      return Buffer.concat(chunks);
    },
    stop: (signal) => void socket.write(stopWord(signal)),
  };
}

/** Passes the runner's wish for the end on; SIGKILL to the whole session when jacamar takes too long. */
function forwardStop(errand: Errand, pid: number, channel: Channel, credentials: Credentials): () => void {
  const { stop, killTimeoutMs } = errand;
  let timer: NodeJS.Timeout | undefined;
  const onStop = () => {
    channel.stop(String(stop.reason));
    // What cannot be signalled is told after its end, as surviving.
    const kill = () => signalSession(errand.downscope, 'SIGKILL', pid, credentials).catch(() => {});
    timer = setTimeout(kill, killTimeoutMs);
  };
  if (stop.aborted) onStop();
  else stop.addEventListener('abort', onStop, { once: true });
  return () => {
    stop.removeEventListener('abort', onStop);
    clearTimeout(timer);
  };
}

/**
 * Signals a jacamar that lives, or is not reaped yet, and everything in its group. A service account has no right to signal others (it lacks
 * CAP_KILL), so then the account itself does it: by `jacamar signal`, started in the same way as jacamar.
 */
export async function signalSession(
  downscope: Downscope,
  signal: 'SIGTERM' | 'SIGCONT' | 'SIGKILL',
  pid: number,
  credentials: Credentials,
): Promise<void> {
  try {
    credentials.signal(-pid, constants.signals[signal]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM') await signalAsAccount(downscope, signal, pid, credentials);
    else if (code !== 'ESRCH') throw error;
  }
}

/** How long the account's own process may take to send a signal: its owner can stop it, but not us. */
const SIGNAL_LIMIT_MS = 5_000;

async function signalAsAccount(downscope: Downscope, signal: string, group: number, credentials: Credentials) {
  const nothing = openSync('/dev/null', 'r+');
  try {
    const sender = start(downscope, ['signal', signal, String(group)], [nothing, nothing, 2], credentials);
    await Promise.race([waitForExit(sender, credentials), delay(SIGNAL_LIMIT_MS, undefined, { ref: false })]);
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

/**
 * What `auth.downscope` asks for, checked against what this process can do.
 * @throws {ConfigurationError} it cannot do that, or must not
 */
export function checkDownscope(mode: string, credentials: Credentials): void {
  const isRoot = process.geteuid?.() === 0;
  if (mode === 'none' && isRoot) {
    throw unusable('downscope = "none" as root would run every job as root; use "setuid"');
  }
  if (mode === 'setuid' && !isRoot && !holdsSetid(credentials)) {
    throw unusable('downscope = "setuid" needs root, or the capabilities cap_setuid and cap_setgid on jacamar-auth');
  }
}

/** CAP_SETGID is bit 6, CAP_SETUID bit 7: capabilities(7). */
function holdsSetid(credentials: Credentials): boolean {
  const both = (1n << 6n) | (1n << 7n);
  return (BigInt(`0x${credentials.capabilities().permitted}`) & both) === both;
}

function unusable(message: string): ConfigurationError {
  return new ConfigurationError({ code: 'ERR_CONFIG_DOWNSCOPE', message: `auth.${message}` });
}

/** The kernel would hand on root's rights for one of these; findAccount refused them long before. */
export function refuseRoot({ uid, name }: Account): void {
  if (uid !== 0) return;
  throw new AuthorizationError({ code: 'ERR_ACCOUNT_RESERVED', message: `"${name}" is root` });
}
