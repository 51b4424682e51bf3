// The JSON of the config stage, the same from jacamar-auth and from `jacamar --no-auth`.

import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ConfigOutput, DRIVER_NAME } from './custom-executor.ts';
import { cacheDirectory, slotName, slotsDirectory } from './directories.ts';
import { VERSION } from './version.ts';

/** What the directories follow from. */
export interface ConfigOutputParts {
  readonly base: string;
  readonly runner: string;
  readonly limitBuildDir: boolean;
  readonly slot: number;
  /** Only constant names: a key could replace any variable of the runner in the stages to come. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
}

export function describeConfig(parts: ConfigOutputParts): ConfigOutput {
  const slots = slotsDirectory(parts.base, parts.runner, parts.limitBuildDir);
  return {
    driver: { name: DRIVER_NAME, version: VERSION },
    job_env: parts.jobEnvironment,
    builds_dir: join(slots, slotName(parts.slot)),
    cache_dir: cacheDirectory(parts.base),
    builds_dir_is_shared: false,
    // The runner puts it inside double quotes of a shell script.
    hostname: hostname().replace(/[^A-Za-z0-9.-]/g, '-'),
    shell: 'bash',
  };
}
