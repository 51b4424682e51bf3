// A jacamar that the launcher has started ahead of our decision (native/launcher/head_start.hh), so that two starts of
// Node go on at the same time. The config stage leaves a plan for it, whose key is the identity of the job response file:
// the token in that file is the one that was verified when the plan was made. jacamar does nothing before it gets its
// handoff; here it is taken over when this stage has decided afresh and would start just that, and killed otherwise.

import { closeSync, lstatSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { RUNNER_ENVIRONMENT } from '../contract/custom-executor.ts';
import type { Environment } from '../contract/program.ts';
import { type Credentials, isRoot } from './credentials.ts';
import type { Downscope } from './downscope/mechanism.ts';
import { setuid } from './downscope/setuid.ts';
import { jacamarEnvironment } from './environment.ts';
import { waitForExitWithin } from './exit-status.ts';
import { replaceFile } from './state-directory.ts';

/** Set by the launcher; no caller can set this name. */
const HEAD_START_VARIABLE = 'JACAMAR_HEAD_START';

const PLAN_VERSION = 'head start 1';
const PLAN_FILE = 'jacamar-head-start';

/** How long a killed process may take to be gone, in milliseconds. */
const DEATH_LIMIT_MS = 2_000;

/** A jacamar that waits for its handoff, and our end of the channel to it. */
export interface Waiting {
  readonly pid: number;
  readonly channel: number;
}

/**
 * Leaves the plan for the later stages of this job. Only root's launcher follows one, and only where jacamar is our
 * own child and no other: what a filter of system calls needs is not known to a launcher.
 */
export function leaveHeadStart(environment: Environment, downscope: Downscope): void {
  const responseFile = responseFileIn(environment);
  if (!isRoot() || !isDirect(downscope)) return;
  try {
    replaceFile(join(dirname(responseFile), PLAN_FILE), planFor(responseFile, downscope), true);
  } catch {
    // no room, for example: then the later stages take longer
  }
}

/** Nothing about jacamar that a plan does not say. */
function isDirect({ mechanism, seccompFilter }: Downscope): boolean {
  return mechanism === setuid && seccompFilter === undefined;
}

function responseFileIn(environment: Environment): string {
  return environment[RUNNER_ENVIRONMENT.jobResponseFile] ?? '';
}

/** Words that each end with a null byte, as native/launcher/head_start.cc reads them. */
function planFor(responseFile: string, { jacamar, account, noNewPrivileges }: Downscope): string {
  const { uid, gid, groups } = account;
  const credentials = [uid, gid, [...groups].sort((one, other) => one - other).join(' ')];
  const words = [PLAN_VERSION, identityOf(responseFile), jacamar, ...credentials, noNewPrivileges ? 1 : 0];
  return [...words, ...jacamarEnvironment(account)].map((word) => `${word}\0`).join('');
}

/** Whoever changes a file, or puts another in its place, changes this. */
function identityOf(file: string): string {
  const { dev, ino, size, ctimeNs } = lstatSync(file, { bigint: true });
  return [dev, ino, size, ctimeNs].join(' ');
}

/** At most one for each call of jacamar-auth. */
export class HeadStart {
  #waiting: Waiting | undefined;
  readonly #plan: number;
  readonly #responseFile: string;

  private constructor(waiting: Waiting, plan: number, responseFile: string) {
    this.#waiting = waiting;
    this.#plan = plan;
    this.#responseFile = responseFile;
  }

  /** What the launcher says that it has started. */
  static from(environment: Environment): HeadStart | undefined {
    const said = /^([0-9]+) ([0-9]+) ([0-9]+)$/.exec(environment[HEAD_START_VARIABLE] ?? '');
    if (said === null) return undefined;
    const [pid = 0, channel = 0, plan = 0] = said.slice(1).map(Number);
    return new HeadStart({ pid, channel }, plan, responseFileIn(environment));
  }

  /** The one that waits, if it is what would be started now; else it is killed, and the caller starts one. */
  async take(downscope: Downscope, credentials: Credentials): Promise<Waiting | undefined> {
    const waiting = this.#waiting;
    if (waiting !== undefined && this.#isFor(downscope)) {
      this.#leave();
      return waiting;
    }
    await this.discard(credentials);
    return undefined;
  }

  /** Kills the one that waits, unless it was taken: this stage was refused, or needs no jacamar. */
  async discard(credentials: Credentials): Promise<void> {
    if (this.#waiting === undefined) return;
    const { pid, channel } = this.#waiting;
    this.#leave();
    // Its group, of which it is the leader until it is waited for.
    credentials.signal(-pid, constants.signals.SIGKILL);
    closeSync(channel);
    await waitForExitWithin(DEATH_LIMIT_MS, pid, credentials);
  }

  #isFor(downscope: Downscope): boolean {
    try {
      return isDirect(downscope) && readFileSync(this.#plan, 'utf8') === planFor(this.#responseFile, downscope);
    } catch {
      return false; // the response file is gone
    }
  }

  #leave(): void {
    this.#waiting = undefined;
    closeSync(this.#plan);
  }
}
