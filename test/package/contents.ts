// What the packages consist of. Written down here, and not taken from script/stage, so that nothing gets in or
// changes its owner or mode without somebody saying so.

import { globSync } from 'node:fs';
import { join } from 'node:path';
import { parts } from '../../script/share/bundled.ts';
import type { Entry, Flavour } from '../support/packages.ts';

const ROOT = join(import.meta.dirname, '../..');
const PROGRAMS = ['jacamar', 'jacamar-admin', 'jacamar-auth'];

const SHARED = [
  ...PROGRAMS.map((name) => `share/bash-completion/completions/${name}`),
  ...PROGRAMS.map((name) => `share/fish/vendor_completions.d/${name}.fish`),
  ...PROGRAMS.map((name) => `share/zsh/site-functions/_${name}`),
  'share/man/man1/jacamar.1',
  'share/man/man5/custom.toml.5',
  'share/man/man8/jacamar-admin.8',
  'share/man/man8/jacamar-auth.8',
  'share/jacamar/configuration.schema.json',
  'share/jacamar/custom.toml',
  'share/jacamar/sbom.cdx.json',
  ...['flux', 'pbs', 'service-account', 'shell', 'slurm', 'sudo'].map((name) => `share/jacamar/samples/${name}.toml`),
  'share/jacamar/systemd/runner-of-root.conf',
  'share/jacamar/systemd/runner-of-service-account.conf',
  'share/jacamar/systemd/tmpfiles-for-sudo.conf',
];

/** One line for each path: mode, owner, group, path, and capabilities where there are some. */
export function contents(flavour: Flavour): Entry[] {
  const below = (path: string) => `/opt/jacamar/${path}`;
  const files = [...SHARED, ...documents(), ...licences()].map(below);
  const outside = [`/etc/logrotate.d/${flavour}`, `/usr/lib/tmpfiles.d/${flavour}.conf`];
  const executables = [
    ...['bin/jacamar', 'bin/jacamar-admin', 'libexec/jacamar-runtime'],
    ...['credentials', 'lock', 'seccomp'].map((addon) => `lib/${addon}.node`),
  ].map(below);
  const jacamarAuth =
    flavour === 'jacamar-ci'
      ? '-rwx------ root root /opt/jacamar/bin/jacamar-auth'
      : '-rwxr-x--- root gitlab-runner /opt/jacamar/bin/jacamar-auth cap_setgid,cap_setuid=ep';
  return [
    ...[...new Set([...files, ...executables].flatMap(directories))].map((path) => `drwxr-xr-x root root ${path}`),
    ...[...files, ...outside].map((path) => `-rw-r--r-- root root ${path}`),
    ...executables.map((path) => `-rwxr-xr-x root root ${path}`),
    jacamarAuth,
  ];
}

/** Every directory of a path from the prefix down. */
function directories(path: string): string[] {
  const names = path.split('/').slice(1, -1);
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`).slice(1);
}

function documents(): string[] {
  const top = ['ARCHITECTURE.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md'];
  return [...top, ...globSync('docs/**/*.md', { cwd: ROOT })].map((file) => `share/doc/jacamar/${file}`);
}

/** Of everything that is bundled, by name: one text of each at least, and ours. */
function licences(): string[] {
  const ours = ['LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT'].map((file) => `jacamar-ci/${file}`);
  const theirs = parts().flatMap(({ name, texts }) =>
    texts.map((text) => `${name.replace('/', '-')}/${text.split('/').at(-1)}`),
  );
  return [...ours, ...theirs].map((file) => `share/licenses/${file}`);
}
