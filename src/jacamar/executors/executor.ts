// What an executor is, and which one the configuration names.

import { SystemFailure } from '../../contract/errors.ts';
import type { Handoff } from '../../contract/handoff.ts';
import { markBeginning } from '../login-shell.ts';
import { runInShell } from './shell.ts';

/** One way to run scripts. */
export interface Executor {
  /** The script as this executor wants it placed. */
  prepareScript(script: Uint8Array): Uint8Array;
  /**
   * Executes a placed script and relays its output. Returns when it ended well and nothing of it is left.
   * Throws ScriptFailure with the script's own exit code, or what else went wrong.
   */
  execute(script: string, handoff: Handoff, stop: AbortSignal): Promise<void>;
}

const EXECUTORS: Readonly<Record<string, Executor>> = {
  shell: { prepareScript: markBeginning, execute: runInShell },
};

export function executorByName(name: string): Executor {
  const executor = Object.hasOwn(EXECUTORS, name) ? EXECUTORS[name] : undefined;
  if (executor) return executor;
  throw new SystemFailure({ code: 'ERR_EXECUTOR', message: `executor "${name}" is not available` });
}
