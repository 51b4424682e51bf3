// A file system of its own in an account's directory: small, so that it can be full. Needs root.

import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import type { TestAccount } from './accounts.ts';
import type { World } from './world.ts';

/**
 * Mounts a tmpfs that belongs to an account, 0700, until the world is closed.
 * @returns what unmounts it earlier
 */
export function mountSmall(
  world: World,
  path: string,
  { uid, gid }: Pick<TestAccount, 'uid' | 'gid'>,
  options: string,
): () => void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chownSync(path, uid, gid);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `${options},mode=0700,uid=${uid},gid=${gid}`, 'jt_small', path]);
  let isMounted = true;
  const unmount = () => {
    if (isMounted) execFileSync('umount', ['--lazy', path]);
    isMounted = false;
  };
  world.onClose(async () => unmount());
  return unmount;
}
