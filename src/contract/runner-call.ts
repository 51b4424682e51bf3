// The calls of the runner, in exactly the words in which it makes them. They come a dozen times for each job, so they
// are understood without the parser of command lines, which takes longer to load than to use.

import type { DriverStage } from './custom-executor.ts';

/** What the runner asked for. */
export interface StageCall {
  readonly stage: DriverStage;
  readonly configurationPath?: string | undefined;
  readonly scriptPath?: string | undefined;
  readonly runStage?: string | undefined;
}

/** The call, if it is one and nothing else; for all other command lines there is command-line.ts. */
export function runnerCall([stage, ...words]: readonly string[]): StageCall | undefined {
  if (stage === 'run') return runCall(words);
  if (stage === 'prepare') return words.length === 0 ? { stage } : undefined;
  if (stage === 'config' || stage === 'cleanup') return callWithConfiguration(stage, words);
  return undefined;
}

function runCall([scriptPath, runStage, ...rest]: readonly string[]): StageCall | undefined {
  if (!isPlain(scriptPath) || !isPlain(runStage) || rest.length > 0) return undefined;
  return { stage: 'run', scriptPath, runStage };
}

function callWithConfiguration(stage: 'config' | 'cleanup', words: readonly string[]): StageCall | undefined {
  if (words.length === 0) return { stage };
  const [option, configurationPath, ...rest] = words;
  if (option !== '--configuration' || !isPlain(configurationPath) || rest.length > 0) return undefined;
  return { stage, configurationPath };
}

function isPlain(word: string | undefined): word is string {
  return word !== undefined && word !== '' && !word.startsWith('-');
}
