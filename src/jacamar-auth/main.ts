// jacamar-auth: authorizes a job, then starts jacamar as the job's account. Called by GitLab Runner.

import { hostname } from 'node:os';
import { AuthorizationError, JacamarError, ScriptFailure, SystemFailure } from '../contract/errors.ts';
import { createLog, errorDetails, type Log, SILENT_LOG } from '../contract/log.ts';
import { noRoom } from '../contract/no-room.ts';
import {
  type Environment,
  exitCodeFor,
  exitCodesFrom,
  recordBuildExitCode,
  runProgram,
  tell,
  withoutStandardError,
} from '../contract/program.ts';
import { runnerCall, type StageCall } from '../contract/runner-call.ts';
import { endOfParent } from '../contract/runner-life.ts';
import { loadCredentials } from './credentials.ts';
import { HeadStart } from './head-start.ts';
import { openLogSink } from './log-sink.ts';
import { openSite, type Site } from './site.ts';
import { runStage } from './stages.ts';

runProgram(main, { reportCrash, exit: (code) => loadCredentials().exit(code) });

async function main(argv: readonly string[], environment: Environment, stop: AbortSignal): Promise<number> {
  const codes = exitCodesFrom(environment);
  const wish = wishOfRunner(argv) ?? (await readWish(argv, codes.systemFailure));
  if (typeof wish === 'number') return wish;
  withoutStandardError();
  const end = AbortSignal.any([stop, endOfParent()]);
  const error = await attempt(wish, environment, end);
  return exitCodeFor(error, codes);
}

/** What the command line asks for. */
interface Wish {
  readonly call: StageCall;
  /** The reason of a refusal is shown to the user. */
  readonly isUnobfuscated: boolean;
}

function wishOfRunner(argv: readonly string[]): Wish | undefined {
  const call = runnerCall(argv);
  return call && { call, isUnobfuscated: false };
}

/** Or the exit code, when there is nothing more to do. */
async function readWish(argv: readonly string[], usageError: number): Promise<Wish | number> {
  const { readCommandLine } = await import('../contract/command-line.ts');
  const { commandLine } = await import('./command-line.ts');
  let call: StageCall | undefined;
  const program = commandLine((asked) => {
    call = asked;
  });
  const early = await readCommandLine(program, argv, usageError);
  if (early !== undefined || call === undefined) return early ?? usageError;
  return { call, isUnobfuscated: program.opts()['unobfuscated'] === true };
}

function reportCrash(error: unknown): void {
  lastResortLog('crash').error('internal error', errorDetails(error));
}

/** Runs the stage; whatever stops it is logged, told, and returned. */
async function attempt({ call, isUnobfuscated }: Wish, environment: Environment, stop: AbortSignal) {
  let site: Site | undefined;
  const headStart = HeadStart.from(environment);
  try {
    recordBuildExitCode(undefined, environment);
    site = openSite(call.configurationPath, `${call.stage}_exec`, environment);
    if (isUnobfuscated)
      tell('Warning: --unobfuscated shows the reasons of refusals to everyone who can read this log.');
    await runStage(site, { call, headStart, stop });
    return undefined;
  } catch (caught) {
    const error = stop.aborted
      ? stoppedBy(stop, caught)
      : (withoutRoom(caught) ?? caught ?? new Error('nothing was thrown'));
    report(error, site?.log ?? lastResortLog(`${call.stage}_exec`), isUnobfuscated);
    recordBuildExitCode(error, environment);
    return error;
  } finally {
    await discard(headStart);
  }
}

/** What is wrong has been told; the end of its channel, which comes with ours, ends that jacamar, too. */
async function discard(headStart: HeadStart | undefined): Promise<void> {
  try {
    await headStart?.discard(loadCredentials());
  } catch {
    // no addon, for example
  }
}

/** Of what we write ourselves: records, keys, the log. jacamar tells of its own files. */
function withoutRoom(caught: unknown): SystemFailure | undefined {
  const parts = noRoom(caught);
  const publicMessage = 'No space is left on this host for what its CI software has to remember of the job.';
  return parts && new SystemFailure({ code: parts.code, message: parts.message, publicMessage, cause: parts.cause });
}

/** A stop from outside is no fault of the script, whatever the script made of it. */
function stoppedBy(stop: AbortSignal, cause: unknown): SystemFailure {
  const message = `the runner stopped this stage (${stop.reason})`;
  return new SystemFailure({ code: 'ERR_STOPPED', message, publicMessage: `Stopped by the runner.`, cause });
}

/** A script's own failure is the runner's to tell. For all else the user gets one text, the log the whole story. */
function report(error: unknown, log: Log, isUnobfuscated: boolean): void {
  if (error instanceof ScriptFailure) {
    log.info('script failed', { exitCode: error.exitCode });
    return;
  }
  const reference = crypto.randomUUID().slice(0, 8);
  const level = error instanceof AuthorizationError ? 'warn' : 'error';
  log[level](titleOf(error), { reference, ...errorDetails(error) });
  const text = error instanceof JacamarError ? error.publicMessage : 'A fault of the CI software ended this job.';
  const detail = isUnobfuscated && error instanceof Error ? `\n${codeOf(error)}: ${error.message}` : '';
  tell(`${text} (reference ${reference})${detail}`);
}

function titleOf(error: unknown): string {
  if (error instanceof AuthorizationError) return 'job refused';
  return error instanceof JacamarError ? 'stage failed' : 'internal error';
}

function codeOf(error: Error): string {
  return error instanceof JacamarError ? error.code : error.name;
}

/** Before the configuration says where to log, and when that is what is wrong: the local syslog. */
function lastResortLog(stage: string): Log {
  try {
    const fields = { job: 0, runner: '', stage, processID: process.pid, hostname: hostname() };
    return createLog('debug', fields, openLogSink('syslog', loadCredentials()));
  } catch {
    return SILENT_LOG;
  }
}
