// Finds the line of a profile that prints to standard output. A second login shell writes trace and output into one
// pipe, so that their order is certain: what stands there and is no trace was printed by the command before it.

import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { writeFully } from '../contract/program.ts';
import {
  commandsIn,
  placeOf,
  startTraced,
  type TracedCommand,
  type TracedShell,
  type TraceMeans,
} from './profile-trace.ts';

/** The job waits for this look, if it ends before. */
const LIMIT_MS = 5_000;
/** For what is still in the pipe when the shell has ended: somebody else may hold it open. */
const END_OF_PIPE_MS = 200;
/** More than this is no line of a trace. */
const LONGEST_LINE = 64 * 1024;

/** The first command that prints, such as `/etc/profile, line 3 (cat)`; undefined when none is found in time. */
export async function locateOutput(shell: TracedShell, { lock, tree, stop }: TraceMeans): Promise<string | undefined> {
  if (stop.aborted) return undefined;
  const [stdin, mixed] = [lock.pipe(), lock.pipe()];
  const stdout = openSync(`/proc/self/fd/${mixed[1]}`, constants.O_WRONLY);
  const child = startTraced(shell, stdin[0], mixed[1], stdout);
  tree.adopt(child.pid);
  const source = new Socket({ fd: mixed[0], readable: true, writable: false });
  const found = firstOutput(source);
  writeFully(stdin[1], shell.preamble);
  closeSync(stdin[1]);
  try {
    const tooLong = delay(LIMIT_MS, undefined, { ref: false });
    const ended = child.exited.then(() => delay(END_OF_PIPE_MS, undefined));
    return placeOf(await Promise.race([found, ended, tooLong, abortOf(stop)]));
  } finally {
    await tree.endBelow(child.pid);
    source.destroy();
  }
}

async function abortOf(stop: AbortSignal): Promise<undefined> {
  await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
}

/** Undefined at the end of a trace in which nothing was printed. */
async function firstOutput(source: Socket): Promise<TracedCommand | undefined> {
  let rest = '';
  let last: TracedCommand | undefined;
  for await (const chunk of source.setEncoding('utf8').on('error', () => source.destroy())) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [traced] = commandsIn(line);
      if (traced === undefined && !goesOn(last)) return last;
      last = traced ?? last;
    }
    if (rest.length > LONGEST_LINE) return undefined;
  }
  return rest === '' || goesOn(last) ? undefined : last;
}

/** A newline stands in the command, and what follows may be the rest of it: a quote or a condition that is not closed. */
function goesOn(traced: TracedCommand | undefined): boolean {
  const command = traced?.command ?? '';
  const unquoted = command.replace(/\$'(?:[^'\\]|\\.)*'|'[^']*'|\\./g, '');
  return unquoted.includes("'") || /^(?:\[\[(?!.* \]\]$)|case (?!.* in$))/.test(command);
}
