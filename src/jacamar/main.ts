// jacamar: runs one stage of a job as the user. Started by jacamar-auth with a handoff on standard input, or
// directly (`--no-auth` with a configuration) by a runner that already runs as the user.

import { JacamarError, ScriptFailure, SystemFailure } from '../contract/errors.ts';
import { HANDOFF_VARIABLE, type Handoff, PIPED_OPTION, type Report } from '../contract/handoff.ts';
import { restoreOpenFiles } from '../contract/limits.ts';
import { loadLock } from '../contract/lock.ts';
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
import { type Channel, openChannel, openPipedChannel } from './channel.ts';
import type { HousekeepingCall } from './command-line.ts';
import { runStage, type StageResult } from './stages.ts';
import { loadAhead } from './subprocess.ts';

runProgram(main, { exit: (code) => loadLock().exit(code) });

async function main(argv: readonly string[], environment: Environment, stop: AbortSignal): Promise<number> {
  const codes = exitCodesFrom(environment);
  const wish = wishOfJacamarAuth(argv) ?? (await readWish(argv, codes.systemFailure, stop));
  if (typeof wish === 'number') return wish;
  withoutStandardError();
  restoreOpenFiles(environment, loadLock());
  const channel = channelFor(wish, environment);
  if (channel !== undefined) {
    if (wish.call.stage === 'run') loadAhead();
    return await serveJacamarAuth(await channel, stop);
  }
  const end = AbortSignal.any([stop, endOfParent()]);
  return exitCodeFor(await serveRunner(wish.call, environment, end), codes);
}

/** What the command line asks for. */
interface Wish {
  readonly call: StageCall;
  /** jacamar-auth is at the other end of standard input and output. */
  readonly isPiped: boolean;
}

/** Undefined when a runner or a person has started us. */
function channelFor({ isPiped }: Wish, environment: Environment): Promise<Channel | undefined> | undefined {
  if (isPiped) return openPipedChannel();
  return environment[HANDOFF_VARIABLE] === undefined ? undefined : openChannel(0);
}

function wishOfJacamarAuth([first, ...words]: readonly string[]): Wish | undefined {
  if (first !== '--no-auth') return undefined;
  const isPiped = words[0] === PIPED_OPTION;
  const call = runnerCall(isPiped ? words.slice(1) : words);
  return call && { call, isPiped };
}

/** Or the exit code, when there is nothing more to do. */
async function readWish(argv: readonly string[], usageError: number, stop: AbortSignal): Promise<Wish | number> {
  const { readCommandLine } = await import('../contract/command-line.ts');
  const { commandLine } = await import('./command-line.ts');
  const { signalGroups } = await import('./signal.ts');
  let call: StageCall | undefined;
  const stage = (asked: StageCall) => {
    call = asked;
  };
  let wishes: HousekeepingCall | undefined;
  const workspace = (asked: HousekeepingCall) => {
    wishes = asked;
  };
  const program = commandLine({ stage, signal: signalGroups, workspace });
  const early = await readCommandLine(program, argv, usageError);
  if (early === undefined && wishes !== undefined) return await serveHousekeeping(wishes, stop);
  if (early !== undefined || call === undefined) return early ?? 0;
  return { call, isPiped: program.opts()['piped'] === true };
}

async function serveHousekeeping({ timeLimitMs, ...wishes }: HousekeepingCall, stop: AbortSignal): Promise<number> {
  const { keepHouse } = await import('./housekeeping.ts');
  try {
    await keepHouse(wishes, { deadline: performance.now() + timeLimitMs, stop });
    return 0;
  } catch (error) {
    tell(textOf(error));
    return 1;
  }
}

/** The result goes back through the channel; the exit code matters to nobody, but 0 stays for success. */
async function serveJacamarAuth(channel: Channel | undefined, stop: AbortSignal): Promise<number> {
  if (channel === undefined) return 1;
  const { handoff, script } = channel;
  const { error, result } = await attempt(handoff, script, AbortSignal.any([stop, channel.stop]));
  await channel.report(error === undefined ? { outcome: 'succeeded', ...result } : reportOf(error));
  return error === undefined ? 0 : 1;
}

/** Without jacamar-auth the runner reads our own exit code. */
async function serveRunner(call: StageCall, environment: Environment, stop: AbortSignal): Promise<unknown> {
  const { error, result } = await attemptByHand(call, environment, stop);
  recordBuildExitCode(error, environment);
  if (error === undefined && call.stage === 'config') {
    const { announceConfig } = await import('./by-hand.ts');
    announceConfig(call, environment, result);
  }
  if (error !== undefined && !(error instanceof ScriptFailure)) tell(textOf(error));
  return error;
}

interface Attempt {
  readonly error: unknown;
  readonly result: StageResult;
}

async function attemptByHand(call: StageCall, environment: Environment, stop: AbortSignal): Promise<Attempt> {
  try {
    const { handoffByHand } = await import('./by-hand.ts');
    const { handoff, script } = handoffByHand(call, environment);
    return await attempt(handoff, script, stop);
  } catch (error) {
    return { error, result: {} };
  }
}

async function attempt(handoff: Handoff, script: Buffer, stop: AbortSignal): Promise<Attempt> {
  try {
    return { error: undefined, result: await runStage(handoff, script, stop) };
  } catch (caught) {
    return { error: stop.aborted ? stoppedBy(stop, caught) : caught, result: {} };
  }
}

/** A stop from outside is no fault of the script, whatever the script made of it. */
function stoppedBy(stop: AbortSignal, cause: unknown): SystemFailure {
  const message = `stopped by ${stop.reason}`;
  return new SystemFailure({ code: 'ERR_STOPPED', message, publicMessage: message, cause });
}

function reportOf(error: unknown): Report {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof JacamarError)) {
    return { outcome: 'failed', fault: 'site', code: 'ERR_INTERNAL', message, publicMessage: textOf(error) };
  }
  const { code, fault, publicMessage } = error;
  const exitCode = error instanceof ScriptFailure ? { exitCode: error.exitCode } : {};
  return { outcome: 'failed', fault: fault === 'site' ? 'site' : 'user', code, message, publicMessage, ...exitCode };
}

function textOf(error: unknown): string {
  if (error instanceof JacamarError) return error.message;
  return `A fault of the CI software ended this stage: ${error instanceof Error ? error.message : String(error)}`;
}
