// CUSTOM_CI_BUILDS_DIR: where a job wants its build directories, if the site lets it choose
// (`general.custom_build_dir`). Only the text is judged here; the user's own process goes there.

import { normalize } from 'node:path';
import { CI_VARIABLE_PREFIX } from './custom-executor.ts';
import type { DirectoryOwner } from './directories.ts';
import { JobError } from './errors.ts';
import { type Job, variableValues } from './job.ts';
import type { Environment } from './program.ts';
import { hasControls, printable } from './text.ts';

const VARIABLE = 'CUSTOM_CI_BUILDS_DIR';
/** Of 4096 bytes that a path may have, the rest is for what lies in the repository. */
const LONGEST = 1024;

/**
 * The absolute path that the job asks for; undefined when it asks for none. `$HOME`, `$USER` (or with braces) and a
 * leading `~` are the account's, and nothing else is replaced.
 * @throws {JobError} the value is no such path
 */
export function customBuildsDir(environment: Environment, job: Job, owner: DirectoryOwner): string | undefined {
  const received = environment[`${CI_VARIABLE_PREFIX}${VARIABLE}`];
  if (received === undefined) return undefined;
  // Absent where the runner's own configuration sets the variable.
  const written = variableValues(job, VARIABLE).at(-1)?.reveal() ?? received;
  const path = expand(written === received ? received : expandAgain(written, environment), owner);
  const fault = faultOf(path);
  if (fault === undefined) return withoutSlash(normalize(path));
  throw new JobError({
    code: 'ERR_CUSTOM_BUILDS_DIR',
    message: `The CI variable ${VARIABLE} is "${printable(written)}", which ${fault}.`,
  });
}

/**
 * The runner puts values of CI variables into the text, and nothing for names that it does not know, such as HOME.
 * Here the two names of ours stay; for all others the runner's word counts.
 */
function expandAgain(written: string, environment: Environment): string {
  return written.replace(/\$(?:\$|\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))/g, (reference, braced, plain) => {
    const name = braced ?? plain ?? '$';
    if (name === '$') return name;
    return /^(?:HOME|USER)$/.test(name) ? reference : (environment[`${CI_VARIABLE_PREFIX}${name}`] ?? '');
  });
}

function expand(text: string, { home, name }: DirectoryOwner): string {
  return text
    .replace(/^~(?=\/|$)/, () => home)
    .replaceAll(/\$\{HOME\}|\$HOME(?![A-Za-z0-9_])/g, () => home)
    .replaceAll(/\$\{USER\}|\$USER(?![A-Za-z0-9_])/g, () => name);
}

/** Why it cannot be taken; undefined when it can. Nothing may be left that a shell or another name could change. */
function faultOf(path: string): string | undefined {
  if (path.trim() === '') return 'is empty; give a path, or remove the variable';
  if (hasControls(path) || !path.isWellFormed()) return 'has control characters';
  if (/[$`"'\\]/.test(path)) return 'has quotes, backslashes, or a $ that is not $HOME or $USER';
  if (!path.startsWith('/')) return 'is no absolute path; $HOME, $USER and ~ are replaced';
  if (path.split('/').includes('..')) return 'leads upwards with ".."';
  if (Buffer.byteLength(path) > LONGEST) return `is longer than ${LONGEST} bytes`;
  return undefined;
}

function withoutSlash(path: string): string {
  return path.endsWith('/') && path !== '/' ? path.slice(0, -1) : path;
}
