// The JSON of the config stage, the same from jacamar-auth and from `jacamar --no-auth`.

import { hostname } from 'node:os';
import { type ConfigOutput, DRIVER_NAME } from './custom-executor.ts';
import { type BuildsLayout, buildDirectory, cacheDirectory } from './directories.ts';
import { VERSION } from './version.ts';

/** What the directories follow from. */
export interface ConfigOutputParts {
  readonly layout: BuildsLayout;
  readonly slot: number;
  /** Only constant names: a key could replace any variable of the runner in the stages to come. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
}

export function describeConfig(parts: ConfigOutputParts): ConfigOutput {
  return {
    driver: { name: DRIVER_NAME, version: VERSION },
    job_env: parts.jobEnvironment,
    builds_dir: buildDirectory(parts.layout, parts.slot),
    cache_dir: cacheDirectory(parts.layout.base),
    builds_dir_is_shared: false,
    // The runner puts it inside double quotes of a shell script.
    hostname: hostname().replace(/[^A-Za-z0-9.-]/g, '-'),
    shell: 'bash',
  };
}
