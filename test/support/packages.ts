// Packages of the last build, and roots into which they can be installed without this machine taking part.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Installation } from './installation.ts';

const ROOT = join(import.meta.dirname, '../..');

export type Flavour = 'jacamar-ci' | 'jacamar-ci-caps';

/** What a package has at a path: `-rwxr-xr-x root root /opt/…`, with capabilities behind it where there are some. */
export type Entry = string;

/**
 * Builds both flavours into a directory.
 * @param tree whose last build is packed
 * @returns the file of each
 */
export function buildPackages(kind: 'rpm' | 'deb', output: string, release = 1, tree = ROOT): Record<Flavour, string> {
  const args = ['--as-built', '--output', output, '--release', String(release)];
  const files = execFileSync(join(tree, 'script', kind), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const fileOf = (flavour: Flavour) => {
    const found = files.split('\n').find((file) => new RegExp(`/${flavour}[-_]\\d[^/]*-${release}[._]`).test(file));
    if (found === undefined) throw new Error(`no ${flavour} in ${files}`);
    return found;
  };
  return { 'jacamar-ci': fileOf('jacamar-ci'), 'jacamar-ci-caps': fileOf('jacamar-ci-caps') };
}

/** A root directory of rpm's own, with nothing in it but the accounts that it needs to know. */
export class AlternateRoot implements Installation {
  readonly path = mkdtempSync(join(tmpdir(), 'jt_root_'));

  /** @param group id of the group gitlab-runner; without it there is no such group, and no such account */
  constructor(group?: number) {
    execFileSync('chmod', ['0755', this.path]);
    mkdirSync(join(this.path, 'etc'), { mode: 0o755 });
    const groups = group === undefined ? '' : `gitlab-runner:x:${group}:\n`;
    writeFileSync(join(this.path, 'etc/group'), `root:x:0:\n${groups}`);
    const account = group === undefined ? '' : `gitlab-runner:x:${group}:${group}::/:/bin/sh\n`;
    writeFileSync(join(this.path, 'etc/passwd'), `root:x:0:0:root:/root:/bin/sh\n${account}`);
  }

  get prefix(): string {
    return join(this.path, 'opt/jacamar');
  }

  program(name: string): string {
    return join(this.prefix, 'bin', name);
  }

  /** Without the dependencies, which this root has none of. */
  install(file: string, ...options: string[]): void {
    const { status, output } = this.rpm('--install', '--nodeps', ...options, file);
    if (status !== 0) throw new Error(output);
  }

  rpm(...args: string[]): { status: number | null; output: string } {
    const { status, stdout, stderr } = spawnSync('rpm', ['--root', this.path, ...args], { encoding: 'utf8' });
    // Debian's rpm says at every call that dpkg is the way to go here.
    const output = `${stdout}${stderr}`.replaceAll(/^rpm: (?:RPM should|However).*\n/gm, '');
    return { status, output };
  }

  readonly remove = async () => rmSync(this.path, { recursive: true, force: true });
}
