// Everything a stage has started, however it tried to hide: as child subreaper this process inherits the orphans
// of its descendants (prctl(2)), so the tree below it stays whole whatever was daemonized or put into a session
// of its own. Whether it is gone the kernel says, not a look at /proc, which a quick fork can slip through.

import { readdirSync, readFileSync } from 'node:fs';
import type { Lock } from './lock.ts';
import { allProcesses, below, describe, type ProcessEntry, repeat, signalEach, terminate } from './processes.ts';

/** What ending the tree came to: each process as `name (pid)`. */
export interface Ended {
  readonly ended: readonly string[];
  /** Those of `ended` that SIGTERM was not enough for. */
  readonly killed: readonly string[];
  readonly surviving: readonly string[];
}

/** A control group that holds the tree, where there is one: it names members, and kills all of them at once. */
export interface Group {
  members(): readonly number[];
  kill(): void;
}

type TreeLock = Pick<Lock, 'becomeSubreaper' | 'reap' | 'hasChildren' | 'openProcess' | 'signalProcess'>;

/** How long to go on killing; only a process in uninterruptible sleep outlives it, in milliseconds. */
const KILL_LIMIT_MS = 10_000;
/** How long to run after a process that forks and ends all the time, at each look, in milliseconds. */
const CHASE_MS = 20;

/** The descendants of this process. */
export class ProcessTree {
  readonly #lock: TreeLock;
  readonly #group: Group | undefined;
  /** Children that Node waits for itself. */
  readonly #known = new Set<number>();
  #ending: Promise<Ended> | undefined;
  /** Until when SIGTERM alone has to do. */
  #patientUntil = 0;

  constructor(lock: TreeLock, group?: Group) {
    this.#lock = lock;
    this.#group = group;
    lock.becomeSubreaper();
  }

  /** Leaves the exit status of this child to Node. */
  adopt(pid: number): void {
    this.#known.add(pid);
  }

  /** What lives now, as `name (pid)`. */
  names(): string[] {
    return this.#living().map(describe);
  }

  /** Everything that lives at this moment. */
  get pids(): number[] {
    return this.#living().map(({ pid }) => pid);
  }

  /** Kills this process and all below it. What left its parents before that belongs to the whole tree alone. */
  async endBelow(pid: number): Promise<void> {
    const deadline = performance.now() + KILL_LIMIT_MS;
    await repeat(
      () => deadline,
      () => {
        const rest = [...below(allProcesses(), pid)].filter(({ isZombie }) => !isZombie);
        signalEach(rest, 'SIGKILL', this.#lock);
        return rest.length > 0;
      },
    );
  }

  /** True when nothing that was started still lives. */
  get isEmpty(): boolean {
    return this.#isGone || (this.#living().length === 0 && !this.#lock.hasChildren());
  }

  /** The kernel's word for it: the usual case, without a look at every process of a busy host. */
  get #isGone(): boolean {
    return !this.#lock.hasChildren() && (this.#group?.members() ?? []).length === 0;
  }

  /** SIGTERM to all at once, SIGKILL after `patienceMs`, until nothing is left. A second call waits for the first. */
  end(patienceMs: number): Promise<Ended> {
    this.#ending ??= this.#end(patienceMs).finally(() => {
      this.#ending = undefined;
    });
    return this.#ending;
  }

  /** Leaves an end that goes on at most this patience. */
  hurry(patienceMs: number): void {
    this.#patientUntil = Math.min(this.#patientUntil, performance.now() + patienceMs);
  }

  async #end(patienceMs: number): Promise<Ended> {
    if (this.#isGone) return { ended: [], killed: [], surviving: [] };
    this.#patientUntil = performance.now() + patienceMs;
    const first = await this.#terminate();
    const killDeadline = performance.now() + KILL_LIMIT_MS;
    const killed = new Set<string>();
    await this.#gone(
      () => killDeadline,
      (rest) => {
        for (const entry of rest) killed.add(describe(entry));
        this.#killAll(rest);
      },
    );
    // What the first ones start while they end is no news; all there is, if the first look found nothing.
    const ended = first.length > 0 ? first.map(describe) : [...killed];
    return { ended, killed: ended.filter((name) => killed.has(name)), surviving: this.#survivors() };
  }

  /**
   * Once all that were told to end have ended, so is what they have left behind: a shell in the middle of a fork holds
   * the signal back until it has a child, which never gets it.
   * @returns the first ones
   */
  async #terminate(): Promise<ProcessEntry[]> {
    const tell = () => terminate(() => this.#living(), this.#lock);
    const first = tell();
    let told = new Set(first.map(({ pid }) => pid));
    await this.#gone(
      () => this.#patientUntil,
      (rest) => {
        if (!rest.some(({ pid }) => told.has(pid))) told = new Set(tell().map(({ pid }) => pid));
      },
    );
    return first;
  }

  /**
   * Waits until nothing lives, or the time is over; `act` gets whatever still does at each look. A look finds nothing
   * of a child that forked and ended meanwhile, or that /proc hides (hidepid): the kernel knows of it all the same.
   */
  async #gone(deadline: () => number, act: (rest: readonly ProcessEntry[]) => void): Promise<void> {
    await repeat(deadline, () => {
      const rest = this.#living();
      const isLeft = rest.length > 0 || this.#lock.hasChildren();
      if (isLeft) act(rest);
      return isLeft;
    });
  }

  #survivors(): string[] {
    const living = this.#living();
    if (living.length > 0) return living.map(describe);
    return this.#lock.hasChildren() ? ['a process that cannot be seen'] : [];
  }

  /** All of the tree that are not zombies; our own zombies are reaped on the way. */
  #living(): ProcessEntry[] {
    const members = new Set(this.#group?.members());
    const all = allProcesses();
    const tree = below(all, process.pid);
    for (const entry of all) if (members.has(entry.pid)) tree.add(entry);
    for (const { pid, parent, isZombie } of tree) {
      if (isZombie && parent === process.pid) this.#reap(pid);
    }
    return [...tree].filter(({ pid, isZombie }) => !isZombie && pid !== process.pid);
  }

  #reap(pid: number): void {
    if (!this.#known.has(pid)) this.#lock.reap(pid);
  }

  #killAll(entries: readonly ProcessEntry[]): void {
    this.#group?.kill();
    signalEach(entries, 'SIGKILL', this.#lock);
    this.#chase();
  }

  /**
   * Kills our children again and again for a moment: one that forks and ends all the time is gone before a look
   * over /proc comes to it, but its child is then ours, and this list is short. The pid of a child of ours cannot
   * pass to another process before we have reaped it, which happens in this thread only.
   */
  #chase(): void {
    const until = performance.now() + CHASE_MS;
    for (let children = ownChildren(); children.length > 0 && performance.now() < until; children = ownChildren()) {
      for (const pid of children) this.#killChild(pid);
    }
  }

  #killChild(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL');
      this.#reap(pid);
    } catch {
      // a set-user-id program; or Node has reaped it
    }
  }
}

/** Children of this process; empty, too, on a kernel without that list (CONFIG_PROC_CHILDREN). */
function ownChildren(): number[] {
  try {
    const tasks = readdirSync('/proc/self/task');
    const lists = tasks.map((task) => readFileSync(`/proc/self/task/${task}/children`, 'latin1'));
    return lists
      .join(' ')
      .split(' ')
      .map(Number)
      .filter((pid) => pid > 1);
  } catch {
    return [];
  }
}
