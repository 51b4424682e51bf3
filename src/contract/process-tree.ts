// Everything a stage has started, however it tried to hide: as child subreaper this process inherits the orphans
// of its descendants (prctl(2)), so the tree below it stays whole whatever was daemonized or put into a session
// of its own.

import { readdirSync, readFileSync } from 'node:fs';
import type { Lock } from './lock.ts';
import { printable } from './text.ts';

/** One process as /proc shows it. */
interface Entry {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly isZombie: boolean;
}

/** What ending the tree came to: each process as `name (pid)`. */
export interface Ended {
  readonly ended: readonly string[];
  readonly surviving: readonly string[];
}

const LOOK_AGAIN_MS = 20;
/** How long to go on killing; only a process in uninterruptible sleep outlives it, in milliseconds. */
const KILL_LIMIT_MS = 10_000;

/** The descendants of this process. */
export class ProcessTree {
  readonly #lock: Pick<Lock, 'becomeSubreaper' | 'reap'>;
  /** Children that Node waits for itself. */
  readonly #known = new Set<number>();
  #ending: Promise<Ended> | undefined;

  constructor(lock: Pick<Lock, 'becomeSubreaper' | 'reap'>) {
    this.#lock = lock;
    lock.becomeSubreaper();
  }

  /** Leaves the exit status of this child to Node. */
  adopt(pid: number): void {
    this.#known.add(pid);
  }

  /** Everything that lives at this moment. */
  get pids(): number[] {
    return this.#living().map(({ pid }) => pid);
  }

  /** SIGTERM to all at once, SIGKILL after `patienceMs`, until nothing is left. A second call waits for the first. */
  end(patienceMs: number): Promise<Ended> {
    this.#ending ??= this.#end(patienceMs).finally(() => {
      this.#ending = undefined;
    });
    return this.#ending;
  }

  async #end(patienceMs: number): Promise<Ended> {
    const first = this.#living();
    this.#signalAll(first, 'SIGTERM');
    // A stopped process acts on SIGTERM only when it goes on.
    this.#signalAll(first, 'SIGCONT');
    await this.#gone(patienceMs, () => {});
    await this.#gone(KILL_LIMIT_MS, (rest) => this.#signalAll(rest, 'SIGKILL'));
    return { ended: first.map(describe), surviving: this.#living().map(describe) };
  }

  /** Waits until nothing lives, or the time is over; `act` gets whatever still does at each look. */
  async #gone(limitMs: number, act: (rest: readonly Entry[]) => void): Promise<void> {
    const deadline = performance.now() + limitMs;
    for (let rest = this.#living(); rest.length > 0 && performance.now() < deadline; rest = this.#living()) {
      act(rest);
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** All descendants that are not zombies; our own zombies are reaped on the way. */
  #living(): Entry[] {
    const below = descendants(process.pid);
    for (const { pid, parent, isZombie } of below) {
      if (isZombie && parent === process.pid && !this.#known.has(pid)) this.#lock.reap(pid);
    }
    return below.filter(({ isZombie }) => !isZombie);
  }

  #signalAll(entries: readonly Entry[], signal: NodeJS.Signals): void {
    for (const { pid } of entries) {
      try {
        process.kill(pid, signal);
      } catch {
        // ended meanwhile, or a set-user-id program: the next look tells
      }
    }
  }
}

function describe({ name, pid }: Entry): string {
  return `${printable(name)} (${pid})`;
}

/** Every process below `root`, by one walk over /proc. */
function descendants(root: number): Entry[] {
  const byParent = Map.groupBy(allProcesses(), ({ parent }) => parent);
  const found: Entry[] = [];
  for (let level = byParent.get(root) ?? []; level.length > 0; ) {
    found.push(...level);
    level = level.flatMap(({ pid }) => byParent.get(pid) ?? []);
  }
  return found;
}

function allProcesses(): Entry[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => parseStat(name) ?? []);
}

/** proc_pid_stat(5): pid (name) state ppid …; the name may hold blanks and parentheses. */
function parseStat(directory: string): Entry | undefined {
  try {
    const text = readFileSync(`/proc/${directory}/stat`, 'latin1');
    const end = text.lastIndexOf(')');
    const [state, parent] = text.slice(end + 2).split(' ');
    const name = text.slice(text.indexOf('(') + 1, end);
    return { pid: Number(directory), parent: Number(parent), name, isZombie: state === 'Z' || state === 'X' };
  } catch {
    return undefined;
  }
}
