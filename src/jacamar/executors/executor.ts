// What an executor is, and which one the configuration names.

import { SystemFailure } from '../../contract/errors.ts';
import type { Handoff } from '../../contract/handoff.ts';
import { markBeginning } from '../login-shell.ts';
import { batchExecutor } from './batch.ts';
import { cobalt } from './cobalt.ts';
import { flux } from './flux.ts';
import { lsf } from './lsf.ts';
import { pbs } from './pbs.ts';
import { runInShell } from './shell.ts';
import { slurm } from './slurm.ts';

/** A script of a run stage, which has no place yet. */
export interface Task {
  readonly handoff: Handoff;
  /**
   * Puts the script where `execute` finds it. It takes some milliseconds, so what needs no script may be started before.
   * @returns its path
   */
  readonly place: () => string;
  readonly stop: AbortSignal;
}

/** One way to run scripts. */
export interface Executor {
  /** The script of a run stage as this executor wants it placed. */
  prepareScript(script: Uint8Array, runStage: string): Uint8Array;
  /**
   * Has the script placed, executes it and relays its output. Returns when it ended well and nothing of it is left.
   * Throws ScriptFailure with the script's own exit code, or what else went wrong.
   */
  execute(task: Task): Promise<void>;
  /** At cleanup: ends what killed stages of this job left elsewhere than on this host. */
  cleanUp?(handoff: Handoff, stop: AbortSignal): Promise<void>;
}

const EXECUTORS: Readonly<Record<string, Executor>> = {
  shell: { prepareScript: (script) => markBeginning(script), execute: runInShell },
  slurm: batchExecutor(slurm, 'slurm'),
  sbatch: batchExecutor(slurm, 'slurm'),
  flux: batchExecutor(flux, 'flux'),
  pbs: batchExecutor(pbs, 'pbs'),
  lsf: batchExecutor(lsf, 'lsf'),
  bsub: batchExecutor(lsf, 'lsf'),
  cobalt: batchExecutor(cobalt, 'cobalt'),
  qsub: batchExecutor(cobalt, 'cobalt'),
};

export function executorByName(name: string): Executor {
  const executor = Object.hasOwn(EXECUTORS, name) ? EXECUTORS[name] : undefined;
  if (executor) return executor;
  throw new SystemFailure({ code: 'ERR_EXECUTOR', message: `executor "${name}" is not available` });
}
