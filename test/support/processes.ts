// What /proc says of processes: who is below whom, with which environment, arguments and descriptors.

import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

export interface ProcessView {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly state: string;
  /** `argv`, joined with blanks. */
  readonly command: string;
  readonly environment: string;
}

/** Every process that is not a zombie; one that ends while it is looked at is left out. */
export async function allProcesses(): Promise<ProcessView[]> {
  const names = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name));
  const views = await Promise.all(names.map((name) => view(Number(name))));
  return views.filter((each) => each !== undefined && !/[ZX]/.test(each.state)) as ProcessView[];
}

/**
 * The process and everything below it, parents before children.
 * @throws for 0 and 1: what is below those is the host's, and tests send signals to what they get from here
 */
export async function treeOf(root: number): Promise<ProcessView[]> {
  requireOrdinary(root);
  const all = await allProcesses();
  const below = (pid: number): ProcessView[] =>
    all.filter(({ parent }) => parent === pid).flatMap((each) => [each, ...below(each.pid)]);
  return [...all.filter(({ pid }) => pid === root), ...below(root)];
}

/**
 * Signals one process, or with a negative number a process group. A test that has not found its process must fail and
 * not signal its own group (0), everything (-1) or init.
 */
export function signal(pid: number | undefined, name: NodeJS.Signals): void {
  requireOrdinary(Math.abs(pid ?? 0));
  process.kill(pid ?? 0, name);
}

function requireOrdinary(pid: number): void {
  if (!Number.isSafeInteger(pid) || pid < 2) throw new Error(`${pid} is no process of a test`);
}

/** Waits until none of these processes lives. */
export async function allGone(what: string, pids: readonly number[], limitMs?: number): Promise<void> {
  await eventually(
    `${what} ended`,
    async () => {
      const living = new Set((await allProcesses()).map(({ pid }) => pid));
      return pids.every((pid) => !living.has(pid)) || undefined;
    },
    limitMs,
  );
}

/** Open descriptors with what they lead to, in order of number; one that is closed meanwhile is left out. */
export async function descriptorsOf(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const numbers = (await readdir(directory)).toSorted((a, b) => Number(a) - Number(b));
  const open = numbers.map((number) =>
    readlink(join(directory, number)).then(
      (target) => `${number} ${target}`,
      () => undefined,
    ),
  );
  return (await Promise.all(open)).filter((line) => line !== undefined);
}

/**
 * Waits until a process has become this program and sleeps in it. Before that it is a copy of the shell that starts
 * it, with what that shell has open, or has the libraries open that it loads.
 */
export async function asleep(pid: number, command: string): Promise<void> {
  await eventually(`${pid} sleeps in ${command}`, async () => {
    const found = await view(pid);
    return found?.command === command && found.state === 'S';
  });
}

async function view(pid: number): Promise<ProcessView | undefined> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'latin1');
  try {
    const [stat, status, command, environment] = await Promise.all([
      read('stat'),
      read('status'),
      read('cmdline'),
      read('environ').catch(() => ''),
    ]);
    const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
    return { pid, parent: Number(parent), uid, state, command: command.split('\0').join(' ').trim(), environment };
  } catch {
    return undefined;
  }
}
