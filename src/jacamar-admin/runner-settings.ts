// The runner's configuration as far as it concerns the custom executor: `[runners.custom]` and the few other keys
// that a driver can notice. Times are milliseconds, so that tests can be quick.
import { tmpdir } from 'node:os';
import type { DriverStage } from '../contract/custom-executor.ts';

/** `<stage>_exec` and `<stage>_args`. */
interface StageCommand {
  readonly executable: string;
  readonly args: readonly string[];
}

export interface RunnerSettings {
  /** A stage without a command is skipped. */
  readonly stages: Partial<Readonly<Record<DriverStage, StageCommand>>>;
  /** Environment of the runner process itself; all of it reaches the driver. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `environment` of `[[runners]]`: becomes ordinary variables. */
  readonly configuredEnvironment: Readonly<Record<string, string>>;
  readonly runnerToken: string;
  readonly runnerVersion: string;
  readonly concurrentId: number;
  readonly concurrentProjectId: number;
  /** `builds_dir` and `cache_dir` of `[[runners]]`; empty when only config names them. */
  readonly buildsDir: string;
  readonly cacheDir: string;
  /** The service account that the runner runs as; absent: whoever plays it. */
  readonly account?: { readonly uid: number; readonly gid: number };
  /** Where the `custom-executor…` directories are made. */
  readonly temporaryRoot: string;
  readonly keepDirectories: boolean;
  readonly gracefulKillMs: number;
  readonly forceKillMs: number;
  /** Limit of config, prepare and cleanup, each. */
  readonly execTimeoutMs: number;
  /** After each failed attempt of config and prepare. */
  readonly retryPauseMs: number;
  /** First pause between attempts of get_sources and the like; doubles. */
  readonly stageRetryPauseMs: number;
  /** How many bytes of a call's output, and characters of the job log, are remembered, about. */
  readonly mostOutputKept: number;
  /** How long the runner waits for a run call after the whole job was stopped. */
  readonly hardStopPatienceMs: number;
}

/** The driver as an administrator configures it. */
export interface DriverInstallation {
  /** Absolute path of `jacamar-auth`. */
  readonly executable: string;
  readonly configuration: string;
  /** Options in front of the sub-command. */
  readonly options?: readonly string[];
}

// What a service manager gives a runner: no more than this may be needed.
const SERVICE_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/** The four commands as the deployment guide configures them. */
export function driverStages(driver: DriverInstallation): RunnerSettings['stages'] {
  const command = (...args: string[]) => ({
    executable: driver.executable,
    args: [...(driver.options ?? []), ...args],
  });
  const configuration = ['--configuration', driver.configuration];
  return {
    config: command('config', ...configuration),
    prepare: command('prepare'),
    run: command('run'),
    cleanup: command('cleanup', ...configuration),
  };
}

/** The runner's defaults for everything that is not given. */
export function runnerSettings(parts: Partial<RunnerSettings> & Pick<RunnerSettings, 'stages'>): RunnerSettings {
  return {
    environment: SERVICE_ENVIRONMENT,
    configuredEnvironment: {},
    runnerToken: 'glrt-t1_TrialRunnerToken0001',
    runnerVersion: '19.4.0',
    concurrentId: 0,
    concurrentProjectId: 0,
    buildsDir: '',
    cacheDir: '',
    temporaryRoot: tmpdir(),
    keepDirectories: false,
    gracefulKillMs: 600_000,
    forceKillMs: 10_000,
    execTimeoutMs: 3_600_000,
    retryPauseMs: 3_000,
    stageRetryPauseMs: 5_000,
    mostOutputKept: Number.POSITIVE_INFINITY,
    hardStopPatienceMs: 300_000,
    ...parts,
  };
}
