// CI variables by which a job may change how it is run. Each is named for one effect in the user's guide.

/** Read from the runner's environment under its prefix; everything else a job sets stays in the job. */
export const USER_VARIABLES = ['JACAMAR_NO_BASH_PROFILE', 'JACAMAR_ETC_PROFILE_ONLY'] as const;
