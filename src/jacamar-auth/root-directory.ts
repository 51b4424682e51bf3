// The one directory that root makes for a user: his own below a data_dir that only root can write to
// (`auth.root_dir_creation`). Everything below it is made by the user's own process.

import { closeSync, constants, fchmodSync, fchownSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigurationError, JacamarError, SystemFailure } from '../contract/errors.ts';
import type { Account } from './account.ts';
import { isClosed, resolveTrusted } from './trusted-file.ts';

/**
 * Makes `path` for the account, mode 0700. Nobody else can write to its parent, so between our calls nothing
 * can take the new directory's place; an existing one is never given away, only checked.
 * @throws {ConfigurationError} the parent is not root's alone, or this process is not root
 * @throws {SystemFailure} the directory exists and is somebody else's
 */
export function createRootDirectory(path: string, account: Pick<Account, 'name' | 'uid' | 'gid'>): void {
  try {
    const parent = resolveTrusted(dirname(path));
    if (!isClosed(parent)) throw new Error(`${parent} can be written by group or others`);
    const isNew = make(path);
    own(path, account, isNew);
  } catch (cause) {
    if (cause instanceof JacamarError) throw cause;
    const message = `root_dir_creation cannot make ${path}: ${(cause as Error).message}`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_ROOT_DIR', message, cause });
  }
}

function make(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function own(path: string, { name, uid, gid }: Pick<Account, 'name' | 'uid' | 'gid'>, isNew: boolean): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    if (isNew) {
      fchownSync(descriptor, uid, gid);
      fchmodSync(descriptor, 0o700);
    }
    const owner = fstatSync(descriptor).uid;
    if (owner === uid) return;
    const message = `${path} is meant for "${name}" (uid ${uid}) but owned by uid ${owner}`;
    throw new SystemFailure({ code: 'ERR_DIRECTORY_OWNER', message });
  } finally {
    closeSync(descriptor);
  }
}
