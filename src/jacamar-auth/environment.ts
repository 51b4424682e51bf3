// The environment of the user's process, built from nothing: what the user database says, fixed values, and
// no variable of the runner. CI variables reach the job through the export lines of the runner's script.

import { CI_VARIABLE_PREFIX } from '../contract/custom-executor.ts';
import { SYSTEM_PATH, userVariables } from '../contract/environment.ts';
import { JobError } from '../contract/errors.ts';
import { HANDOFF_VARIABLE } from '../contract/handoff.ts';
import type { Environment } from '../contract/program.ts';
import type { Account } from './account.ts';

/** What of the configuration says which variables are taken. */
interface VariableLimits {
  /** `auth.max_env_chars` */
  readonly longest: number;
  /** `batch.arguments_variable` */
  readonly argumentsVariable: readonly string[];
}

/** Environment of jacamar, as `NAME=value`. */
export function jacamarEnvironment(account: Account): string[] {
  return [...accountEnvironment(account), `${HANDOFF_VARIABLE}=stdin`];
}

/** The same for a program that starts jacamar, and makes an environment of its own for it. */
export function accountEnvironment({ name, home, shell }: Account): string[] {
  return [
    `HOME=${home}`,
    `USER=${name}`,
    `LOGNAME=${name}`,
    `SHELL=${shell || '/bin/sh'}`,
    `PATH=${SYSTEM_PATH}`,
    'LANG=C.UTF-8',
  ];
}

/**
 * The CI variables that jacamar gets, without their prefix.
 * @throws {JobError} one of them is longer than that
 */
export function jacamarVariables(
  environment: Environment,
  { longest, argumentsVariable }: VariableLimits,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of userVariables(argumentsVariable)) {
    const value = environment[`${CI_VARIABLE_PREFIX}${name}`];
    if (value === undefined) continue;
    if (value.length > longest) throw tooLong(name, value.length, longest);
    found[name] = value;
  }
  return found;
}

function tooLong(name: string, length: number, longest: number): JobError {
  return new JobError({
    code: 'ERR_VARIABLE_TOO_LONG',
    message: `The CI variable ${name} has ${length} characters; at most ${longest} are taken here.`,
  });
}
