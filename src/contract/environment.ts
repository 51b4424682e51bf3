// Values that both programs put into, or take from, the environment of a job.

/** Directories of system programs, in the order of login.defs(5). */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** With 1 or true a job asks for `limit_build_dir`, where `user_enabled_limit` lets it choose. */
export const LIMITED_DIR_VARIABLE = 'JACAMAR_LIMITED_DIR';

/**
 * CI variables by which a job may change how it is run, read from the runner's environment under its prefix.
 * Everything else a job sets stays in the job.
 */
export const USER_VARIABLES = ['JACAMAR_NO_BASH_PROFILE', 'JACAMAR_ETC_PROFILE_ONLY', LIMITED_DIR_VARIABLE] as const;
