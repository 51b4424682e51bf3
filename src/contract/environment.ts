// Values that both programs put into, or take from, the environment of a job.

/** Directories of system programs, in the order of login.defs(5). */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * CI variables by which a job may change how it is run, read from the runner's environment under its prefix.
 * Everything else a job sets stays in the job.
 */
export const USER_VARIABLES = ['JACAMAR_NO_BASH_PROFILE', 'JACAMAR_ETC_PROFILE_ONLY'] as const;
