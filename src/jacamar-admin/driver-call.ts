// One call of a driver executable the way the runner makes it: own process group, nothing on standard input, two
// pipes, and the sequence of signals that ends it. The call is over when the process has exited AND both pipes are at
// their end, so a process left behind that holds a pipe keeps the call open, as it does in earnest.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export type OutputStream = 'stdout' | 'stderr';

/** What to start and how to stop it. */
export interface DriverCall {
  readonly executable: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Absent: that of this process. */
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  /** When it fires, the kill sequence starts. */
  readonly stop: AbortSignal;
  /** From SIGTERM to SIGKILL. */
  readonly gracefulKillMs: number;
  /** From SIGKILL to giving up. */
  readonly forceKillMs: number;
  /** How many bytes of each stream are remembered, about; absent: all. */
  readonly mostKept?: number;
  readonly onStart?: (pid: number) => void;
  readonly onOutput?: (stream: OutputStream, chunk: Buffer) => void;
  readonly onWarning?: (text: string) => void;
}

/** How a call ended. */
export interface CallEnd {
  readonly end:
    | { readonly kind: 'exited'; readonly code: number }
    | { readonly kind: 'signalled'; readonly signal: NodeJS.Signals }
    | { readonly kind: 'not-started'; readonly reason: string }
    | { readonly kind: 'dormant' };
  readonly pid: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly durationMs: number;
}

/** What the runner makes of a call. `text` is the runner's own wording. */
export type Outcome =
  | { readonly kind: 'success' }
  | { readonly kind: 'build-failure'; readonly exitCode: number; readonly text: string }
  | { readonly kind: 'system-failure'; readonly text: string };

/** The values that the runner hands out in BUILD_FAILURE_EXIT_CODE and SYSTEM_FAILURE_EXIT_CODE. */
export const FAILURE_EXIT_CODES = { build: 1, system: 2 } as const;

const UNKNOWN_FAILURE = 'unknown Custom executor executable exit code';

/** Starts the driver and resolves when the runner would go on. Never rejects: a failed start is an end, too. */
export async function callDriver(call: DriverCall): Promise<CallEnd> {
  const started = performance.now();
  const output: Record<OutputStream, Buffer[]> = { stdout: [], stderr: [] };
  const child = start(call);
  const end = child instanceof Error ? notStarted(call, child) : await watch(child, call, output);
  return {
    end,
    pid: child instanceof Error ? undefined : child.pid,
    stdout: Buffer.concat(output.stdout),
    stderr: Buffer.concat(output.stderr),
    durationMs: Math.round(performance.now() - started),
  };
}

/**
 * Judges a call as the runner does. Only exit status 1 looks at the exit code file, whose first line must be an
 * integer and nothing else; the file is never removed between calls.
 */
export async function judge({ end, pid }: CallEnd, exitCodeFile: string): Promise<Outcome> {
  switch (end.kind) {
    case 'not-started':
      return { kind: 'system-failure', text: `failed to start command: ${end.reason}` };
    case 'dormant':
      return { kind: 'system-failure', text: `failed to kill process PID=${pid}, likely process is dormant` };
    case 'signalled':
      return unknownFailure(-1, `signal: ${SIGNAL_NAMES[end.signal] ?? end.signal}`);
    case 'exited':
      return judgeStatus(end.code, exitCodeFile);
  }
}

const SIGNAL_NAMES: Partial<Record<NodeJS.Signals, string>> = {
  SIGKILL: 'killed',
  SIGTERM: 'terminated',
  SIGINT: 'interrupt',
  SIGSEGV: 'segmentation fault',
  SIGABRT: 'aborted',
};

async function judgeStatus(code: number, exitCodeFile: string): Promise<Outcome> {
  if (code === 0) return { kind: 'success' };
  if (code === FAILURE_EXIT_CODES.system) return { kind: 'system-failure', text: 'exit status 2' };
  if (code !== FAILURE_EXIT_CODES.build) return unknownFailure(code, `exit status ${code}`);
  const reported = await readFile(exitCodeFile, 'utf8').catch(() => undefined);
  if (reported === undefined) return { kind: 'build-failure', exitCode: 1, text: 'exit status 1' };
  const [first = ''] = reported.split('\n');
  if (!/^[+-]?[0-9]+$/.test(first)) return unknownFailure(FAILURE_EXIT_CODES.system, 'exit status 1');
  const exitCode = Number.parseInt(first, 10);
  return { kind: 'build-failure', exitCode, text: `exit status ${exitCode}` };
}

function unknownFailure(code: number, termination: string): Outcome {
  return {
    kind: 'system-failure',
    text: `${UNKNOWN_FAILURE} ${code}; executable execution terminated with: ${termination}`,
  };
}

// Node reports some failures of the start by throwing (E2BIG) and others by an event (ENOENT); both end up here.
function start(call: DriverCall): ChildProcess | NodeJS.ErrnoException {
  try {
    return spawn(call.executable, call.args, {
      cwd: call.directory,
      env: call.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(call.account === undefined ? {} : { uid: call.account.uid, gid: call.account.gid }),
    });
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const START_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  E2BIG: 'argument list too long',
};

function notStarted(call: DriverCall, error: NodeJS.ErrnoException): CallEnd['end'] {
  const reason = START_ERRORS[error.code ?? ''] ?? error.message;
  return { kind: 'not-started', reason: `fork/exec ${call.executable}: ${reason}` };
}

async function watch(
  child: ChildProcess,
  call: DriverCall,
  output: Record<OutputStream, Buffer[]>,
): Promise<CallEnd['end']> {
  for (const stream of ['stdout', 'stderr'] as const) {
    let kept = 0;
    child[stream]?.on('data', (chunk: Buffer) => {
      if (kept < (call.mostKept ?? Number.POSITIVE_INFINITY)) output[stream].push(chunk);
      kept += chunk.length;
      call.onOutput?.(stream, chunk);
    });
  }
  const closed = new Promise<CallEnd['end']>((resolve) => {
    child.once('error', (error) => resolve(notStarted(call, error)));
    child.once('close', (code, signal) => resolve(exitOf(code, signal)));
  });
  if (child.pid === undefined) return closed;
  call.onStart?.(child.pid);
  return endOrKill(child, child.pid, closed, call);
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): CallEnd['end'] {
  return signal === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'signalled', signal };
}

async function endOrKill(
  child: ChildProcess,
  pid: number,
  closed: Promise<CallEnd['end']>,
  call: DriverCall,
): Promise<CallEnd['end']> {
  const timers = new Timers();
  const dormant = new Promise<CallEnd['end']>((resolve) => {
    const begin = () => terminateThenKill(pid, call, timers, () => resolve({ kind: 'dormant' }));
    if (call.stop.aborted) begin();
    else timers.onAbort(call.stop, begin);
  });
  const end = await Promise.race([closed, dormant]);
  timers.clear();
  if (end.kind === 'dormant') letGo(child);
  return end;
}

// The signals go to the group of the driver and nowhere else: what moved to another group or session gets none.
function terminateThenKill(pid: number, call: DriverCall, timers: Timers, giveUp: () => void): void {
  const kill = () => signalGroup(pid, 'SIGKILL', 'Failed to force-kill', call);
  const terminated = signalGroup(pid, 'SIGTERM', 'Failed to terminate process', call);
  if (!terminated) kill();
  timers.after(call.gracefulKillMs, () => {
    kill();
    timers.after(call.forceKillMs, giveUp);
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals, complaint: string, call: DriverCall): boolean {
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    call.onWarning?.(`${complaint}: ${code === 'ESRCH' ? 'no such process' : 'operation not permitted'}`);
    return false;
  }
}

function letGo(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}

/** Timers and the abort listener of one call, all of which end with it. */
class Timers {
  readonly #timers: NodeJS.Timeout[] = [];
  #forget = () => {};

  after(milliseconds: number, action: () => void): void {
    this.#timers.push(setTimeout(action, milliseconds));
  }

  onAbort(signal: AbortSignal, action: () => void): void {
    signal.addEventListener('abort', action, { once: true });
    this.#forget = () => signal.removeEventListener('abort', action);
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#forget();
  }
}
