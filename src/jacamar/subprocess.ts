// Starts a program as an ordinary child. The only user of node:child_process on the user's side: argument
// lists, never a shell string, and pipes of our own making, since Node would hand out sockets, which a script
// cannot open as /dev/stdout.

import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants } from 'node:fs';
import { join } from 'node:path';
import { SYSTEM_PATH } from '../contract/environment.ts';
import { SystemFailure } from '../contract/errors.ts';

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
 * Starts a program in the home directory, or in `/` where that cannot be entered.
 * @throws {SystemFailure} it cannot be started
 */
export function startProgram({ file, argv, env, stdio, extra }: Program): Subprocess {
  const cwd = canEnter(env['HOME']) ? env['HOME'] : '/';
  const between = Array.from({ length: extra.as - stdio.length }, () => 'ignore' as const);
  const streams = [...stdio, ...between, extra.descriptor];
  const child = withUmask(LOGIN_UMASK, () => spawn(file, [...argv], { cwd, env: { ...env }, stdio: streams }));
  for (const descriptor of [...stdio, extra.descriptor]) closeSync(descriptor);
  if (child.pid === undefined) throw cannotStart(file, child);
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => resolve({ exitCode: code ?? undefined, signal: signal ?? undefined }));
  });
  return { pid: child.pid, exited, exitedWithin: (limit) => within(exited, limit) };
}

/** The first executable of that name in the system's directories. */
export function findProgram(name: string): string {
  for (const directory of SYSTEM_PATH.split(':')) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  const message = `${name} is not installed on this host`;
  throw new SystemFailure({ code: 'ERR_PROGRAM_MISSING', message, publicMessage: message });
}

function withUmask<T>(umask: number, act: () => T): T {
  const ours = process.umask(umask);
  try {
    return act();
  } finally {
    process.umask(ours);
  }
}

function canEnter(directory: string | undefined): directory is string {
  if (directory === undefined) return false;
  try {
    accessSync(directory, constants.X_OK);
    return true;
  } catch {
    return false;
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
