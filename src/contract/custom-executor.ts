// GitLab Runner's side of the contract: what it calls us with, what it reads back.
// Facts only; behaviour lives in program.ts and in the stages of each program.
// Source: GitLab Runner, executors/custom (16.x to 19.x).

/** The four driver stages, as sub-commands of both programs. */
export const DRIVER_STAGES = ['config', 'prepare', 'run', 'cleanup'] as const;
export type DriverStage = (typeof DRIVER_STAGES)[number];

/** Every CI variable reaches the driver under this prefix; a name without it cannot come from a CI variable. */
export const CI_VARIABLE_PREFIX = 'CUSTOM_ENV_';

/** Variables that the runner itself sets for each driver call. */
export const RUNNER_ENVIRONMENT = {
  buildFailureExitCode: 'BUILD_FAILURE_EXIT_CODE',
  systemFailureExitCode: 'SYSTEM_FAILURE_EXIT_CODE',
  buildExitCodeFile: 'BUILD_EXIT_CODE_FILE',
  jobResponseFile: 'JOB_RESPONSE_FILE',
} as const;

/** Names in `job_env` of our config output: hints for later stages, never authority. */
export const JOB_ENVIRONMENT = {
  configuration: 'JACAMAR_CI_CONFIGURATION',
  /** Only without jacamar-auth, which keeps both in the job's record: the number of the build directory. */
  slot: 'JACAMAR_CI_SLOT',
  /** The same; when the job began, in milliseconds since 1970. */
  startedAt: 'JACAMAR_CI_STARTED',
} as const;

/** Stands where the script path would: the script's text comes through the handoff channel instead. */
export const SCRIPT_FROM_HANDOFF = 'env-script';

/** The driver's name, shown by the runner as `Using Custom executor with driver Jacamar CI <version>...`. */
export const DRIVER_NAME = 'Jacamar CI';

/**
 * Names of run stages are not a fixed list: GitLab adds `step_<name>` and renames `build_script`.
 * The name becomes a file name, so it must be a harmless one.
 */
export const RUN_STAGE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;

/** The job's own script: by the name that the job log shows, and by that with which the runner still calls a driver. */
export const USER_SCRIPT_STAGES: readonly string[] = ['step_script', 'build_script'];

/** The one that every job begins with, whatever it does. */
export const FIRST_RUN_STAGE = 'prepare_script';

/** What `config` prints on standard output, the only thing it ever prints there. */
export interface ConfigOutput {
  readonly driver: { readonly name: string; readonly version: string };
  readonly job_env: Readonly<Record<string, string>>;
  readonly builds_dir: string;
  readonly cache_dir: string;
  readonly builds_dir_is_shared: boolean;
  readonly hostname: string;
  readonly shell: string;
}
