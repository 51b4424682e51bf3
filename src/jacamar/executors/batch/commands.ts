// Runs the scheduler's commands: with an environment built for them, with a time limit, one record of how many.

import { createHash } from 'node:crypto';
import { SystemFailure } from '../../../contract/errors.ts';
import type { Handoff } from '../../../contract/handoff.ts';
import type { Lock } from '../../../contract/lock.ts';
import { shellEnvironment, splitAtEquals } from '../../login-shell.ts';
import { captureProgram, findProgram, firstExecutable } from '../../subprocess.ts';
import type { Answer, Command, CommandEnvironment, Inquired, Inquiry, Scheduler } from './scheduler.ts';

/** Above the 18 s after which Slurm's own commands give up on a controller, in milliseconds. */
export const COMMAND_LIMIT_MS = 30_000;
/** More than all of a user's CI jobs make; what comes behind it is dropped. */
const ANSWER_LIMIT = 4 * 1024 * 1024;

type Batch = Handoff['settings']['batch'];

/** An answer, the form in which it was asked for, and what it says. */
export interface Asked {
  readonly answer: Answer;
  readonly form: number;
  readonly inquired: Inquired;
}

/** An inquiry in one of its forms: the first is 0. */
export function formOf(inquiry: Inquiry, form: number): Inquiry {
  return form === 0 || inquiry.otherwise === undefined ? inquiry : formOf(inquiry.otherwise, form - 1);
}

/** The commands of one scheduler on this host, as one account calls them. */
export class Commands {
  /**
   * Tells this scheduler from others of its kind on this host, whose jobs bear the same numbers: by where its commands
   * lie, and by the variables that say which cluster they mean.
   */
  readonly destination: string;
  readonly #bin: string | undefined;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #lock: Lock;
  readonly #closed = new AbortController();
  readonly #forms = new Map<Inquiry, number>();
  #count = 0;

  constructor(scheduler: Scheduler, handoff: Handoff, lock: Lock) {
    const { schedulerBin, envVars } = handoff.settings.batch;
    this.#bin = schedulerBin;
    this.#environment = environmentFor(scheduler.environment, shellEnvironment(handoff), envVars);
    this.destination = destinationOf(this.#bin, this.#environment, scheduler.environment);
    this.#lock = lock;
  }

  /** How many commands were run so far. */
  get count(): number {
    return this.#count;
  }

  /** Aborted by `close`. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /**
   * Runs a command to its end. An answer comes in any case, also where the command was ended after `limitMs`.
   * @param limitMs Infinity for commands that wait for a job
   * @throws {SystemFailure} there is no such command here
   */
  async run({ program, argv }: Command, stop?: AbortSignal, limitMs = COMMAND_LIMIT_MS): Promise<Answer> {
    this.#count += 1;
    return await captureProgram({
      file: this.find(program),
      argv,
      env: this.#environment,
      limitMs,
      limitBytes: ANSWER_LIMIT,
      lock: this.#lock,
      stop: stop === undefined ? this.#closed.signal : AbortSignal.any([stop, this.#closed.signal]),
    });
  }

  /**
   * The same where a command that cannot be started (it is being replaced, or was never installed, as sacct sometimes)
   * is no more than an answer that does not come: it says nothing about a job.
   */
  async try(command: Command, stop?: AbortSignal, limitMs?: number): Promise<Answer> {
    try {
      return await this.run(command, stop, limitMs);
    } catch (error) {
      if (!(error instanceof SystemFailure)) throw error;
      return { stdout: '', stderr: `ENOENT: there is no command ${command.program} here`, exitCode: undefined };
    }
  }

  /**
   * Asks about jobs, in the first form that the site has; later questions begin with that one.
   * @param how `form`: number of the form to begin with, when somebody else has found it out
   */
  async ask(
    inquiry: Inquiry,
    ids: readonly string[],
    how: { readonly form?: number | undefined; readonly limitMs?: number } = {},
  ): Promise<Asked> {
    const { form = this.#forms.get(inquiry) ?? 0, limitMs } = how;
    const chosen = formOf(inquiry, form);
    const answer = await this.try(chosen.about(ids), undefined, limitMs);
    const inquired = chosen.read(answer, ids);
    if (inquired.kind === 'unavailable' && chosen.otherwise !== undefined) {
      return this.ask(inquiry, ids, { ...how, form: form + 1 });
    }
    this.#forms.set(inquiry, form);
    return { answer, form, inquired };
  }

  /** Ends those that still run, and all that come: nobody waits for their answers any more. */
  close(): void {
    this.#closed.abort();
  }

  /** The name of a uid, by getent(1); the uid where nobody knows it. */
  async accountName(uid: string): Promise<string> {
    const limits = { limitMs: COMMAND_LIMIT_MS, limitBytes: ANSWER_LIMIT, lock: this.#lock };
    const argv = ['passwd', uid];
    const { stdout } = await captureProgram({ file: findProgram('getent'), argv, env: this.#environment, ...limits });
    return stdout.split(':')[0] || `uid ${uid}`;
  }

  /**
   * Path of a command.
   * @throws {SystemFailure} there is no such command here
   */
  find(program: string): string {
    const directories = this.#bin === undefined ? (this.#environment['PATH'] ?? '').split(':') : [this.#bin];
    const found = firstExecutable(program, directories);
    if (found !== undefined) return found;
    const message =
      `The scheduler's command ${program} was not found in ${directories.join(', ')}. ` +
      'The administrator of this runner has to install it there, or to set batch.scheduler_bin.';
    throw new SystemFailure({ code: 'ERR_SCHEDULER_MISSING', message, publicMessage: message });
  }
}

function destinationOf(
  bin: string | undefined,
  environment: Readonly<Record<string, string>>,
  { drop, keep }: CommandEnvironment,
): string {
  const told = Object.entries(environment).filter(([name]) => keep.includes(name) || drop.test(name));
  const parts = [bin ?? environment['PATH'], ...told.map((entry) => entry.join('=')).sort()];
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 8);
}

/** Variables that act as options would change what is submitted, and how answers look. */
function environmentFor(
  { drop, keep, set }: CommandEnvironment,
  shell: Readonly<Record<string, string>>,
  added: Batch['envVars'],
): Record<string, string> {
  const inherited = Object.entries(shell).filter(([name]) => keep.includes(name) || !drop.test(name));
  return { ...Object.fromEntries(inherited), ...set, ...Object.fromEntries(added.map(splitAtEquals)) };
}
