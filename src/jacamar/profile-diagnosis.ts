// What the job log says of a profile: where it hangs, what it prints, how it kept a script from running. Whatever is
// wrong with it is the user's, and is named by file and line where a second look finds them.

import { once } from 'node:events';
import { accessSync, constants as files } from 'node:fs';
import { setTimeout as delay, setImmediate as whatIsReady } from 'node:timers/promises';
import { JobError, SystemFailure } from '../contract/errors.ts';
import type { Handoff } from '../contract/handoff.ts';
import type { Lock } from '../contract/lock.ts';
import type { ProcessTree } from '../contract/process-tree.ts';
import { tell } from '../contract/program.ts';
import { readProgress } from './login-shell.ts';
import { locateOutput } from './profile-output.ts';
import { locateAssignment, locateInBashEnv, locateInProfile, type TracedShell } from './profile-trace.ts';
import type { Reader, Relay } from './relay.ts';
import type { ExitStatus } from './subprocess.ts';

/** How long a profile may take before the job log says where it is, in milliseconds. */
const SLOW_PROFILE_MS = 20_000;

/** A run of a script, as far as its profile is concerned. */
export interface WatchedRun {
  readonly settings: Pick<Handoff['settings'], 'shellPath' | 'keepProcesses'>;
  readonly lock: Lock;
  readonly tree: ProcessTree;
  readonly shell: TracedShell;
  readonly stop: AbortSignal;
  /** What is said once per job is said in the first of its run stages. */
  readonly isFirst: boolean;
}

type Marks = Pick<Reader, 'soFar'>;

/** The login shell at work. */
interface Watched {
  /** Of standard output, then of standard error. */
  readonly relays: readonly Pick<Relay, 'begun'>[];
  readonly progress: Marks;
}

/** Tells what is to be told of a profile while a script runs. Ends soon after `isOver`; never fails. */
export async function watchProfile(run: WatchedRun, watched: Watched, isOver: AbortSignal): Promise<void> {
  await Promise.allSettled([
    tellWhereItHangs(run, watched.progress, AbortSignal.any([run.stop, isOver])),
    tellWhatPrints(run, watched, isOver),
  ]);
}

/** Once, when the script has not begun after a while. */
async function tellWhereItHangs(run: WatchedRun, marks: Marks, stop: AbortSignal): Promise<void> {
  await delay(SLOW_PROFILE_MS, undefined, { signal: stop }).catch(() => {});
  const { isStarted, isBegun, bashEnv } = readProgress(marks.soFar());
  if (stop.aborted || isBegun) return;
  const waited = `after ${SLOW_PROFILE_MS / 1000} s`;
  if (isStarted) return tell(`Bash has not begun your script ${waited}. ${await hintAt({ ...run, stop }, bashEnv)}`);
  const { place } = await locateInProfile(run.shell, { lock: run.lock, tree: run.tree, stop });
  if (place !== undefined)
    tell(`Your login shell is still busy with your profile ${waited}; it does not get past ${place}.`);
}

/**
 * Output that comes before the script has begun is the profile's. While the script runs, a second shell looks for the
 * line. With keep_processes it does not: what that shell starts would stay.
 */
async function tellWhatPrints(
  run: WatchedRun,
  { relays: [output], progress }: Watched,
  isOver: AbortSignal,
): Promise<void> {
  const { isFirst, settings, shell, lock, tree, stop } = run;
  if (!isFirst || settings.keepProcesses) return;
  await Promise.race([output?.begun, once(isOver, 'abort')]);
  await whatIsReady(); // marks that came before this output have been read then
  if (isOver.aborted || readProgress(progress.soFar()).isBegun) return;
  const place = await locateOutput(shell, { lock, tree, stop });
  if (place === undefined || stop.aborted) return;
  tell(
    `Your profile prints to standard output in every stage: ${place}. ` +
      'Let it be silent when JACAMAR_CI_SHELL is set; scp, rsync and others break over such output, too.',
  );
}

/** The login shell ended before it came to what we want of it. */
export async function profileFailed(
  { settings, shell, lock, tree, stop }: WatchedRun,
  status: ExitStatus,
): Promise<Error> {
  const { place, isMute } = await locateInProfile(shell, { lock, tree, stop });
  await tree.end(0); // what the profile started the second time
  if (isMute && settings.shellPath !== undefined) return noBash(shell.bash);
  const advice =
    place === undefined
      ? 'Look at /etc/profile and at ~/.bash_profile, ~/.bash_login or ~/.profile: they'
      : `Look at ${place}. Profile files`;
  return new JobError({
    code: 'ERR_PROFILE',
    message:
      `Your login shell (${shell.bash} --login) ${endOf(status)} before the script could start. ` +
      `${advice} must not call exit or exec, and must not read standard input.`,
  });
}

function endOf({ exitCode, signal }: ExitStatus): string {
  return signal === undefined ? `ended with exit status ${exitCode}` : `was ended by ${signal}`;
}

function noBash(shell: string): SystemFailure {
  const message = `${shell} (general.shell_path) is no Bash that works on this host, which is no fault of the job`;
  return new SystemFailure({ code: 'ERR_SHELL', message, publicMessage: message });
}

/** The profile is through, but Bash did not come to the first line of the script. */
export async function notBegun(
  run: WatchedRun,
  { script, code, bashEnv }: { readonly script: string; readonly code: number; readonly bashEnv: string },
): Promise<JobError> {
  if (!isReadable(script)) {
    const message = `The job's script (${script}) is gone or cannot be read; your profile or another job of yours did that.`;
    return new JobError({ code: 'ERR_SCRIPT_GONE', message });
  }
  const hint = await hintAt(run, bashEnv);
  await run.tree.end(0); // what the profile started the second time
  const message = `Bash ended with exit status ${code} before the first line of your script. ${hint}`;
  return new JobError({ code: 'ERR_PROFILE', message });
}

/** Why Bash does not come to the first line: a file that it reads before every script, or it is another Bash. */
async function hintAt({ shell, lock, tree, stop }: WatchedRun, bashEnv: string): Promise<string> {
  const means = { lock, tree, stop };
  if (bashEnv === '') {
    const place = await locateAssignment('PATH', shell, means);
    return `Is no bash, or another one, in the PATH that your profile leaves? Look at ${place ?? 'your profile'}.`;
  }
  const { place } = await locateInBashEnv(shell, means);
  return `Your profile sets BASH_ENV=${bashEnv}, a file that Bash reads before every script; look at ${place ?? 'that'}.`;
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, files.R_OK);
    return true;
  } catch {
    return false;
  }
}
