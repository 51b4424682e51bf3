// The one directory that root makes for a user: his own below a data_dir that only root can write to
// (`auth.root_dir_creation`). Everything below it is made by the user's own process.

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationError, JacamarError, SystemFailure } from '../contract/errors.ts';
import type { Account } from './account.ts';
import { isClosed, resolveTrusted } from './trusted-file.ts';

/**
 * Makes `path` for the account. Nobody else can write to its parent, so between our calls nothing can take the new
 * directory's place; an existing one is never given away, only checked. Where the parent is the account's own, there is
 * nothing to do for root: what is in it can be exchanged at any moment, and the account's process can make it.
 * @throws {ConfigurationError} the parent is not root's alone, or this process is not root
 * @throws {SystemFailure} the directory exists and is somebody else's
 */
export function createRootDirectory({ path, permissions }: RootDirectory, account: Owner): void {
  try {
    if (lstatSync(dirname(path)).uid === account.uid) return;
    const parent = resolveTrusted(dirname(path));
    if (!isClosed(parent)) throw new Error(`${parent} can be written by group or others`);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) make({ path, permissions }, account);
    checkOwner(path, account);
  } catch (cause) {
    if (cause instanceof JacamarError) throw cause;
    const message = `root_dir_creation cannot make ${path}: ${(cause as Error).message}`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_ROOT_DIR', message, cause });
  }
}

/** What is to be made, and with which permissions. */
interface RootDirectory {
  readonly path: string;
  readonly permissions: number;
}

type Owner = Pick<Account, 'name' | 'uid' | 'gid'>;

/**
 * Under another name until it is the account's: what a call leaves that is killed, or meets the account's quota, would
 * be root's, and stand in the way of every later one.
 */
function make({ path, permissions }: RootDirectory, account: Owner): void {
  const unfinished = join(dirname(path), `.${process.pid}.${process.hrtime.bigint()}`);
  mkdirSync(unfinished, { mode: 0o700 });
  try {
    give(unfinished, permissions, account);
    renameSync(unfinished, path);
  } catch (error) {
    rmdirSync(unfinished);
    // Another call was first, and its jacamar is at work there already.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function give(path: string, permissions: number, { uid, gid }: Owner): void {
  withDirectory(path, (descriptor) => {
    fchownSync(descriptor, uid, gid);
    fchmodSync(descriptor, permissions);
  });
}

function checkOwner(path: string, { name, uid }: Owner): void {
  const owner = withDirectory(path, (descriptor) => fstatSync(descriptor).uid);
  if (owner === uid) return;
  const message = `${path} is meant for "${name}" (uid ${uid}) but owned by uid ${owner}`;
  throw new SystemFailure({ code: 'ERR_DIRECTORY_OWNER', message });
}

function withDirectory<T>(path: string, act: (descriptor: number) => T): T {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    return act(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
