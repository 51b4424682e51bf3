// Values that both programs put into, or take from, the environment of a job.

/** Directories of system programs, in the order of login.defs(5). */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** With 1 or true a job asks for `limit_build_dir`, where `user_enabled_limit` lets it choose. */
export const LIMITED_DIR_VARIABLE = 'JACAMAR_LIMITED_DIR';

/** CI variables that leave profiles out of the login shell. */
export const PROFILE_VARIABLES = ['JACAMAR_NO_BASH_PROFILE', 'JACAMAR_ETC_PROFILE_ONLY'] as const;

/** Arguments of a submission in one line, for any scheduler. The site may name variables that come before it. */
export const ARGUMENTS_VARIABLE = 'SCHEDULER_PARAMETERS';

/** Typed keys: what a job asks of a scheduler, each by itself. */
export const RESOURCE_VARIABLES = {
  nodes: 'SCHEDULER_NODES',
  tasks: 'SCHEDULER_TASKS',
  cpusPerTask: 'SCHEDULER_CPUS_PER_TASK',
  gpus: 'SCHEDULER_GPUS',
  memory: 'SCHEDULER_MEMORY',
  time: 'SCHEDULER_TIME',
  partition: 'SCHEDULER_PARTITION',
  account: 'SCHEDULER_ACCOUNT',
  qos: 'SCHEDULER_QOS',
  constraint: 'SCHEDULER_CONSTRAINT',
  reservation: 'SCHEDULER_RESERVATION',
  exclusive: 'SCHEDULER_EXCLUSIVE',
} as const;

const USER_VARIABLES = [
  ...PROFILE_VARIABLES,
  LIMITED_DIR_VARIABLE,
  'SCHEDULER_JOB_PREFIX',
  'COBALT_SUMMARIZE_ERRORS',
  ARGUMENTS_VARIABLE,
  ...Object.values(RESOURCE_VARIABLES),
] as const;

/**
 * CI variables by which a job may change how it is run, read from the runner's environment under its prefix.
 * Everything else a job sets stays in the job.
 * @param argumentsVariable `batch.arguments_variable`
 */
export function userVariables(argumentsVariable: readonly string[]): readonly string[] {
  return [...new Set([...USER_VARIABLES, ...argumentsVariable])];
}
