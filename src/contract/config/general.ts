// The [general] table: what both programs need to know about a job's surroundings.

import { key, table } from './table.ts';
import * as value from './value.ts';

export const general = table({
  description: 'Where and how jobs run.',
  keys: {
    executor: key(
      'executor',
      value.choice('shell', 'slurm', 'sbatch', 'flux', 'pbs', 'lsf', 'bsub', 'cobalt', 'qsub'),
      {
        required: true,
        status: 'works',
        description:
          'What runs the scripts of a job: a login shell on this host, or a batch scheduler. `sbatch` means `slurm`, `bsub` means `lsf`, `qsub` means `cobalt`.',
        history: 'Upstream gives `cobalt` and `lsf` no new features.',
      },
    ),
    dataDir: key('data_dir', value.dataDirectory, {
      required: true,
      status: 'works',
      description:
        'Directory under which everything of a job is kept; absolute, or starting with `$HOME` or `~` of the account, `$USER` being its name.',
    }),
    retainLogs: key('retain_logs', value.flag, {
      default: false,
      status: 'works',
      description:
        'Keeps the files that executor and scheduler made, which are otherwise removed when the job is over.',
    }),
    customBuildDir: key('custom_build_dir', value.flag, {
      default: false,
      status: 'works',
      description:
        'Lets a job move its builds directories with the variable `CUSTOM_CI_BUILDS_DIR`; `auth.root_dir_creation` does not make those.',
    }),
    name: key('name', value.line, {
      status: 'works',
      description: 'Label of this installation in the system log, to tell several apart.',
      example: 'login nodes',
    }),
    killTimeoutMs: key('kill_timeout', value.duration({ min: '1ms' }), {
      default: '120s',
      status: 'works',
      description: 'How long a terminated job may take to end by itself before it is killed.',
      history: 'Upstream merge request 71.',
    }),
    shellPath: key('shell_path', value.absolutePath, {
      status: 'works',
      description: 'The Bash that runs job scripts; without it, the one found in the system directories.',
      example: '/usr/bin/bash',
    }),
    jobMessage: key('job_message', value.message, {
      status: 'works',
      description: 'Text that every job log shows when the job is prepared.',
      history: 'Upstream merge request 216.',
      example: 'Questions about this runner: hpc-support@example.com',
    }),
    gitlabServer: key('gitlab_server', value.serverUrl, {
      status: 'works',
      description:
        'The GitLab server whose tokens count, with its path if it has one; without it, the server named in the job response file.',
      example: 'https://gitlab.example.com',
    }),
    tlsCaFile: key('tls-ca-file', value.absolutePath, {
      status: 'works',
      description:
        'Certificates (PEM) to trust for HTTPS to the server, instead of those of the system; its owner and mode have to be safe.',
      history:
        "Spelled with hyphens like the runner's own key, so that the line can be copied (upstream merge request 265).",
      example: '/etc/gitlab-runner/certs/ca.pem',
    }),
    unrestrictedCmdLine: key('unrestricted_cmd_line', value.flag, {
      default: false,
      status: 'works',
      description:
        "Lets scripts of the runner use the job token on command lines, where every account of the host can read it; otherwise git gets it from a private file, and the runner's artifact commands from their environment.",
    }),
    staticBuildsDir: key('static_builds_dir', value.flag, {
      default: false,
      status: 'works',
      description:
        'Gives every job a builds directory of its own, `static/<job id>`, which outlives the job; `limit_build_dir` does not matter then.',
    }),
    staticMinDays: key('static_min_days', value.integer({ min: 0 }), {
      default: 7,
      status: 'works',
      description:
        'Days after the end of its job before a static directory may be removed, when another job is cleaned up; 0 keeps them for ever.',
    }),
    groupPermissions: key('group_permissions', value.flag, {
      default: false,
      status: 'works',
      description:
        "Makes data directories with mode 0750 instead of 0700, and lets people have theirs so; scripts stay 0700, since a job's secrets stand in them.",
    }),
    sharedParents: key('shared_parents', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description:
        'Accepts directories of jobs below directories that others than root and the account own, or can write to without a sticky bit, such as those of a project; all of these can then put something else in their place.',
    }),
    jwtEnvVariable: key('jwt_env_variable', value.variableName, {
      default: 'CI_JOB_JWT',
      status: 'works',
      description: 'CI variable in which the job carries its ID token (`id_tokens` in `.gitlab-ci.yml`).',
      history: 'Upstream 0.15.',
    }),
    setStackSize: key('set_stack_size', value.flag, {
      default: false,
      status: 'works',
      description:
        "Raises the stack limit to the hard limit, for systems that reset it when capabilities are used; `LimitSTACK=` in the runner's unit does the same.",
    }),
    userBashEnv: key('user_bash_env', value.environment, {
      default: [],
      status: 'works',
      description: 'Variables given to the login shell that runs the scripts of a job.',
      history: 'Upstream merge request 556.',
      example: ['LMOD_ADMIN_FILE=none'],
    }),
    limitBuildDir: key('limit_build_dir', value.flag, {
      default: false,
      status: 'works',
      description:
        'Lets jobs of all runners and hosts share numbered builds directories: each claims the lowest that is free, so there are as many as jobs run at a time. `jacamar lock` shows the claims.',
      history: 'Called `ff_limit_build_dir` while in development (upstream merge request 458).',
    }),
    maxBuildDir: key('max_build_dir', value.integer({ min: 0 }), {
      default: 0,
      status: 'works',
      description:
        'Builds directories that may stay behind, with `limit_build_dir`; 0 sets no limit. A job that was cleaned up removes one that is too many and not in use, the highest number first.',
    }),
    uncapBuildDirCleanup: key('uncap_build_dir_cleanup', value.flag, {
      default: false,
      status: 'works',
      description: 'Lets one job remove all surplus builds directories instead of one; its cleanup may take long.',
    }),
    fileLockDebug: key('file_lock_debug', value.flag, {
      default: false,
      status: 'works',
      description:
        'Writes what happens to the claims on builds directories into `lock.log` below the data directory of the account; it is never removed.',
    }),
    userEnabledLimit: key('user_enabled_limit', value.flag, {
      default: false,
      status: 'works',
      description: 'Restricts `limit_build_dir` to jobs that set the CI variable `JACAMAR_LIMITED_DIR` to `1`.',
    }),
    keepProcesses: key('keep_processes', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description:
        'Leaves alone the processes that a script started and did not end, and names them in the job log; otherwise they are ended with the stage. A cancelled or timed-out stage ends them in any case.',
    }),
    freeSpaceWarning: key('free_space_warning', value.size, {
      default: '1GiB',
      origin: 'ours',
      status: 'works',
      description:
        'Warns in the job log when less is left for a job on the file system of `data_dir`, or of the account\'s quotas there; or fewer than 1000 files (inodes). "0" never warns.',
    }),
    freeSpaceRequired: key('free_space_required', value.size, {
      default: '0',
      origin: 'ours',
      status: 'works',
      description:
        'Starts no job when less than that is left, which is a system failure; or no 1000 files (inodes). No more than `free_space_warning`.',
    }),
  },
});
