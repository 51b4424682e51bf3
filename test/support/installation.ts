// The executables as an administrator has them: those of the build, below a prefix of their own that belongs to root
// alone, with the modes of script/install. Nothing is built here; tests run what was built last.

import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, chown, copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const BUILD = join(import.meta.dirname, '../../build');

export type Program = 'jacamar-auth' | 'jacamar' | 'jacamar-admin';

/** What goes where, as in script/stage; only what runs. */
const FILES = [
  { from: 'runtime/jacamar-runtime', to: 'libexec', mode: 0o755 },
  { from: 'Release/credentials.node', to: 'lib', mode: 0o755 },
  { from: 'Release/lock.node', to: 'lib', mode: 0o755 },
  { from: 'Release/seccomp.node', to: 'lib', mode: 0o755 },
  { from: 'native/bin/jacamar', to: 'bin', mode: 0o755 },
  { from: 'native/bin/jacamar-admin', to: 'bin', mode: 0o755 },
  { from: 'native/bin/jacamar-auth', to: 'bin', mode: 0o700 },
] as const;

export interface Installation {
  readonly prefix: string;
  program(name: Program): string;
  /** Safe to call twice. */
  remove(): Promise<void>;
}

/**
 * Copies the build, so that a new build meanwhile changes nothing for the tests that run.
 * @param serviceGroup may start jacamar-auth, which gets file capabilities if `capable`
 */
export async function install(serviceGroup?: number, capable = false): Promise<Installation> {
  const prefix = await mkdtemp(join(tmpdir(), 'jt_prefix_'));
  const remove = () => rm(prefix, { recursive: true, force: true });
  try {
    await chmod(prefix, 0o755);
    for (const directory of ['bin', 'libexec', 'lib']) await mkdir(join(prefix, directory), { mode: 0o755 });
    for (const file of FILES) await place(prefix, file);
    if (serviceGroup !== undefined) await openTo(serviceGroup, join(prefix, 'bin/jacamar-auth'), capable);
  } catch (error) {
    await remove();
    throw error;
  }
  return { prefix, program: (name) => join(prefix, 'bin', name), remove };
}

/** As `script/install --service-group` does it. */
async function openTo(group: number, program: string, capable: boolean): Promise<void> {
  await chown(program, 0, group);
  await chmod(program, 0o750);
  if (capable) execFileSync('/usr/sbin/setcap', ['cap_setuid,cap_setgid=ep', program]);
}

async function place(prefix: string, { from, to, mode }: (typeof FILES)[number]): Promise<void> {
  const path = join(prefix, to, basename(from));
  await copyFile(join(BUILD, from), path, constants.COPYFILE_FICLONE);
  await chmod(path, mode);
}
