// The login shell as text: its options, its environment, the commands it reads on standard input, and the marks
// by which it tells how far it came. Pure. What stands here decides whether a profile
// can fake, break or survive a job.

import { PROFILE_VARIABLES, SYSTEM_PATH } from '../contract/environment.ts';
import type { Handoff } from '../contract/handoff.ts';

/**
 * Descriptor of the marks. Neither a number that people write into redirections (up to 9) nor one that Bash gives
 * out by itself (from 10 on, and 255).
 */
export const MARKS = 97;

/** How far the login shell and the script in it came. */
export interface Progress {
  /** The profile is through. */
  readonly isStarted: boolean;
  /** Bash has read the first line of the script. */
  readonly isBegun: boolean;
  /** Absent when the script did not come to its end under the shell's eyes. */
  readonly scriptCode: number | undefined;
  /** What the profile left in BASH_ENV: Bash reads that file before the script. */
  readonly bashEnv: string;
}

/** Both variables keep the user's own profile out; one of them still wants the site's (see `commandsFor`). */
export function loginOptions(variables: Handoff['variables']): string[] {
  const isWithoutProfile = PROFILE_VARIABLES.some((name) => variables[name] === 'true');
  return isWithoutProfile ? ['--login', '--noprofile'] : ['--login'];
}

/** `env -i` with what a login shell needs; the job's own variables come in the script. */
export function shellEnvironment({ account, settings }: Handoff): Record<string, string> {
  const given = Object.fromEntries(settings.userBashEnv.map((entry) => splitAtEquals(entry)));
  return {
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell || '/bin/sh',
    PATH: SYSTEM_PATH,
    JACAMAR_CI_SHELL: 'true',
    ...given,
  };
}

/** Name and value of `NAME=value`. */
export function splitAtEquals(entry: string): [string, string] {
  const end = entry.indexOf('=');
  return [entry.slice(0, end), entry.slice(end + 1)];
}

/** One word for a POSIX shell, whatever stands in it. */
export function inShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Read before all else when the job asks for the site's profile alone. */
export function preamble(variables: Handoff['variables']): string {
  return variables['JACAMAR_ETC_PROFILE_ONLY'] === 'true' ? '. /etc/profile </dev/null\n' : '';
}

/**
 * What the login shell reads after its profile files. The marks tell a script that ran from a profile that ended
 * the shell, and keep logout files from changing the result. `builtin` passes over functions that a profile
 * may have defined, the backslash over aliases; a failure within && and || sets off no ERR trap. Errexit it does set
 * off behind `builtin`, whatever the manual says of such lists, so that a profile may leave on is turned off first.
 */
export function commandsFor(script: string): string {
  const path = inShell(script);
  const mark = (format: string, argument = '') => `\\builtin printf '${format}\\n' ${argument} >&${MARKS}`;
  return [
    '\\builtin set +e',
    mark('started %q', '"${BASH_ENV-}"'),
    `\\builtin command bash ${path} </dev/null && ${mark('ended 0')} || ${mark('ended %d', '"$?"')}`,
    '\\builtin exit',
    '',
  ].join('\n');
}

const BEGUN = `{ \\builtin printf 'begun\\n' >&${MARKS} || \\builtin :; } 2>/dev/null; \\exec ${MARKS}>&-; `;

/**
 * For a shell above others that get the same signals: it stays until what runs in it has ended, and so do they the
 * time that a handler of the user takes. A subshell starts without the trap.
 */
export const OUTLIVES_SIGNALS = '\\builtin trap : TERM INT HUP USR1 USR2; ';

/**
 * The script, telling that it was begun: a file named by BASH_ENV, or a shell told not to execute anything, would
 * otherwise end with success and no script run. In front of the first line, so that line numbers stay as they are.
 * @param before commands to stand there as well
 */
export function markBeginning(script: Uint8Array, before = ''): Buffer {
  return Buffer.concat([Buffer.from(BEGUN + before), script]);
}

export function readProgress(marks: string): Progress {
  const started = marks.match(/^started (.*)$/m);
  const ended = marks.match(/^ended ([0-9]{1,3})$/m);
  return {
    isStarted: started !== null,
    isBegun: /^begun$/m.test(marks),
    scriptCode: ended ? Number(ended[1]) : undefined,
    bashEnv: started?.[1] === "''" ? '' : (started?.[1] ?? ''),
  };
}
