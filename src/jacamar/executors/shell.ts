// Runs a script in the user's login shell on this host: `bash --login`, which starts `bash <script>`.

import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { SYSTEM_PATH, USER_VARIABLES } from '../../contract/environment.ts';
import { JobError, ScriptFailure, SystemFailure } from '../../contract/errors.ts';
import type { Handoff } from '../../contract/handoff.ts';
import { loadLock } from '../../contract/lock.ts';
import { ProcessTree } from '../../contract/process-tree.ts';
import { tell, writeFully } from '../../contract/program.ts';
import { openReader, Relay } from '../relay.ts';
import { type ExitStatus, findProgram, startProgram } from '../subprocess.ts';

/** Descriptor on which the login shell tells how far it came; the script itself does not get it. */
const STATUS = 3;
/** How long a login shell may take over its logout files once the script has ended, in milliseconds. */
const LOGOUT_LIMIT_MS = 10_000;
/** How long what a stage leaves behind may take to end by itself, in milliseconds. */
const LEFTOVER_PATIENCE_MS = 2_000;

/** How the login shell and the script in it ended. */
interface Ending {
  readonly shell: ExitStatus;
  readonly started: boolean;
  /** Absent when the script did not come to its end under this shell's eyes. */
  readonly scriptCode: number | undefined;
}

/** Runs `script`, relays its output, and ends everything it started. */
export async function runInShell(script: string, handoff: Handoff, stop: AbortSignal): Promise<void> {
  const lock = loadLock();
  const tree = new ProcessTree(lock);
  const { settings } = handoff;
  const bash = settings.shellPath ?? findProgram('bash');
  const [stdin, stdout, stderr, status] = [lock.pipe(), lock.pipe(), lock.pipe(), lock.pipe()];
  const child = startProgram({
    file: bash,
    argv: loginOptions(handoff.variables),
    env: shellEnvironment(handoff),
    stdio: [stdin[0], stdout[1], stderr[1], status[1]],
  });
  tree.adopt(child.pid);
  writeFully(stdin[1], commandFor(script, handoff.variables['JACAMAR_ETC_PROFILE_ONLY'] === 'true'));
  closeSync(stdin[1]);
  const relays = [new Relay(stdout[0], 1), new Relay(stderr[0], 2)];
  const progress = openReader(status[0]);
  const onStop = () => void tree.end(settings.killTimeoutMs * 0.9);
  if (stop.aborted) onStop();
  stop.addEventListener('abort', onStop, { once: true });
  await Promise.race([
    child.exited,
    ...relays.map((relay) => relay.broken),
    progress.closed.then(() => child.exitedWithin(LOGOUT_LIMIT_MS)),
  ]);
  await endTree(tree, stop.aborted ? settings.killTimeoutMs * 0.9 : LEFTOVER_PATIENCE_MS, stop);
  await Promise.all(relays.map((relay) => relay.finish()));
  if (relays.some((relay) => relay.isBroken)) throw unread();
  const shell = await child.exited;
  judge(readProgress(await progress.finish(), shell), bash);
}

/** Both variables keep the user's own profile out; one of them still wants the site's (see `commandFor`). */
function loginOptions(variables: Handoff['variables']): string[] {
  const isWithoutProfile = USER_VARIABLES.some((name) => variables[name] === 'true');
  return isWithoutProfile ? ['--login', '--noprofile'] : ['--login'];
}

/** `env -i` with what a login shell needs; the job's own variables come in the script. */
function shellEnvironment({ account, settings }: Handoff): Record<string, string> {
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

function splitAtEquals(entry: string): [string, string] {
  const end = entry.indexOf('=');
  return [entry.slice(0, end), entry.slice(end + 1)];
}

/**
 * What the login shell reads after its profile files. The two marks tell a script that ran from a profile that
 * ended the shell, and keep logout files from changing the result. `builtin` passes over functions that a profile
 * may have defined, the backslash over aliases; a failure within && and || sets off no ERR trap and no errexit.
 */
function commandFor(script: string, readsSiteProfile: boolean): string {
  const path = `'${script.replaceAll("'", "'\\''")}'`;
  const tell = (format: string) => `\\builtin printf '${format}\\n'`;
  return [
    ...(readsSiteProfile ? ['. /etc/profile </dev/null'] : []),
    `${tell('started')} >&${STATUS}`,
    `\\builtin command bash ${path} </dev/null ${STATUS}>&- && ${tell('ended 0')} >&${STATUS} || ${tell('ended %d')} "$?" >&${STATUS}`,
    `\\builtin exec ${STATUS}>&-; \\builtin exit`,
    '',
  ].join('\n');
}

function readProgress(marks: string, shell: ExitStatus): Ending {
  const ended = marks.match(/^ended ([0-9]{1,3})$/m);
  return { shell, started: /^started$/m.test(marks), scriptCode: ended ? Number(ended[1]) : undefined };
}

/** Ends what is left and names it in the job log. */
async function endTree(tree: ProcessTree, patienceMs: number, stop: AbortSignal): Promise<void> {
  const left = await tree.end(patienceMs);
  if (left.ended.length > 0 && !stop.aborted) {
    tell(`Ended ${left.ended.length} process(es) that the script left running: ${left.ended.join(', ')}`);
  }
  if (left.surviving.length === 0) return;
  const message = `these processes of the job could not be ended: ${left.surviving.join(', ')}`;
  throw new SystemFailure({ code: 'ERR_SURVIVORS', message, publicMessage: message });
}

function unread(): SystemFailure {
  const message = 'the runner stopped reading the output of the job, so the job was ended';
  return new SystemFailure({ code: 'ERR_OUTPUT_CLOSED', message, publicMessage: message });
}

function judge({ shell, started, scriptCode }: Ending, bash: string): void {
  if (scriptCode === 0) return;
  if (scriptCode !== undefined) throw new ScriptFailure(scriptCode, `the script ended with exit status ${scriptCode}`);
  if (shell.signal !== undefined) {
    const number = constants.signals[shell.signal];
    throw new ScriptFailure(128 + number, `the shell of the job was ended by ${shell.signal}`);
  }
  if (started) throw new ScriptFailure(shell.exitCode || 1, 'the shell of the job ended before its script');
  throw new JobError({
    code: 'ERR_PROFILE',
    message:
      `Your login shell (${bash} --login) ended with exit status ${shell.exitCode} before the script could start. ` +
      'Look at /etc/profile and at ~/.bash_profile, ~/.bash_login or ~/.profile: they must not call exit or exec, ' +
      'and must not read standard input.',
  });
}
