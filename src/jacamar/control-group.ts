// A control group (version 2) of its own for what a stage starts, where the account may make one: a group that a
// service manager or an administrator delegated to it. Its members are found and killed by one word to the kernel,
// however fast they fork. Without such a group the process tree alone does the same work, more slowly.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Group } from '../contract/process-tree.ts';

const REMOVE_ATTEMPTS = 25;
const REMOVE_AGAIN_MS = 20;
const NAME = /^jacamar-[0-9]+$/;

/** Made by `open`, filled by `around`, gone after `remove`. */
export class ControlGroup implements Group {
  readonly #parent: string;
  readonly #path: string;
  /** False once something went wrong half-way: then the group may hold ourselves, and is left alone. */
  #isUsable = true;

  private constructor(parent: string) {
    this.#parent = parent;
    this.#path = join(parent, `jacamar-${process.pid}`);
  }

  /** Undefined where there is no such group to be had: the usual case below a system service. */
  static open(): ControlGroup | undefined {
    try {
      const parent = ownGroup();
      if (parent === undefined) return undefined;
      // Moves nothing, but is refused unless we may come back.
      enter(parent);
      removeEmpty(parent);
      const group = new ControlGroup(parent);
      mkdirSync(group.#path);
      return group;
    } catch {
      return undefined;
    }
  }

  /** What `start` starts is born in the group, so no moment is left in which it could escape. */
  around<T>(start: () => T): T {
    try {
      enter(this.#path);
    } catch {
      this.#isUsable = false; // as good as none
    }
    try {
      return start();
    } finally {
      this.#comeBack();
    }
  }

  members(): number[] {
    return this.#isUsable ? membersBelow(this.#path) : [];
  }

  /** cgroup.kill came with Linux 5.14; the tree kills one by one in any case. */
  kill(): void {
    if (!this.#isUsable) return;
    try {
      writeFileSync(join(this.#path, 'cgroup.kill'), '1');
    } catch {
      // an older kernel
    }
  }

  /** Gives members that are about to be gone a moment. Safe to call twice. */
  async remove(): Promise<void> {
    for (let attempt = 0; attempt < REMOVE_ATTEMPTS && existsSync(this.#path); attempt++) {
      removeGroups(this.#path);
      if (existsSync(this.#path)) await delay(REMOVE_AGAIN_MS);
    }
  }

  #comeBack(): void {
    try {
      enter(this.#parent);
    } catch {
      this.#isUsable = false;
    }
  }
}

/** The calling process, with all its threads; cgroups(7). */
function enter(group: string): void {
  writeFileSync(join(group, 'cgroup.procs'), '0');
}

/** Directory of the group that we are in, in the unified hierarchy. */
function ownGroup(): string | undefined {
  const own = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  const mount = unifiedMount();
  if (own === undefined || mount === undefined || !own.startsWith(mount.root)) return undefined;
  return join(mount.point, own.slice(mount.root.length));
}

/** proc_pid_mountinfo(5): fields 4 and 5 are root and mount point, the type follows the hyphen. */
function unifiedMount(): { readonly root: string; readonly point: string } | undefined {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, point] = before.split(' ');
    if (after.startsWith('cgroup2 ') && root !== undefined && point !== undefined) return { root, point };
  }
  return undefined;
}

/** The job may have made groups below its own. */
function membersBelow(group: string): number[] {
  try {
    const here = readFileSync(join(group, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number);
    return [...here, ...groupsIn(group).flatMap(membersBelow)];
  } catch {
    return []; // removed meanwhile, or threaded
  }
}

/** What a killed jacamar left behind; the kernel refuses to remove a group that has members. */
function removeEmpty(parent: string): void {
  for (const path of groupsIn(parent)) if (NAME.test(path.slice(parent.length).replaceAll('/', ''))) removeGroups(path);
}

function removeGroups(group: string): void {
  try {
    for (const below of groupsIn(group)) removeGroups(below);
    rmdirSync(group);
  } catch {
    // members, or gone
  }
}

function groupsIn(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(group, name));
}
