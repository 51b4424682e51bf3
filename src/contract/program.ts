// The frame in which every program runs: signals, the translation of an error into the runner's exit
// codes, and the only process.exit.

import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs';
import { RUNNER_ENVIRONMENT } from './custom-executor.ts';
import { JacamarError, ScriptFailure } from './errors.ts';

/** Environment as a value; programs pass `process.env` down once and nobody else reads it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The two exit codes the runner understands as failures; any other would be an unknown failure. */
export interface ExitCodes {
  readonly buildFailure: number;
  readonly systemFailure: number;
}

/** Reads the two codes as the runner passes them; without a runner 1 and 2, the runner's own values. */
export function exitCodesFrom(environment: Environment): ExitCodes {
  return {
    buildFailure: exitCode(environment[RUNNER_ENVIRONMENT.buildFailureExitCode], 1),
    systemFailure: exitCode(environment[RUNNER_ENVIRONMENT.systemFailureExitCode], 2),
  };
}

function exitCode(text: string | undefined, otherwise: number): number {
  const code = /^[0-9]{1,3}$/.test(text ?? '') ? Number(text) : 0;
  return code >= 1 && code <= 255 ? code : otherwise;
}

/** The exit code for how a stage ended; `undefined` means that it ended well. */
export function exitCodeFor(error: unknown, codes: ExitCodes): number {
  if (error === undefined) return 0;
  if (error instanceof JacamarError && error.fault !== 'site') return codes.buildFailure;
  return codes.systemFailure;
}

/**
 * Leaves the script's own exit code where the runner looks for it, or nothing. The file survives from
 * call to call, so it is written or removed by every call; its first line must be an integer alone.
 */
export function recordBuildExitCode(error: unknown, environment: Environment): void {
  const file = environment[RUNNER_ENVIRONMENT.buildExitCodeFile];
  if (file === undefined || !file.startsWith('/')) return;
  rmSync(file, { force: true });
  if (!(error instanceof ScriptFailure)) return;
  try {
    writeExitCode(file, error.exitCode);
  } catch (cause) {
    // Half a number would be worse than none, and that the script failed is told by our own exit code, too.
    rmSync(file, { force: true });
    tell(`The script's exit code cannot be passed on: ${(cause as Error).message}`);
  }
}

function writeExitCode(file: string, exitCode: number): void {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const descriptor = openSync(file, flags, 0o600);
  try {
    writeFully(descriptor, `${exitCode}\n`);
  } finally {
    closeSync(descriptor);
  }
}

/** How long to leave a full pipe alone before the next attempt, in milliseconds. */
const PAUSE_MS = 5;

/**
 * Writes all of `text` to a descriptor, also to a pipe that is full for the moment.
 * @param patienceMs how long the pipe may stay full
 */
export function writeFully(descriptor: number, text: string | Uint8Array, patienceMs = 10_000): void {
  let rest = typeof text === 'string' ? Buffer.from(text) : text;
  for (let patience = patienceMs; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || patience <= 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
      patience -= PAUSE_MS;
    }
  }
}

/** Text for people. Standard output belongs to the contract; a reader that went away is no reason to fail. */
export function tell(text: string): void {
  try {
    writeFully(2, `${text}\n`, 1_000);
  } catch {
    // nobody is listening any more
  }
}

/** Signals that ask a stage to end: the runner sends SIGTERM, a person at a terminal the others. */
const ENDING_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
/** Signals with a deadly default that mean nothing to us. SIGUSR1 is dealt with by the runtime's options. */
const IGNORED_SIGNALS = ['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGXFSZ'] as const;

/**
 * Takes away what makes a stream of standard error when it is looked at. Whenever a socket is closed node:net looks,
 * which takes a millisecond, and makes the runner's pipe one that does not block. We write by descriptor.
 */
export function withoutStandardError(): void {
  Object.defineProperty(process, 'stderr', { value: undefined });
  // Node would print its warnings there; they are for developers.
  process.removeAllListeners('warning');
}

/** What differs between the programs. */
export interface ProgramParts {
  /** Gets the details of a crash, which no job log may show. */
  readonly reportCrash?: (error: unknown) => void;
  /**
   * Ends the process at once. Node's own way, which is taken if this throws, first frees what the kernel frees anyway,
   * and waits for threads that may hang, as in a question to a dead name server.
   */
  readonly exit?: (code: number) => never;
}

/** A whole program. `stop` is aborted, with the signal's name as reason, when it shall end early. */
export type Main = (argv: readonly string[], environment: Environment, stop: AbortSignal) => Promise<number>;

/**
 * Starts a program; the only place that ends the process. An exception that nobody caught is a fault of
 * this host (Node's own code 1 would blame the user's script), and after a signal the code is never 0,
 * which the runner would take for success.
 */
export function runProgram(main: Main, { reportCrash = () => {}, exit: exitAtOnce }: ProgramParts = {}): void {
  const exit = (code: number): never => {
    try {
      exitAtOnce?.(code);
    } catch {
      // no addon to do it
    }
    return process.exit(code);
  };
  const codes = exitCodesFrom(process.env);
  const stop = new AbortController();
  for (const signal of ENDING_SIGNALS) process.on(signal, () => stop.abort(signal));
  for (const signal of IGNORED_SIGNALS) process.on(signal, () => {});
  const fail = (error: unknown): never => {
    reportCrash(error);
    tell(`internal error (${error instanceof Error ? error.name : typeof error}); this is a fault of the CI software`);
    return exit(codes.systemFailure);
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  // Counts when nothing is left to wait for and main has not ended; Node's own code would be 0.
  process.exitCode = codes.systemFailure;
  main(process.argv.slice(2), process.env, stop.signal).then(
    (code) => exit(stop.signal.aborted && code === 0 ? codes.systemFailure : code),
    fail,
  );
}
