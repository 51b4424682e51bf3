// The typed face of the privileged addon (native/credentials): the only way from TypeScript to a change of
// ids. What stands here is exported by the addon one for one, under the same names; a test compares the two.

import { dirname, join } from 'node:path';
import { SystemFailure } from '../contract/errors.ts';

/** A passwd entry with the complete group list of its name, primary group included. */
export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
  readonly groups: readonly number[];
}

/** Everything a launch needs; the child finds all of it ready and decides nothing. */
export interface LaunchPlan {
  /** Absolute path, or a descriptor of the program. A script's descriptor stays open: its interpreter reads it as /dev/fd/N. */
  readonly file: string | number;
  /** Complete argument vector, the program's own name first. */
  readonly argv: readonly string[];
  /** `NAME=value`; nothing else gets through. */
  readonly env: readonly string[];
  /** Entered with the rights of the account. */
  readonly cwd: string;
  /** Descriptors that become 0, 1 and 2. All others are closed. */
  readonly stdio: readonly [number, number, number];
  /** Absent: ids stay, but capabilities go all the same, unless this process is root. */
  readonly credentials?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  readonly umask: number;
  readonly noNewPrivileges: boolean;
  /**
   * Sent to the child when this process ends; 0 for none. Reaches the child itself, not what it starts, and
   * is subject to kill(2): without CAP_KILL (file capabilities in place of root) it cannot reach another account.
   */
  readonly deathSignal: number;
  /** A session of its own, without a terminal; the pid is its process group too. */
  readonly newSession: boolean;
  /**
   * Filter of system calls (filter-compiler.ts), installed as the last step before the program, which it must allow.
   * Without noNewPrivileges only root can have it installed.
   */
  readonly seccompFilter?: Uint8Array;
}

/** How a child ended: by exit or by signal. */
export type ExitStatus = { readonly exitCode: number } | { readonly signal: number };

/** What each failed call throws: an Error as Node's own (`errno` negative), plus the step that failed. */
export interface CredentialsError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly step: string;
}

/** The privileged addon. Arguments of a wrong type or range throw TypeError or RangeError. */
export interface Credentials {
  /**
   * `undefined`: the name service says that there is no such name. A service that cannot answer rejects. May take
   * for ever; the caller bounds it, and a look-up given up does not keep the process from ending.
   */
  lookUpAccount(name: string): Promise<PasswdEntry | undefined>;
  /** The number of a group, in the same way. */
  lookUpGroup(name: string): Promise<number | undefined>;
  /** Forks, drops to `credentials`, proves it, executes. Returns the pid once the program runs. */
  launch(plan: LaunchPlan): number;
  /** `undefined` while the child runs. Call it on SIGCHLD, and once after the launch. */
  wait(pid: number): ExitStatus | undefined;
  /** A negative pid is a process group. -1, 0 and 1 are refused. */
  signal(pid: number, signal: number): void;
  /** Connected stream sockets, close-on-exec; the first one, ours, does not block. */
  socketPair(): [number, number];
  /** Read end, write end, close-on-exec. */
  pipe(): [number, number];
  /** _exit(2): at once, whatever other threads are waiting for. */
  exit(code: number): never;
  /** Undumpable, no core file, umask 077, cwd /, no ambient capabilities. Call first, once. */
  harden(): void;
  /** One line to the local syslog, facility daemon; `priority` 0 (emergency) to 7 (debug). Throws if it is lost. */
  syslog(priority: number, text: string): void;
  /** This thread's sets, 16 hexadecimal digits each as in /proc/PID/status. */
  capabilities(): { readonly permitted: string; readonly effective: string; readonly ambient: string };
}

/** Whether this process has root's rights; else it is a service account, with capabilities or without. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Loads the addon from beside the installed runtime: `<prefix>/lib/credentials.node`. */
export function loadCredentials(): Credentials {
  const file = join(dirname(process.execPath), '../lib/credentials.node');
  const module = { exports: {} };
  try {
    process.dlopen(module, file);
  } catch (cause) {
    throw new SystemFailure({ code: 'ERR_ADDON_LOAD', message: `cannot load the privileged addon ${file}`, cause });
  }
  return module.exports as Credentials;
}
