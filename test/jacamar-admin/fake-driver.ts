// A driver of a few lines of bash for the tests of the runner: every stage can be given a body of its own.
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DriverStage } from '../../src/contract/custom-executor.ts';
import { type RunnerSettings, runnerSettings } from '../../src/jacamar-admin/runner-settings.ts';

export interface FakeDriver {
  readonly directory: string;
  readonly executable: string;
  readonly settings: RunnerSettings;
  /** Arguments of every call, one string per call. */
  calls(): Promise<string[]>;
  /** Content of a file that a stage wrote into the directory. */
  read(name: string): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Bodies see `$1` (the stage), `$2` (script), `$3` (run stage) and `$HERE`, the directory of the driver. */
export async function fakeDriver(
  bodies: Partial<Record<DriverStage, string>> = {},
  settings: Partial<RunnerSettings> = {},
): Promise<FakeDriver> {
  const directory = await mkdtemp(join(tmpdir(), 'jacamar-fake-driver-'));
  const executable = join(directory, 'driver');
  await writeFile(executable, driverText(directory, bodies));
  await chmod(executable, 0o755);
  const command = (stage: DriverStage) => ({ executable, args: [stage] });
  return {
    directory,
    executable,
    settings: runnerSettings({
      stages: {
        config: command('config'),
        prepare: command('prepare'),
        run: command('run'),
        cleanup: command('cleanup'),
      },
      temporaryRoot: directory,
      gracefulKillMs: 5000,
      forceKillMs: 5000,
      retryPauseMs: 1,
      stageRetryPauseMs: 1,
      ...settings,
    }),
    calls: async () => {
      const text = await readFile(join(directory, 'calls'), 'utf8').catch(() => '');
      return text.split('\n').filter((line) => line !== '');
    },
    read: (name) => readFile(join(directory, name), 'utf8'),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** What an honest driver does with a script: run it and translate its exit status. */
export const HONEST_RUN = `bash "$2"
status=$?
rm -f "$BUILD_EXIT_CODE_FILE"
[ $status -eq 0 ] && exit 0
echo $status > "$BUILD_EXIT_CODE_FILE"
exit "$BUILD_FAILURE_EXIT_CODE"`;

function driverText(directory: string, bodies: Partial<Record<DriverStage, string>>): string {
  const output = {
    driver: { name: 'Jacamar CI', version: '1.2.3' },
    builds_dir: join(directory, 'builds'),
    cache_dir: join(directory, 'cache'),
    job_env: { JACAMAR_HINT: 'from config' },
  };
  return `#!/bin/bash
HERE='${directory}'
echo "$@" >> "$HERE/calls"
case "$1" in
config)
${bodies.config ?? `echo '${JSON.stringify(output)}'`}
;;
prepare)
${bodies.prepare ?? ':'}
;;
run)
${bodies.run ?? HONEST_RUN}
;;
cleanup)
${bodies.cleanup ?? ':'}
;;
esac
`;
}
