// jacamar: runs one stage of a job as the user. Started by jacamar-auth with a handoff on standard input, or
// directly (`--no-auth` with a configuration) by a runner that already runs as the user.

import type { createProgram } from '../contract/command-line.ts';
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
} from '../contract/program.ts';
import { runnerCall, type StageCall } from '../contract/runner-call.ts';
import { endOfParent } from '../contract/runner-life.ts';
import { type Channel, openChannel, openPipedChannel } from './channel.ts';
import type { Wishes } from './housekeeping.ts';
import { signalGroups } from './signal.ts';
import { runStage, type StageResult } from './stages.ts';

const DESCRIPTION =
  'Runs the stages of a GitLab CI job as the user who calls it. jacamar-auth starts it; in a runner of your own, ' +
  'call it with --no-auth in its place.';

runProgram(main, { exit: (code) => loadLock().exit(code) });

async function main(argv: readonly string[], environment: Environment, stop: AbortSignal): Promise<number> {
  const codes = exitCodesFrom(environment);
  const wish = wishOfJacamarAuth(argv) ?? (await readWish(argv, codes.systemFailure, stop));
  if (typeof wish === 'number') return wish;
  restoreOpenFiles(environment, loadLock());
  if (wish.isPiped) return await serveJacamarAuth(await openPipedChannel(), stop);
  if (environment[HANDOFF_VARIABLE] !== undefined) return await serveJacamarAuth(await openChannel(0), stop);
  const end = AbortSignal.any([stop, endOfParent()]);
  return exitCodeFor(await serveRunner(wish.call, environment, end), codes);
}

/** What the command line asks for. */
interface Wish {
  readonly call: StageCall;
  /** jacamar-auth is at the other end of standard input and output. */
  readonly isPiped: boolean;
}

function wishOfJacamarAuth([first, ...words]: readonly string[]): Wish | undefined {
  if (first !== '--no-auth') return undefined;
  const isPiped = words[0] === PIPED_OPTION;
  const call = runnerCall(isPiped ? words.slice(1) : words);
  return call && { call, isPiped };
}

/** Or the exit code, when there is nothing more to do. */
async function readWish(argv: readonly string[], usageError: number, stop: AbortSignal): Promise<Wish | number> {
  const { addStages, createProgram, readCommandLine } = await import('../contract/command-line.ts');
  const { addLock } = await import('./claim/command.ts');
  let call: StageCall | undefined;
  const program = addStages(createProgram('jacamar', DESCRIPTION), (asked) => {
    call = asked;
  });
  program
    .command('signal')
    .description('signal processes of the calling user; jacamar-auth uses it where it may not do so itself')
    .argument('<signal>', 'SIGTERM, SIGCONT or SIGKILL')
    .argument('<process...>', 'their numbers; each stands for its whole process group')
    .action((signal: string, processes: string[]) => {
      const complaint = signalGroups(signal, processes.map(Number));
      if (complaint !== undefined) program.error(complaint);
    });
  addLock(program);
  let wishes: HousekeepingCall | undefined;
  addWorkspace(program, (asked) => {
    wishes = asked;
  });
  program.requiredOption('--no-auth', 'no authorization happens here: run as the calling user');
  program.option(PIPED_OPTION, 'jacamar-auth is at the other end of standard input and output (sudo and su)');
  const early = await readCommandLine(program, argv, usageError);
  if (early === undefined && wishes !== undefined) return await serveHousekeeping(wishes, stop);
  if (early !== undefined || call === undefined) return early ?? 0;
  return { call, isPiped: program.opts()['piped'] === true };
}

type HousekeepingCall = Wishes & { readonly timeLimitMs: number };

function addWorkspace(program: ReturnType<typeof createProgram>, act: (call: HousekeepingCall) => void): void {
  program
    .command('workspace')
    .description('list the build directories of the calling user as lines of JSON, or remove some of them')
    .requiredOption('--base <directory>', 'where the CI files of the user are, usually ~/.jacamar-ci')
    .option('--older-than <seconds>', 'choose those that were used last so long ago', Number)
    .option('--budget <bytes>', 'choose the least recently used ones until the others have no more than that', Number)
    .option('--remove', 'remove what was chosen', false)
    .option('--time-limit <seconds>', 'stop after that time', Number, 3600)
    .action(({ base, olderThan, budget, remove, timeLimit }) => {
      const numbers = [olderThan ?? 0, budget ?? 0, timeLimit];
      if (!numbers.every((number) => number >= 0)) program.error('seconds and bytes are numbers, 0 or more');
      act({
        base,
        remove,
        timeLimitMs: timeLimit * 1000,
        ...(olderThan === undefined ? {} : { olderThanMs: olderThan * 1000 }),
        ...(budget === undefined ? {} : { budget }),
      });
    });
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
async function serveJacamarAuth(channel: Channel, stop: AbortSignal): Promise<number> {
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
