// Sends `jacamar workspace` to do the work as an account. We are root, and root that walks through directories of a user
// can be led to any file by whoever renames and links there at the right moment; so the account's own process walks and
// removes, with the account's rights and no others. Its words are foreign: they are counted and shown, nothing more.

import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { createInterface, type Interface } from 'node:readline';
import { printable } from '../contract/text.ts';
import { type DirectoryLine, decodeLine } from '../contract/workspace-lines.ts';
import type { Credentials, ExitStatus } from '../jacamar-auth/credentials.ts';
import { setuid } from '../jacamar-auth/downscope/setuid.ts';
import { describeExit, waitForExit } from '../jacamar-auth/exit-status.ts';
import type { Household } from './workspace-accounts.ts';

/** What to do in every household. */
export interface Wishes {
  readonly olderThanMs?: number;
  readonly budget?: number;
  readonly remove: boolean;
  readonly timeLimitMs: number;
}

/** What became of one household. */
export interface Account {
  readonly user: string;
  readonly base: string;
  readonly directories: readonly DirectoryLine[];
  /** What went wrong as a whole. */
  readonly error?: string;
}

interface Errand {
  readonly household: Household;
  readonly wishes: Wishes;
  /** Absolute path. */
  readonly jacamar: string;
  readonly credentials: Credentials;
  readonly stop: AbortSignal;
  /** How many files the account's process has looked at or removed in what it is busy with. */
  readonly onProgress: (entries: number) => void;
}

/** How much longer than agreed, or after a stop, the account's process may take before it is killed, in milliseconds. */
const GRACE_MS = 15_000;
/**
 * How long it is waited for when it was killed, in milliseconds. Whoever traces a process keeps its end from its
 * parent: ptrace(2).
 */
const DEATH_MS = 5_000;
/** More is no list of build directories. */
const MOST_OUTPUT = 64 * 1024 * 1024;

/** How long the account's process may leave its output open when it has ended, in milliseconds. */
const SILENCE_MS = 2_000;

/** Runs the account's own process to its end. What goes wrong with one account is told and keeps no other waiting. */
export async function keepHouse(errand: Errand): Promise<Account> {
  const { account, base } = errand.household;
  try {
    const { directories, error } = await visit(errand);
    return { user: account.name, base, directories, ...(error === '' ? {} : { error }) };
  } catch (error) {
    return { user: account.name, base, directories: [], error: (error as Error).message };
  }
}

async function visit(errand: Errand): Promise<Heard> {
  const { wishes, stop } = errand;
  const child = launch(errand);
  const killIn = (milliseconds: number) => setTimeout(() => child.signal('SIGKILL'), milliseconds).unref();
  const onStop = () => {
    child.signal('SIGTERM');
    killIn(GRACE_MS);
  };
  stop.addEventListener('abort', onStop);
  const timer = killIn(wishes.timeLimitMs + GRACE_MS);
  try {
    const [heard, complaint, ending] = await Promise.all([listen(child, errand), collect(child), child.ended]);
    return { directories: heard.directories, error: complaint || heard.error || ending };
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
  }
}

interface Child {
  readonly output: Socket;
  readonly complaints: Socket;
  /** What is wrong with how it ended; empty for a good end. */
  readonly ended: Promise<string>;
  /** Nothing once it has ended: its number may be another's then. */
  signal(signal: 'SIGTERM' | 'SIGKILL'): void;
}

function launch({ household: { account, base }, wishes, jacamar, credentials }: Errand): Child {
  const [out, err] = [credentials.pipe(), credentials.pipe()];
  const nothing = openSync('/dev/null', 'r');
  try {
    const args = ['workspace', '--base', base, ...argumentsFor(wishes)];
    const plan = setuid.plan({ mechanism: setuid, jacamar, account, noNewPrivileges: true }, args);
    const pid = credentials.launch({ ...plan, cwd: '/', stdio: [nothing, out[1], err[1]], umask: 0o077 });
    return watch(pid, reader(out[0]), reader(err[0]), credentials);
  } catch (error) {
    for (const descriptor of [out[0], err[0]]) closeSync(descriptor);
    throw error;
  } finally {
    for (const descriptor of [nothing, out[1], err[1]]) closeSync(descriptor);
  }
}

function watch(pid: number, output: Socket, complaints: Socket, credentials: Credentials): Child {
  let hasEnded = false;
  const undead = Promise.withResolvers<string>();
  const exited = waitForExit(pid, credentials).finally(() => {
    hasEnded = true;
  });
  const ended = Promise.race([exited.then(wrongWith), undead.promise]).finally(() => {
    // Somebody of the account's may hold copies of them.
    setTimeout(() => [output, complaints].forEach((socket) => void socket.destroy()), SILENCE_MS).unref();
  });
  const signal = (name: 'SIGTERM' | 'SIGKILL') => {
    if (hasEnded) return;
    credentials.signal(pid, constants.signals[name]);
    if (name === 'SIGKILL') setTimeout(undead.resolve, DEATH_MS, 'it was killed, and does not end').unref();
  };
  return { output, complaints, ended, signal };
}

function wrongWith(status: ExitStatus): string {
  return 'exitCode' in status && status.exitCode === 0 ? '' : describeExit(status);
}

function argumentsFor({ olderThanMs, budget, remove, timeLimitMs }: Wishes): string[] {
  return [
    ...(olderThanMs === undefined ? [] : ['--older-than', String(Math.ceil(olderThanMs / 1000))]),
    ...(budget === undefined ? [] : ['--budget', String(budget)]),
    ...(remove ? ['--remove'] : []),
    ...['--time-limit', String(Math.ceil(timeLimitMs / 1000))],
  ];
}

function reader(descriptor: number): Socket {
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  socket.on('error', () => socket.destroy());
  return socket;
}

interface Heard {
  readonly directories: DirectoryLine[];
  readonly error: string;
}

async function listen(child: Child, { onProgress }: Errand): Promise<Heard> {
  const directories: DirectoryLine[] = [];
  let error = 'its process said nothing of an end';
  for await (const text of linesOf(child)) {
    const line = decodeLine(text);
    if (line === undefined) {
      error = 'its process said something that cannot be understood';
      child.signal('SIGKILL');
    } else if (line.line === 'progress') onProgress(line.entries);
    else if (line.line === 'end') error = line.isOutOfTime ? 'the time limit was reached before its end' : '';
    else directories.push(line);
  }
  return { directories, error };
}

/** readline keeps a line of any length, so the whole has a limit; and it hears of the end of its input alone. */
function linesOf({ output, signal }: Child): Interface {
  output.on('data', () => {
    if (output.bytesRead > MOST_OUTPUT) signal('SIGKILL');
  });
  const lines = createInterface({ input: output });
  output.once('close', () => lines.close());
  return lines;
}

const LONGEST_COMPLAINT = 2_000;

async function collect({ complaints }: Child): Promise<string> {
  let text = '';
  complaints.on('data', (chunk) => {
    if (text.length < LONGEST_COMPLAINT) text += String(chunk);
  });
  await once(complaints, 'close');
  return printable(text.slice(0, LONGEST_COMPLAINT).trim());
}
