// Starts a program as an ordinary child. The only user of node:child_process on the user's side: argument
// lists, never a shell string, and pipes of our own making, since Node would hand out sockets, which a script
// cannot open as /dev/stdout.

import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { SYSTEM_PATH } from '../contract/environment.ts';
import { SystemFailure } from '../contract/errors.ts';
import type { Lock } from '../contract/lock.ts';

/** Loads what starting a program takes, while there is nothing else to do yet: Node's modules load when they are used. */
export function loadAhead(): number {
  return [spawn, Socket].length;
}

/** What people find after a login, unless their profile says otherwise: login.defs(5). */
const LOGIN_UMASK = 0o022;

/** A program to start. Its descriptors are handed over and closed on our side. */
export interface Program {
  /** Absolute path; also its argv[0]. */
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Become 0, 1 and 2. */
  readonly stdio: readonly [number, number, number];
  /** One more, and the number that it gets. */
  readonly extra: { readonly descriptor: number; readonly as: number };
}

/** Exactly one of the two is set. */
export interface ExitStatus {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface Subprocess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** Resolves when the child has ended or the time is over, whichever comes first. */
  exitedWithin(milliseconds: number): Promise<void>;
}

/**
 * Starts a program in the home directory, or in `/` where that cannot be entered, and in a session of its own: a job
 * that signals its process group (`trap 'kill 0' EXIT`) is not to meet us there.
 * @throws {SystemFailure} it cannot be started
 */
export function startProgram({ file, argv, env, stdio, extra }: Program): Subprocess {
  const { HOME: home } = env;
  const cwd = home !== undefined && isExecutable(home) ? home : '/';
  const between = Array.from({ length: extra.as - stdio.length }, () => 'ignore' as const);
  const streams = [...stdio, ...between, extra.descriptor];
  const options = { cwd, env: { ...env }, stdio: streams, detached: true };
  const child = withUmask(LOGIN_UMASK, () => spawn(file, [...argv], options));
  for (const descriptor of [...stdio, extra.descriptor]) closeSync(descriptor);
  if (child.pid === undefined) throw cannotStart(file, child);
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => resolve({ exitCode: code ?? undefined, signal: signal ?? undefined }));
  });
  return { pid: child.pid, exited, exitedWithin: (limit) => within(exited, limit) };
}

/** A command that is run for what it prints. */
export interface Capture {
  readonly file: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Then it is ended, in milliseconds. */
  readonly limitMs: number;
  /** Of each stream; what comes behind it is dropped. */
  readonly limitBytes: number;
  /** Ends it early. */
  readonly stop?: AbortSignal;
  readonly lock: Pick<Lock, 'pipe'>;
}

/** How long an ended command's pipes may be held open by what it left behind, in milliseconds. */
const CAPTURE_GRACE_MS = 200;

/**
 * Runs a command in `/` to its end, in a process group of its own so that a limit ends what it started as well.
 * `exitCode` is absent when it was ended or did not start.
 */
export async function captureProgram(
  capture: Capture,
): Promise<{ stdout: string; stderr: string; exitCode: number | undefined }> {
  const { file, argv, env, limitMs, limitBytes, stop, lock } = capture;
  const [out, err] = [lock.pipe(), lock.pipe()];
  const child = spawn(file, [...argv], {
    cwd: '/',
    env: { ...env },
    stdio: ['ignore', out[1], err[1]],
    detached: true,
  });
  closeSync(out[1]);
  closeSync(err[1]);
  const readers = [collect(out[0], limitBytes), collect(err[0], limitBytes)] as const;
  const end = () => endGroup(child.pid);
  const timer = Number.isFinite(limitMs) ? setTimeout(end, limitMs) : undefined;
  stop?.addEventListener('abort', end, { once: true });
  if (stop?.aborted) end();
  const exitCode = await new Promise<number | undefined>((resolve) => {
    child.once('error', () => resolve(undefined));
    child.once('exit', (code) => resolve(code ?? undefined));
  });
  clearTimeout(timer);
  stop?.removeEventListener('abort', end);
  const [stdout, stderr] = await Promise.all(readers.map((reader) => reader.finish(CAPTURE_GRACE_MS)));
  return { stdout: stdout ?? '', stderr: stderr ?? '', exitCode };
}

/** A command that only asks has nothing to tidy up. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

/** The text that arrives on a pipe. */
function collect(from: number, limitBytes: number): { finish(graceMs: number): Promise<string> } {
  const source = new Socket({ fd: from, readable: true, writable: false });
  const chunks: Buffer[] = [];
  let length = 0;
  source.on('data', (chunk: Buffer) => {
    if (length < limitBytes) chunks.push(chunk.subarray(0, limitBytes - length));
    length += chunk.length;
  });
  source.on('error', () => source.destroy());
  const closed = new Promise<void>((resolve) => source.once('close', () => resolve()));
  return {
    async finish(graceMs) {
      await within(closed, graceMs);
      source.destroy();
      return Buffer.concat(chunks).toString('utf8');
    },
  };
}

/** The first executable of that name in the system's directories. */
export function findProgram(name: string): string {
  const found = firstExecutable(name, SYSTEM_PATH.split(':'));
  if (found !== undefined) return found;
  const message = `${name} is not installed on this host`;
  throw new SystemFailure({ code: 'ERR_PROGRAM_MISSING', message, publicMessage: message });
}

export function firstExecutable(name: string, directories: readonly string[]): string | undefined {
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/** Of a directory: it can be entered. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function withUmask<T>(umask: number, act: () => T): T {
  const ours = process.umask(umask);
  try {
    return act();
  } finally {
    process.umask(ours);
  }
}

function cannotStart(file: string, child: ReturnType<typeof spawn>): SystemFailure {
  child.once('error', () => {}); // told here instead
  const message = `${file} cannot be started on this host, which is no fault of the job`;
  return new SystemFailure({ code: 'ERR_PROGRAM_START', message, publicMessage: message });
}

async function within(exited: Promise<unknown>, limit: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, limit);
    void exited.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
