// What a way of giving up privilege consists of. Each of the four has a file of its own beside this one.

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { constants as system } from 'node:os';
import { isatty } from 'node:tty';
import { ConfigurationError } from '../../contract/errors.ts';
import type { Account } from '../account.ts';
import type { Credentials, LaunchPlan } from '../credentials.ts';
import { jacamarEnvironment } from '../environment.ts';
import { isProgramOfRoot } from '../trusted-file.ts';

/** As whom jacamar is started, and how. */
export interface Downscope {
  readonly mechanism: Mechanism;
  /** Absolute path of the jacamar executable. */
  readonly jacamar: string;
  readonly account: Account;
  readonly noNewPrivileges: boolean;
  /** Binds jacamar and all that it starts; only where jacamar is started directly. */
  readonly seccompFilter?: Uint8Array;
}

/** One value of `auth.downscope`. */
export interface Mechanism {
  /**
   * True where another program stands between us and jacamar: then it is reached through pipes, and signalled by
   * its own account only, since its number is no more than what it says of itself.
   */
  readonly isIndirect: boolean;
  /**
   * Checks what the site asks for against what this process can do.
   * @throws {ConfigurationError} it cannot do that, or must not
   */
  check(wishes: DownscopeWishes): void;
  /** What to start, in place of the common parts of a plan. */
  plan(downscope: Downscope, args: readonly string[]): MechanismPlan;
}

interface DownscopeWishes {
  readonly credentials: Pick<Credentials, 'capabilities'>;
  readonly noNewPrivileges: boolean;
  /** `[auth.seccomp]` asks for a filter. */
  readonly hasFilter: boolean;
}

type MechanismPlan = Pick<
  LaunchPlan,
  'file' | 'argv' | 'env' | 'credentials' | 'noNewPrivileges' | 'seccompFilter' | 'newSession' | 'deathSignal'
>;

/** The plan where no other program stands in between; whose credentials jacamar gets is left to the caller. */
export function directPlan(downscope: Downscope, args: readonly string[]): MechanismPlan {
  const { jacamar, account, noNewPrivileges, seccompFilter } = downscope;
  return {
    file: jacamar,
    argv: [jacamar, '--no-auth', ...args],
    env: jacamarEnvironment(account),
    noNewPrivileges,
    ...(seccompFilter === undefined ? {} : { seccompFilter }),
    newSession: true,
    deathSignal: system.signals.SIGTERM,
  };
}

/** A filter would bind the program that changes the ids first, and could not let it do that. */
export function refuseFilter(mode: string, { hasFilter }: DownscopeWishes): void {
  if (hasFilter) refuseDeployment(`"${mode}" cannot be combined with [auth.seccomp]; "setuid" can`);
}

/** @throws {ConfigurationError} `message` says why this deployment cannot work */
export function refuseDeployment(message: string): never {
  throw new ConfigurationError({ code: 'ERR_CONFIG_DOWNSCOPE', message: `auth.downscope = ${message}` });
}

/**
 * Jobs of other accounts are started by a service, never from somebody's terminal: whoever shares a terminal can
 * type into it (ioctl_tty(2), TIOCSTI). As upstream (merge request 351).
 */
export function refuseTerminal(mode: string): void {
  if (![0, 1, 2].some(isTerminal) && !hasControllingTerminal()) return;
  const message =
    `"${mode}" refuses to work on an interactive terminal; jacamar-auth is started by GitLab Runner, ` +
    'by hand use "jacamar-admin trial"';
  throw new ConfigurationError({
    code: 'ERR_CONFIG_TERMINAL',
    message: `auth.downscope = ${message}`,
    publicMessage: `Downscope ${message}.`,
  });
}

/** Asked of character devices only, and not of /dev/null: node:tty loads all of Node's streams. */
function isTerminal(descriptor: number): boolean {
  const stats = fstatSync(descriptor);
  return stats.isCharacterDevice() && stats.rdev !== statSync('/dev/null').rdev && isatty(descriptor);
}

/** /dev/tty can be opened exactly by processes that have one: tty(4). */
function hasControllingTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY));
    return true;
  } catch {
    return false;
  }
}

/** The first of several places at which a program of the system is found that only root can have put there. */
export function findSystemProgram(mode: string, places: readonly string[]): string {
  const found = places.find(isProgramOfRoot);
  return found ?? refuseDeployment(`"${mode}" needs ${places.join(' or ')}, which nobody but root can have put there`);
}
