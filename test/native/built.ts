// The native parts as the build left them, and small programs run with them: what the tests of this folder share.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Lock } from '../../src/contract/lock.ts';
import type { Credentials, ExitStatus, LaunchPlan } from '../../src/jacamar-auth/credentials.ts';
import type { FilterCompiler } from '../../src/jacamar-auth/filter-compiler.ts';

const root = path.resolve(import.meta.dirname, '../..');

export type AddonName = 'credentials' | 'lock' | 'seccomp';

/** Built by node-gyp. */
export const addonFile = (name: AddonName): string => path.join(root, 'build/Release', `${name}.node`);

/** Built by CMake from native/. */
export const nativeFile = (name: string): string => {
  const file = path.join(root, 'build/native', name);
  if (!existsSync(file)) throw new Error(`${file} is missing: build native/ first`);
  return file;
};

function load(name: AddonName): unknown {
  const module = { exports: {} };
  process.dlopen(module, addonFile(name));
  return module.exports;
}

export const loadBuiltCredentials = (): Credentials => load('credentials') as Credentials;
export const loadBuiltLock = (): Lock => load('lock') as Lock;
export const loadBuiltFilterCompiler = (): FilterCompiler => load('seccomp') as FilterCompiler;

/** A launch that works, as an account that exists by number only. */
export const examplePlan: LaunchPlan = {
  file: '/bin/sh',
  argv: ['sh', '-c', 'exit 0'],
  env: ['PATH=/usr/bin:/bin'],
  cwd: '/',
  stdio: [0, 1, 2],
  credentials: { uid: 61234, gid: 61234, groups: [61234, 61235] },
  umask: 0o077,
  noNewPrivileges: false,
  deathSignal: 9,
  newSession: true,
};

/** How the child ended, awaited the way downscoping does it: a look at each SIGCHLD. */
export function ended(credentials: Credentials, pid: number): Promise<ExitStatus> {
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, 1000); // a signal listener keeps no process alive
    const look = (): void => {
      const status = credentials.wait(pid);
      if (status === undefined) return;
      process.off('SIGCHLD', look);
      clearInterval(alive);
      resolve(status);
    };
    process.on('SIGCHLD', look);
    look();
  });
}

export interface Finished {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function finished(
  file: string,
  args: readonly string[],
  options: { env?: Record<string, string>; uid?: number; gid?: number; argv0?: string; cwd?: string } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const text = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text.stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text.stderr += chunk;
    });
    child.on('error', reject).on('close', (code, signal) => resolve({ code, signal, ...text }));
  });
}
