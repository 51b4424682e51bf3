// Finds the line of a profile that ended the login shell, that it does not get past, or that broke what the script
// needs. Called only when that has happened: a second login shell reads the same files with xtrace on a descriptor
// of its own, for a few seconds, with its output thrown away. Of the trace only file, line and the name of the command
// are used, since arguments may hold secrets and job logs may be public.

import { closeSync, constants, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Lock } from '../contract/lock.ts';
import type { ProcessTree } from '../contract/process-tree.ts';
import { writeFully } from '../contract/program.ts';
import { printable } from '../contract/text.ts';
import { type Subprocess, startProgram } from './subprocess.ts';

/** The login shell whose profile is to be looked at. */
export interface TracedShell {
  readonly bash: string;
  readonly options: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** What it reads on standard input before anything of the job. */
  readonly preamble: string;
}

/** What the second look needs besides the shell. */
export interface TraceMeans {
  readonly lock: Lock;
  readonly tree: ProcessTree;
  /** Ends the look early. */
  readonly stop: AbortSignal;
}

const TRACE = 98;
const LIMIT_MS = 10_000;
/** A shell that says nothing for so long waits for something: perhaps for its standard input. */
const SILENCE_MS = 1_500;
const LOOK_AGAIN_MS = 20;
/** The end of a trace is what matters. */
const TAIL = 64 * 1024;

/** In front of every command of the trace; Bash repeats the first character. */
const PS4 = '+jacamar|${BASH_SOURCE-}|${LINENO-}|';
const TRACED = /^\++jacamar\|([^|]*)\|([0-9]*)\|(.*)$/gm;

/** One command of the trace. */
export interface TracedCommand {
  readonly file: string;
  readonly line: string;
  readonly command: string;
}
/** Read when a login shell has ended already: ~/.bash_logout, and the system's under either name. */
const LOGOUT_FILE = /bash_logout$/;
const PROBE = ': jacamar-probe\n';
/** A Bash that traces from its beginning (exported SHELLOPTS); quoted so that only its own trace looks like the probe. */
const TRACED_SCRIPT = `\\builtin export SHELLOPTS\n\\builtin command bash -c ': jacamar"-"probe'\n\\builtin exit\n`;

/** What a second look found. */
export interface Finding {
  /** Such as `/home/alice/.bash_profile, line 3 (exit)`; absent when the second shell came through its profile. */
  readonly place?: string;
  /** It traced nothing, so it is no Bash, or none that works. */
  readonly isMute: boolean;
}

/** Has a second look at the profile, for the line at which it came to an end or to a stop. */
export async function locateInProfile(shell: TracedShell, means: TraceMeans): Promise<Finding> {
  const trace = await traceOf(shell, means);
  if (means.stop.aborted) return { isMute: false };
  const place = trace.includes(PROBE.trim()) ? undefined : placeOf(lastCommand(trace));
  return { isMute: trace === '', ...(place === undefined ? {} : { place }) };
}

/** The same in the file that Bash reads before every script: BASH_ENV, as the profile leaves it. */
export async function locateInBashEnv(shell: TracedShell, means: TraceMeans): Promise<Finding> {
  return await locateInProfile({ ...shell, preamble: shell.preamble + TRACED_SCRIPT }, means);
}

/** The same for the line that gave a variable its last value. */
export async function locateAssignment(variable: string, shell: TracedShell, means: TraceMeans) {
  const assignment = new RegExp(`^(?:(?:export|declare -x|typeset -x) )?${variable}\\+?=`);
  const commands = commandsIn(await traceOf(shell, means));
  return placeOf(commands.findLast(({ command }) => assignment.test(command)));
}

/** What a second shell traced, or the last of it. */
async function traceOf(shell: TracedShell, { lock, tree, stop }: TraceMeans): Promise<string> {
  if (stop.aborted) return '';
  const [stdin, trace] = [lock.pipe(), lock.pipe()];
  const input = new ProbedInput(stdin);
  const child = startTraced(shell, stdin[0], trace[1], nothing());
  tree.adopt(child.pid);
  const tail = new Tail(trace[0]);
  writeFully(stdin[1], shell.preamble);
  try {
    await watch(child, tail, input, stop);
  } finally {
    input.close();
    await tree.endBelow(child.pid);
    tail.close();
  }
  return tail.text;
}

function nothing(): number {
  return openSync('/dev/null', 'w');
}

/** Starts the second shell; the descriptors become its own. */
export function startTraced(
  { bash, options, environment }: TracedShell,
  stdin: number,
  trace: number,
  stdout: number,
): Subprocess {
  return startProgram({
    file: bash,
    argv: [...options, '-x'],
    env: { ...environment, PS4, BASH_XTRACEFD: String(TRACE) },
    stdio: [stdin, stdout, nothing()],
    extra: { descriptor: trace, as: TRACE },
  });
}

/**
 * Until the shell has ended, has come through its profile, or is stuck. When it says nothing for a while it gets a
 * command to read: if that is gone and was not executed, something in the profile has read it.
 */
async function watch(child: Subprocess, tail: Tail, input: ProbedInput, stop: AbortSignal): Promise<void> {
  let hasEnded = false;
  void child.exited.then(() => {
    hasEnded = true;
  });
  const deadline = performance.now() + LIMIT_MS;
  for (let silent = SILENCE_MS; !hasEnded && !stop.aborted && performance.now() < deadline; ) {
    await delay(LOOK_AGAIN_MS);
    if (tail.hasGrown) {
      if (!input.takeBack()) break;
      tail.isFrozen = false;
      silent = SILENCE_MS;
    } else if (tail.silentFor >= silent) {
      if (tail.isFrozen && !input.takeBack()) break;
      tail.isFrozen = true;
      silent += SILENCE_MS;
      input.probe();
    }
  }
}

/** The commands of a trace, in the order in which the shell came to them. */
export function commandsIn(trace: string): TracedCommand[] {
  return [...trace.matchAll(TRACED)].map(([, file = '', line = '', command = '']) => ({ file, line, command }));
}

/** The one that ended the shell, or that it does not get past. */
function lastCommand(trace: string): TracedCommand | undefined {
  const commands = commandsIn(trace).filter(({ file }) => file !== '' && !LOGOUT_FILE.test(file));
  return commands.findLast(isBareExec) ?? commands.at(-1);
}

/** `exec` without a program replaces descriptors: with standard input gone the shell ends after its profile. */
function isBareExec({ command }: TracedCommand): boolean {
  return command === 'exec';
}

/** A command for the job log; undefined for one of no file, or of a logout file. */
export function placeOf(traced: TracedCommand | undefined): string | undefined {
  if (traced === undefined || traced.file === '' || LOGOUT_FILE.test(traced.file)) return undefined;
  const [, name] = /^([a-zA-Z_./][\w./-]*)(?:[ =+]|$)/.exec(traced.command) ?? [];
  return `${printable(traced.file)}, line ${traced.line}${name === undefined ? '' : ` (${name})`}`;
}

/** Standard input of the traced shell, both ends. */
class ProbedInput {
  readonly #reading: number;
  readonly #writing: number;

  constructor([reading, writing]: [number, number]) {
    // The shell gets the other one, and must not find it set to non-blocking.
    this.#reading = openSync(`/proc/self/fd/${reading}`, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#writing = writing;
  }

  probe(): void {
    writeFully(this.#writing, PROBE);
  }

  /** False when somebody has read it. */
  takeBack(): boolean {
    try {
      return readSync(this.#reading, Buffer.alloc(PROBE.length)) > 0;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#reading);
    closeSync(this.#writing);
  }
}

/** The last of what arrives on a pipe. */
class Tail {
  readonly #source: Socket;
  #text = '';
  #frozen: string | undefined;
  #last = performance.now();

  constructor(from: number) {
    this.#source = new Socket({ fd: from, readable: true, writable: false });
    this.#source.on('error', () => this.#source.destroy());
    this.#source.on('data', (chunk) => {
      this.#text = (this.#text + chunk.toString('utf8')).slice(-TAIL);
      this.#last = performance.now();
    });
  }

  /** As it was when it was frozen, unless the shell has proved since that it came through. */
  get text(): string {
    return this.#text.includes(PROBE.trim()) ? this.#text : (this.#frozen ?? this.#text);
  }

  get silentFor(): number {
    return performance.now() - this.#last;
  }

  get isFrozen(): boolean {
    return this.#frozen !== undefined;
  }

  set isFrozen(frozen: boolean) {
    this.#frozen = frozen ? (this.#frozen ?? this.#text) : undefined;
  }

  get hasGrown(): boolean {
    return this.#frozen !== undefined && this.#text !== this.#frozen;
  }

  close(): void {
    this.#source.destroy();
  }
}
