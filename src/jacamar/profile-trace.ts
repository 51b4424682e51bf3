// Finds the line of a profile that ended the login shell, or that it does not get past. Called only when that has
// happened: a second login shell reads the same files with xtrace on a descriptor of its own, for a few seconds,
// with its output thrown away. Of the trace only file, line and the name of the command are used, since arguments
// may hold secrets and job logs may be public.

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
/** Read when a login shell has ended already: ~/.bash_logout, and the system's under either name. */
const LOGOUT_FILE = /bash_logout$/;
const PROBE = ': jacamar-probe\n';

/** What a second look found. */
export interface Finding {
  /** Such as `/home/alice/.bash_profile, line 3 (exit)`; absent when the second shell came through its profile. */
  readonly place?: string;
  /** It traced nothing, so it is no Bash, or none that works. */
  readonly isMute: boolean;
}

/** Has a second look at the profile. */
export async function locateInProfile(shell: TracedShell, means: TraceMeans): Promise<Finding> {
  const { lock, tree, stop } = means;
  if (stop.aborted) return { isMute: false };
  const [stdin, trace] = [lock.pipe(), lock.pipe()];
  const input = new ProbedInput(stdin);
  const child = startTraced(shell, stdin[0], trace[1]);
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
  const place = stop.aborted ? undefined : placeIn(tail.text);
  return { isMute: tail.text === '' && !stop.aborted, ...(place === undefined ? {} : { place }) };
}

function startTraced({ bash, options, environment }: TracedShell, stdin: number, trace: number): Subprocess {
  const nothing = () => openSync('/dev/null', 'w');
  return startProgram({
    file: bash,
    argv: [...options, '-x'],
    env: { ...environment, PS4, BASH_XTRACEFD: String(TRACE) },
    stdio: [stdin, nothing(), nothing()],
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

/** The last place of the trace that is a file. */
function placeIn(trace: string): string | undefined {
  if (trace.includes(PROBE.trim())) return undefined;
  const commands = [...trace.matchAll(TRACED)].filter(([, file = '']) => !LOGOUT_FILE.test(file));
  const last = commands.findLast(isBareExec) ?? commands.at(-1);
  const [, file = '', line = '', command = ''] = last ?? [];
  if (file === '') return undefined;
  const [, name] = /^([a-zA-Z_./][\w./-]*)(?: |$)/.exec(command) ?? [];
  return `${printable(file)}, line ${line}${name === undefined ? '' : ` (${name})`}`;
}

/** `exec` without a program replaces descriptors: with standard input gone the shell ends after its profile. */
function isBareExec([, , , command]: RegExpMatchArray): boolean {
  return command === 'exec';
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
