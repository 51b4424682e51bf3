// The typed face of the addon that makes a filter of system calls (native/seccomp), which alone needs libseccomp. It
// is loaded only where a filter is configured. What stands here is exported by the addon one for one; a test compares.

import { dirname, join } from 'node:path';
import { ConfigurationError } from '../contract/errors.ts';

/** What is refused. A name that only other architectures have is no rule here. */
export interface FilterRules {
  /** Refuse every call that `allowed` does not name; the other lists then count for nothing. */
  readonly onlyAllowed: boolean;
  readonly allowed: readonly string[];
  readonly blocked: readonly string[];
  /** Answered with ENOSYS, as by a kernel that lacks the call. */
  readonly absent: readonly string[];
  /** Refused when the argument of this index, as far as the kernel reads it, has the value. */
  readonly refusals: readonly { readonly call: string; readonly argument: number; readonly value: number }[];
  /** Refused unless each of the first `arguments` arguments is `id`, or -1, which means "unchanged". */
  readonly limits: readonly { readonly call: string; readonly arguments: number; readonly id: number }[];
  /** Error number of a refused call; 0: its process is killed. */
  readonly error: number;
  /** The kernel logs what is allowed. */
  readonly logAllowed: boolean;
}

/** The filter addon. Arguments of a wrong type or range throw TypeError or RangeError. */
export interface FilterCompiler {
  /** The instructions for LaunchPlan.seccompFilter. */
  compile(rules: FilterRules): Uint8Array;
  /** Whether libseccomp knows a call of this name, on whichever architecture. */
  knows(name: string): boolean;
  /** This architecture's calls. */
  names(): string[];
  /** Of the libseccomp on this host. */
  version(): string;
}

/**
 * Loads the addon from beside the installed runtime: `<prefix>/lib/seccomp.node`.
 * @throws {ConfigurationError} it cannot be loaded; a job never runs without the filter that was asked for
 */
export function loadFilterCompiler(): FilterCompiler {
  const file = join(dirname(process.execPath), '../lib/seccomp.node');
  const module = { exports: {} };
  try {
    process.dlopen(module, file);
  } catch (cause) {
    const reason = (cause as Error).message;
    const message = `auth.seccomp needs the library libseccomp, 2.5 or later: ${file} cannot be loaded (${reason})`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_SECCOMP', message, cause });
  }
  return module.exports as FilterCompiler;
}
