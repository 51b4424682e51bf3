// The command line of jacamar. Apart from main.ts, which runs on import, so that manual page and completions can be
// made from it.

import { addStages, createProgram } from '../contract/command-line.ts';
import { PIPED_OPTION } from '../contract/handoff.ts';
import type { StageCall } from '../contract/runner-call.ts';
import { addLock } from './claim/command.ts';
import type { Wishes } from './housekeeping.ts';

const DESCRIPTION =
  'Runs the stages of a GitLab CI job as the user who calls it. jacamar-auth starts it; in a runner of your own, ' +
  'call it with --no-auth in its place.';

const WITHOUT_NO_AUTH =
  'error: this program authorizes nobody and runs every job as the account that calls it; the driver of a runner ' +
  'that serves others is jacamar-auth, and in a runner of your own --no-auth comes first';

/** `jacamar workspace` */
export type HousekeepingCall = Wishes & { readonly timeLimitMs: number };

/** What to do for each sub-command; `lock` acts by itself. */
interface Acts {
  readonly stage: (call: StageCall) => void;
  /** Returns what is wrong with the call, if anything is. */
  readonly signal: (signal: string, processes: readonly number[]) => string | undefined;
  readonly workspace: (call: HousekeepingCall) => void;
}

export function commandLine(acts: Acts) {
  const program = createProgram('jacamar', DESCRIPTION);
  addStages(program, (call) => {
    // In the place of jacamar-auth, by a slip in the runner's configuration, this would run anyone's job as root.
    if (program.opts()['auth'] !== false) program.error(WITHOUT_NO_AUTH);
    acts.stage(call);
  });
  program
    .command('signal')
    .description('signal processes of the calling user; jacamar-auth uses it where it may not do so itself')
    .argument('<signal>', 'SIGTERM, SIGCONT or SIGKILL')
    .argument('<process...>', 'their numbers; each stands for its whole process group')
    .action((signal: string, processes: string[]) => {
      const complaint = acts.signal(signal, processes.map(Number));
      if (complaint !== undefined) program.error(complaint);
    });
  addLock(program);
  addWorkspace(program, acts.workspace);
  program.option(
    '--no-auth',
    'no authorization happens here: run as the calling user; required for the stages of a job',
  );
  program.option(PIPED_OPTION, 'jacamar-auth is at the other end of standard input and output (sudo and su)');
  return program;
}

function addWorkspace(program: ReturnType<typeof createProgram>, act: (call: HousekeepingCall) => void): void {
  program
    .command('workspace')
    .description('list the build directories of the calling user as lines of JSON, or remove some of them')
    .requiredOption('--base <directory>', 'where the CI files of the user are, usually ~/.jacamar-ci')
    .option('--older-than <seconds>', 'choose those that were used last so long ago', Number)
    .option('--budget <bytes>', 'choose the least recently used ones until the others have no more than that', Number)
    .option('--remove', 'remove what was chosen', false)
    .option('--time-limit <seconds>', 'stop after that time; default: 3600', Number, 3600)
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
