// Runs a script in the user's login shell on this host: `bash --login`, which starts `bash <script>`.

import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { FIRST_RUN_STAGE } from '../../contract/custom-executor.ts';
import { ScriptFailure, SystemFailure } from '../../contract/errors.ts';
import type { Handoff } from '../../contract/handoff.ts';
import { withLargestStack } from '../../contract/limits.ts';
import { loadLock } from '../../contract/lock.ts';
import { ProcessTree } from '../../contract/process-tree.ts';
import { tell, writeFully } from '../../contract/program.ts';
import { endOfParent } from '../../contract/runner-life.ts';
import { AUTH_IS_GONE } from '../channel.ts';
import { ControlGroup } from '../control-group.ts';
import {
  commandsFor,
  loginOptions,
  MARKS,
  type Progress,
  preamble,
  readProgress,
  shellEnvironment,
} from '../login-shell.ts';
import { notBegun, profileFailed, type WatchedRun, watchProfile } from '../profile-diagnosis.ts';
import { openReader, type Reader, Relay } from '../relay.ts';
import { jobMark } from '../stragglers.ts';
import { type ExitStatus, findProgram, type Subprocess, startProgram } from '../subprocess.ts';
import type { Task } from './executor.ts';

/** How long a login shell may take over its logout files once the script has ended, in milliseconds. */
const LOGOUT_LIMIT_MS = 10_000;
/** How long what a stage leaves behind may take to end by itself, in milliseconds. */
const LEFTOVER_PATIENCE_MS = 2_000;
/** The same when jacamar-auth was killed: the runner gives up on our output after force_kill_timeout, 10 s. */
const ABANDONED_PATIENCE_MS = 3_000;
/** For output of processes that are kept: it is passed on no longer than this. */
const KEPT_OUTPUT = { silenceMs: 500, totalMs: 3_000 } as const;

/** What one run works with. */
interface Run extends WatchedRun {
  readonly settings: Handoff['settings'];
  /** Aborted when our parent has ended. */
  readonly abandoned: AbortSignal;
  readonly group: ControlGroup | undefined;
}

/** The login shell, busy with its profile. */
interface Opened {
  readonly child: Subprocess;
  /** Where it reads what to do after that. */
  readonly commands: number;
  /** What it writes: standard output and error, and its marks. */
  readonly outputs: readonly [number, number];
  readonly marks: number;
}

/** The login shell at work. */
interface Started {
  readonly child: Subprocess;
  readonly relays: readonly Relay[];
  readonly progress: Reader;
}

/** Places the script while the shell reads its profile, runs it, relays its output, and ends everything it started. */
export async function runInShell({ handoff, place, stop }: Task): Promise<void> {
  const run = prepare(handoff, stop);
  try {
    const shell = open(run);
    const script = await placed(run, shell, place);
    const started = start(shell, script);
    await untilScriptEnds(run, started);
    const isKept = run.settings.keepProcesses && !stop.aborted;
    await (isKept ? leave(run) : end(run));
    await Promise.all(started.relays.map((relay) => relay.finish(isKept ? KEPT_OUTPUT : undefined)));
    if (started.relays.some((relay) => relay.isBroken)) throw unread();
    const progress = readProgress(await started.progress.finish());
    await judge({ ...run, script }, progress, await started.child.exited);
  } finally {
    await run.group?.remove();
  }
}

function prepare(handoff: Handoff, stop: AbortSignal): Run {
  const { job, settings, variables } = handoff;
  const lock = loadLock();
  // What is kept needs no group: it would only lie in the way.
  const group = settings.keepProcesses ? undefined : ControlGroup.open();
  const shell = {
    bash: settings.shellPath ?? findProgram('bash'),
    options: loginOptions(variables),
    environment: { ...shellEnvironment(handoff), ...jobMark(job) },
    preamble: preamble(variables),
  };
  const tree = new ProcessTree(lock, group);
  const isFirst = handoff.runStage === FIRST_RUN_STAGE;
  return { settings, stop, abandoned: endOfParent(), lock, group, tree, shell, isFirst };
}

function open({ settings, lock, group, tree, shell }: Run): Opened {
  const [stdin, stdout, stderr, marks] = [lock.pipe(), lock.pipe(), lock.pipe(), lock.pipe()];
  const spawn = () =>
    startProgram({
      file: shell.bash,
      argv: shell.options,
      env: shell.environment,
      stdio: [stdin[0], stdout[1], stderr[1]],
      extra: { descriptor: marks[1], as: MARKS },
    });
  const limited = settings.setStackSize ? () => withLargestStack(lock, spawn) : spawn;
  const child = group === undefined ? limited() : group.around(limited);
  tree.adopt(child.pid);
  feed(stdin[1], shell.preamble);
  return { child, commands: stdin[1], outputs: [stdout[0], stderr[0]], marks: marks[0] };
}

/** Without a script there is nothing to do for the shell, or for what its profile has started. */
async function placed(run: Run, { commands, outputs, marks }: Opened, place: () => string): Promise<string> {
  try {
    return place();
  } catch (error) {
    for (const descriptor of [commands, ...outputs, marks]) closeSync(descriptor);
    await run.tree.end(patienceOf(run));
    throw error;
  }
}

function start({ child, commands, outputs: [stdout, stderr], marks }: Opened, script: string): Started {
  feed(commands, commandsFor(script));
  closeSync(commands);
  return { child, relays: [new Relay(stdout, 1), new Relay(stderr, 2)], progress: openReader(marks) };
}

/** A shell that has ended before it read this tells by its exit status what was wrong. */
function feed(commands: number, text: string): void {
  try {
    writeFully(commands, text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}

/** Or until the runner has stopped us, or nobody reads what we pass on. */
async function untilScriptEnds(run: Run, started: Started): Promise<void> {
  const { stop, tree } = run;
  const { child, relays, progress } = started;
  const isOver = new AbortController();
  const onStop = () => void tree.end(patienceOf(run));
  if (stop.aborted) onStop();
  stop.addEventListener('abort', onStop, { once: true });
  // The death of jacamar-auth comes as an ordinary SIGTERM sometimes (death signal), or while a stop goes on.
  run.abandoned.addEventListener('abort', () => tree.hurry(ABANDONED_PATIENCE_MS), { once: true });
  const watching = watchProfile(run, started, isOver.signal);
  await Promise.race([
    child.exited,
    ...relays.map((relay) => relay.broken),
    progress.until(/^ended [0-9]/m).then(() => child.exitedWithin(LOGOUT_LIMIT_MS)),
  ]);
  isOver.abort();
  await watching;
}

/** From SIGTERM to SIGKILL; jacamar-auth kills us all when kill_timeout is over, so we are a little quicker. */
function patienceOf({ stop, abandoned, settings }: Run): number {
  if (!stop.aborted) return LEFTOVER_PATIENCE_MS;
  const patience = settings.killTimeoutMs * 0.9;
  return stop.reason === AUTH_IS_GONE || abandoned.aborted ? Math.min(patience, ABANDONED_PATIENCE_MS) : patience;
}

/** Ends what is left and names it in the job log. */
async function end(run: Run): Promise<void> {
  const { tree, stop, settings } = run;
  const left = await tree.end(patienceOf(run));
  if (left.ended.length > 0 && !stop.aborted) {
    tell(`Ended ${left.ended.length} process(es) that the script left running: ${left.ended.join(', ')}`);
  }
  if (left.killed.length > 0 && stop.aborted) {
    tell(`Killed, since they did not end within ${settings.killTimeoutMs / 1000} s: ${left.killed.join(', ')}`);
  }
  if (left.surviving.length === 0) return;
  const message = `these processes of the job could not be ended: ${left.surviving.join(', ')}`;
  throw new SystemFailure({ code: 'ERR_SURVIVORS', message, publicMessage: message });
}

/** general.keep_processes */
async function leave({ tree }: Run): Promise<void> {
  const left = tree.names();
  if (left.length > 0) tell(`Left ${left.length} process(es) running: ${left.join(', ')}`);
}

function unread(): SystemFailure {
  const message = 'the runner stopped reading the output of the job, so the job was ended';
  return new SystemFailure({ code: 'ERR_OUTPUT_CLOSED', message, publicMessage: message });
}

async function judge(
  run: Run & { readonly script: string },
  { isStarted, isBegun, scriptCode, bashEnv }: Progress,
  shell: ExitStatus,
): Promise<void> {
  if (isBegun && scriptCode === 0) return;
  if (isBegun && scriptCode !== undefined) {
    throw new ScriptFailure(scriptCode, `the script ended with exit status ${scriptCode}`);
  }
  if (!isStarted) throw await profileFailed(run, shell);
  if (shell.signal !== undefined) {
    const why = shell.signal === 'SIGKILL' ? ' (the kernel does that when memory runs out)' : '';
    throw shellLost(run, 128 + constants.signals[shell.signal], `was ended by ${shell.signal}${why}`);
  }
  if (!isBegun) throw await notBegun(run, { script: run.script, code: scriptCode ?? shell.exitCode ?? 0, bashEnv });
  throw shellLost(run, shell.exitCode || 1, 'ended before the script');
}

/** The runner tells a number; here no shell is left to say what it stands for. */
function shellLost({ stop }: Run, exitCode: number, what: string): ScriptFailure {
  const message = `The login shell that ran your script ${what}, which counts as exit status ${exitCode}.`;
  if (!stop.aborted) tell(message);
  return new ScriptFailure(exitCode, message);
}
