// One door per outside thing: the table says which files alone may touch it. Run as a program it checks the
// tree and ends with status 1 when something comes in by another way. The compiler keeps the parts apart
// (project references); this keeps packages, system modules and system calls behind their doors.

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** An outside thing, how it looks in source text, and the files that may touch it. */
interface Door {
  readonly what: string;
  readonly looksLike: RegExp;
  /** Files, or folders with a slash at the end. */
  readonly only: readonly string[];
}

const imported = (name: string) => new RegExp(`(?:from|import\\(|require\\()\\s*'${name}(?:/[^']*)?'`);

/** For src/. */
export const TYPESCRIPT_DOORS: readonly Door[] = [
  {
    what: 'the privileged program',
    looksLike: /from '\.\.(?:\/\.\.)?\/jacamar-auth\//,
    only: ['src/jacamar-auth/', 'src/jacamar-admin/'],
  },
  { what: "the user's program", looksLike: /from '\.\.(?:\/\.\.)?\/jacamar\//, only: ['src/jacamar/'] },
  { what: "the administrator's program", looksLike: /from '\.\.\/jacamar-admin\//, only: ['src/jacamar-admin/'] },
  { what: 'commander', looksLike: imported('commander'), only: ['src/contract/command-line.ts', 'src/jacamar-admin/'] },
  { what: 'jose', looksLike: imported('jose'), only: ['src/jacamar-auth/token.ts'] },
  { what: 'pino', looksLike: imported('pino'), only: ['src/contract/log.ts'] },
  {
    what: 'smol-toml',
    looksLike: imported('smol-toml'),
    only: ['src/contract/config.ts', 'src/jacamar-admin/trial-configuration.ts'],
  },
  { what: 'yaml', looksLike: imported('yaml'), only: ['src/jacamar-admin/pipeline.ts'] },
  {
    what: 'valibot, where foreign data comes in',
    looksLike: imported('valibot'),
    only: [
      'src/contract/config.ts',
      'src/contract/config/',
      'src/contract/handoff.ts',
      'src/contract/job.ts',
      'src/contract/workspace-lines.ts',
      'src/jacamar-auth/job-check.ts',
      'src/jacamar-auth/keys.ts',
      'src/jacamar-auth/record.ts',
      'src/jacamar-auth/runas.ts',
      'src/jacamar-auth/token.ts',
      'src/jacamar/claim/',
      'src/jacamar/job-scripts.ts',
      'src/jacamar/executors/batch/overview.ts',
      'src/jacamar/executors/batch/submissions.ts',
    ],
  },
  {
    what: 'an HTTP client or server',
    looksLike: imported('node:https?'),
    only: ['src/jacamar-auth/server.ts', 'src/jacamar-admin/gitlab.ts'],
  },
  {
    what: 'child processes',
    looksLike: imported('node:child_process'),
    only: ['src/jacamar/subprocess.ts', 'src/jacamar-admin/'],
  },
  { what: 'fetch', looksLike: /\bfetch\(/, only: [] },
  {
    what: 'loading an addon',
    looksLike: /process\.dlopen|\.node'/,
    only: ['src/jacamar-auth/credentials.ts', 'src/jacamar-auth/filter-compiler.ts', 'src/contract/lock.ts'],
  },
  { what: "the process's environment", looksLike: /process\.env\b/, only: ['src/contract/program.ts'] },
  {
    what: 'ending the process',
    looksLike: /process\.(?:exit|reallyExit|abort)\b/,
    only: ['src/contract/program.ts', 'src/runtime/'],
  },
  { what: 'ids of the process', looksLike: /process\.(?:set(?:e?[ug]id|groups)|initgroups)\b/, only: [] },
  { what: 'console', looksLike: /\bconsole\./, only: [] },
];

/** For native/ without its tests. */
export const NATIVE_DOORS: readonly Door[] = [
  { what: 'Node-API', looksLike: /#include <napi\.h>/, only: ['native/support/napi.hh'] },
  {
    what: 'a change of ids',
    looksLike: /\b(?:SYS_)?set(?:res|re|e|fs)?[ug]id\b|\b(?:SYS_)?(?:setgroups|initgroups)\b/,
    only: ['native/credentials/drop.cc'],
  },
  {
    what: 'clearing capabilities',
    looksLike: /SYS_capset|PR_CAP_AMBIENT_CLEAR_ALL/,
    only: ['native/credentials/', 'native/launcher/main.cc'],
  },
  { what: 'raising capabilities', looksLike: /PR_CAP_AMBIENT_RAISE/, only: ['native/launcher/main.cc'] },
  {
    what: 'a raw system call by the unprivileged',
    looksLike: /\bsyscall\(SYS_(?!pidfd_|quotactl_fd|set|capset|execve)/,
    only: ['native/credentials/', 'native/launcher/main.cc', 'native/support/'],
  },
  { what: 'libseccomp', looksLike: /#include <seccomp\.h>/, only: ['native/seccomp/'] },
  {
    what: 'installing a filter of system calls',
    looksLike: /\bSYS_seccomp\b|PR_SET_SECCOMP|\bseccomp_load\(/,
    only: ['native/credentials/launch.cc'],
  },
  { what: 'fork', looksLike: /\bv?fork\(|\bclone\(/, only: ['native/credentials/launch.cc'] },
  {
    what: 'exec',
    looksLike: /\b(?:f?exec(?:v|l|ve|vp|le|lp|vpe|veat))\(|SYS_execve/,
    only: ['native/credentials/launch.cc', 'native/launcher/main.cc'],
  },
];

/** Every line of `text` that comes in by a way that is no door for `file`. */
export function trespasses(file: string, text: string, doors: readonly Door[]): string[] {
  const closed = doors.filter(
    ({ only }) => !only.some((door) => file === door || (door.endsWith('/') && file.startsWith(door))),
  );
  return text
    .split('\n')
    .flatMap((line, index) =>
      closed
        .filter(({ looksLike }) => looksLike.test(codeOf(line)))
        .map(({ what }) => `${file}:${index + 1}: ${what} has another door`),
    );
}

/** Comments and the texts of messages open nothing, and neither do types, which are gone when a program runs. */
function codeOf(line: string): string {
  const code = line.replace(/^\s*(?:\/\/|\*|\/\*).*$/, '').replace(/\s\/\/ .*$/, '');
  return code.startsWith('import type ') ? '' : code.replace(/"[^"]*"/g, '""');
}

/** All trespasses in a source tree. */
export function checkTree(root: string): string[] {
  const check = (pattern: string, doors: readonly Door[]) =>
    globSync(pattern, { cwd: root })
      .filter((file) => !file.startsWith('native/test/'))
      .flatMap((file) => trespasses(file, readFileSync(join(root, file), 'utf8'), doors));
  return [...check('src/**/*.{ts,cjs}', TYPESCRIPT_DOORS), ...check('native/**/*.{cc,hh}', NATIVE_DOORS)];
}

if (import.meta.main) {
  const found = checkTree(join(import.meta.dirname, '..'));
  for (const trespass of found) process.stderr.write(`${trespass}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
