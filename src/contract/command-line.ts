// The command line that both programs share: one sub-command per driver stage, with the runner's arguments. Loaded
// for what people type; the calls of the runner are understood without it (runner-call.ts).

import { Command, CommanderError } from 'commander';
import type { DriverStage } from './custom-executor.ts';
import type { StageCall } from './runner-call.ts';
import { versionText } from './version.ts';

/**
 * A program whose usage errors are exceptions, so that the exit code stays ours. A default stands in the description of
 * its option, where the manual page finds it, too.
 */
export function createProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(versionText(), '-v, --version', 'print version, commit and runtime')
    .helpOption('-h, --help', 'explain the command line')
    .showHelpAfterError('(add --help for the whole command line)')
    .configureHelp({ optionDescription: ({ description }) => description })
    .exitOverride();
}

/**
 * Adds the four stages; `act` gets the call of whichever the runner named. Config and cleanup take the
 * configuration; the stages between get it from what config told the runner.
 */
export function addStages(program: Command, act: (call: StageCall) => void): Command {
  const configuration = ['--configuration <file>', 'TOML file of this deployment'] as const;
  stage(program, 'config', 'choose where the job runs and tell the runner its directories')
    .option(...configuration)
    .action((options) => act({ stage: 'config', configurationPath: options.configuration }));
  stage(program, 'prepare', "check the job's directories and say where it will run").action(() =>
    act({ stage: 'prepare' }),
  );
  stage(program, 'run', 'run one script of the job')
    .argument('<script>', 'path of the script, as the runner wrote it')
    .argument('<run stage>', 'name of the run stage, such as get_sources or build_script')
    .action((scriptPath, runStage) => act({ stage: 'run', scriptPath, runStage }));
  stage(program, 'cleanup', 'remove what the job left; works without the other stages, and twice')
    .option(...configuration)
    .action((options) => act({ stage: 'cleanup', configurationPath: options.configuration }));
  return program;
}

function stage(program: Command, name: DriverStage, description: string): Command {
  return program.command(name).description(description).allowExcessArguments(false);
}

/**
 * Reads the command line.
 * @returns the exit code when there is nothing more to do: 0 after help or version, else `usageError`
 */
export async function readCommandLine(
  program: Command,
  argv: readonly string[],
  usageError: number,
): Promise<number | undefined> {
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : usageError;
  }
}
