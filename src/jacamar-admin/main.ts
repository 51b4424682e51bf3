// Command line of jacamar-admin: tools that an administrator runs by hand. Nothing else starts this program, and no
// part of Jacamar depends on it.

import { CommanderError } from 'commander';
import { JacamarError } from '../contract/errors.ts';
import { type Environment, runProgram, tell, writeFully } from '../contract/program.ts';
import { commandLine } from './command-line.ts';
import { type TrialOptions, trial } from './trial.ts';
import type { TrialWorld } from './trial-report.ts';
import { type WorkspaceOptions, workspace } from './workspace.ts';

const INCOMPLETE = 1;
const COULD_NOT_BE_PLAYED = 2;

runProgram(main);

async function main(argv: readonly string[], environment: Environment, stop: AbortSignal): Promise<number> {
  let status = 0;
  const program = commandLine({
    async trial(options) {
      status = await runTrial(options, environment);
    },
    async workspace(options) {
      status = await runWorkspace(options, stop);
    },
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : COULD_NOT_BE_PLAYED;
  }
}

async function runWorkspace(options: WorkspaceOptions, stop: AbortSignal): Promise<number> {
  const unread = new AbortController();
  const write = (text: string) => {
    try {
      writeFully(1, text, 60_000);
    } catch {
      // A pager that was left: what is not seen need not be done.
      unread.abort();
    }
  };
  try {
    return (await workspace(options, write, AbortSignal.any([stop, unread.signal]))) ? 0 : INCOMPLETE;
  } catch (error) {
    return tellWhy(error);
  }
}

/** A call to the system that fails, as where /tmp is full, is no fault of ours either. */
function tellWhy(error: unknown): number {
  const isOfSystem = error instanceof Error && 'syscall' in error;
  if (!(error instanceof JacamarError) && !isOfSystem) throw error;
  tell(`jacamar-admin: ${error.message}`);
  return COULD_NOT_BE_PLAYED;
}

async function runTrial(options: TrialOptions, environment: Environment): Promise<number> {
  try {
    return await trial(options, worldOf(environment));
  } catch (error) {
    return tellWhy(error);
  }
}

function worldOf(environment: Environment): TrialWorld {
  const cancel = new AbortController();
  const force = new AbortController();
  // The first Ctrl-C is the button in GitLab, a second one and any other signal the end of patience. The frame's own
  // signal reports only the first of all, so it cannot tell them apart.
  let interrupts = 0;
  process.on('SIGINT', () => {
    interrupts += 1;
    (interrupts === 1 ? cancel : force).abort();
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => force.abort());
  // A pager that was left, or a terminal that is gone: the job must not be left without its cleanup.
  process.stdout.on('error', () => force.abort());
  return {
    write: (text) => void process.stdout.write(text),
    colours: process.stdout.isTTY === true && (environment['NO_COLOR'] ?? '') === '',
    cancel: cancel.signal,
    forceCancel: force.signal,
  };
}
