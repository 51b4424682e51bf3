// Control groups of version 2 for tests: one delegated to an account, as a service manager does it. Needs root.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestAccount } from './accounts.ts';

export interface DelegatedGroup {
  readonly path: string;
  /** Moves this process into the group, and back when `act` has ended: what starts meanwhile is born there. */
  within<T>(act: () => Promise<T>): Promise<T>;
  /** Names of the groups below it. */
  below(): Promise<string[]>;
  remove(): Promise<void>;
}

/** Makes a group that belongs to the account, in a mount of its own where the host has none. */
export async function delegateGroup(account: TestAccount): Promise<DelegatedGroup> {
  const { root, unmount } = await unifiedRoot();
  const before = join(root, ownPath());
  const path = join(before, `jt_${account.name}`);
  await mkdir(path);
  for (const name of ['', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control']) {
    await chown(join(path, name), account.uid, account.gid);
  }
  const enter = (group: string) => writeFile(join(group, 'cgroup.procs'), '0');
  return {
    path,
    async within(act) {
      await enter(path);
      return act().finally(() => enter(before));
    },
    below: async () => (await readdir(path, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name),
    async remove() {
      await rmdir(path);
      await unmount();
    },
  };
}

function ownPath(): string {
  return /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
}

async function unifiedRoot(): Promise<{ root: string; unmount: () => Promise<void> }> {
  const mounted = /^\S+ \S+ \S+ \/ (\S+) .* - cgroup2 /m.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
  if (mounted !== undefined) return { root: mounted, unmount: async () => {} };
  const root = await mkdtemp(join(tmpdir(), 'jt_cgroup_'));
  execFileSync('mount', ['-t', 'cgroup2', 'none', root]);
  return {
    root,
    async unmount() {
      execFileSync('umount', [root]);
      await rmdir(root);
    },
  };
}
