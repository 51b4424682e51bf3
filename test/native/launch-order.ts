// The system calls of a launched child in the order in which it makes them, as strace sees them.

import { finished } from './built.ts';

/**
 * The order is the safety of it: groups while that is still allowed, capabilities after the ids, nothing but the
 * way to the program after the proof.
 */
export const LAUNCH_ORDER = [
  ...['setsid', 'close_range', 'umask', 'keyctl', 'setgroups', 'setresgid', 'setresuid', 'keyctl', 'capset', 'capget'],
  ...[
    'getresuid',
    'getresgid',
    'getgroups',
    'setresuid',
    'setresuid',
    'setresgid',
    'setresgid',
    'setgroups',
    'chdir',
    'getppid',
  ],
];

/** What the child has no reason to call at any time, before or after. */
const NEVER = [
  ...['setuid', 'setgid', 'setreuid', 'setregid', 'setfsuid', 'setfsgid', 'ptrace', 'mount', 'chroot', 'unshare'],
  ...['setns', 'clone', 'fork', 'vfork', 'kill', 'socket'],
];

export interface LaunchTrace {
  /** Up to the exec of the program. */
  readonly before: readonly string[];
  /** Whatever of the traced calls the program itself made. */
  readonly after: readonly string[];
}

/** Runs `code` in Node under strace; `options` are strace's, such as `-u account`. Follows the first child that made a session. */
export async function traceLaunch(node: string, code: string, options: readonly string[] = []): Promise<LaunchTrace> {
  const calls = [...new Set([...LAUNCH_ORDER, ...NEVER]), 'execve'].join(',');
  const trace = ['-f', '-qq', '-e', 'signal=none', '-e', `trace=${calls}`];
  const { stderr } = await finished('strace', [...options, ...trace, node, '-e', code], { cwd: '/' });
  const child = /^\[pid +(\d+)\] setsid/m.exec(stderr)?.[1] ?? '';
  // Calls as they begin: the end of the exec may be missing, since the child dies with its parent here.
  const made = [...stderr.matchAll(/^\[pid +(\d+)\] (\w+)\(/gm)]
    .filter(([, pid]) => pid === child)
    .map(([, , call]) => call ?? '');
  const exec = made.indexOf('execve');
  return {
    before: made.slice(0, exec).filter((call, index, all) => call !== 'close_range' || all[index - 1] !== call),
    after: made.slice(exec + 1),
  };
}
