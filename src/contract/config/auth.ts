// The [auth] table: whose jobs jacamar-auth lets in, and as which account. jacamar never reads it.

import { logging } from './auth-logging.ts';
import { mapping } from './auth-mapping.ts';
import { runas } from './auth-runas.ts';
import { seccomp } from './auth-seccomp.ts';
import { key, table, tables } from './table.ts';
import * as value from './value.ts';

export const auth = table({
  description: 'Who may run jobs here. Read by `jacamar-auth` only.',
  keys: {
    downscope: key('downscope', value.choice('setuid', 'sudo', 'su', 'none'), {
      status: 'works',
      description:
        'How privilege is given up before anything of the job runs: by our own child (`setuid`), by another program (`sudo`, `su`), or not at all, staying with the account that runs the runner (`none`). Required by `jacamar-auth`.',
      history: 'Called `run_mechanism` before upstream 0.2.0.',
    }),
    jacamarPath: key('jacamar_path', value.absolutePath, {
      status: 'works',
      description: 'Full path of `jacamar`; without it, the program of that name beside `jacamar-auth`.',
      history: 'Beside its own executable since upstream merge request 371.',
      example: '/opt/jacamar/bin/jacamar',
    }),
    maxEnvChars: key('max_env_chars', value.integer({ min: 1 }), {
      default: 10000,
      status: 'works',
      description: 'Most characters that one environment variable may have.',
    }),
    listsPreValidation: key('lists_pre_validation', value.flag, {
      default: false,
      status: 'works',
      description: 'Applies the lists of users and groups before the RunAs script as well.',
      history: 'Upstream merge request 68.',
    }),
    startAhead: key('start_ahead', value.flag, {
      default: true,
      origin: 'ours',
      status: 'works',
      description:
        'Lets the launcher of `jacamar-auth` start `jacamar` while a later stage of an authorized job is still being decided, which saves half of its time. `jacamar` gets nothing to do before the decision. As root and with downscope `setuid` without `[auth.seccomp]` only.',
    }),
    rootDirCreation: key('root_dir_creation', value.flag, {
      default: false,
      status: 'works',
      description: "Lets `jacamar-auth` make the account's directory below `data_dir` and give it to the account.",
    }),
    userAllowlist: key('user_allowlist', value.allowlist, {
      status: 'works',
      description: 'Accounts that may run jobs; stronger than every other list.',
      example: ['alice', 'bob'],
    }),
    userBlocklist: key('user_blocklist', value.names, {
      default: [],
      status: 'works',
      description: 'Accounts that may not run jobs, unless `user_allowlist` names them.',
      example: ['mallory'],
    }),
    groupsAllowlist: key('groups_allowlist', value.allowlist, {
      status: 'works',
      description: 'Groups whose members may run jobs; the weakest list.',
      example: ['hpc-users'],
    }),
    groupsBlocklist: key('groups_blocklist', value.names, {
      default: [],
      status: 'works',
      description: 'Groups whose members may not run jobs; stronger than `groups_allowlist`.',
    }),
    shellAllowlist: key('shell_allowlist', value.allowlist, {
      status: 'works',
      description: 'Login shells, as the user database has them, that an account must have.',
      example: ['/bin/bash'],
    }),
    pipelineSourceAllowlist: key('pipeline_source_allowlist', value.allowlist, {
      status: 'works',
      description: "Pipeline sources that are let in; the source is read from the job's token.",
      example: ['push', 'web', 'schedule'],
    }),
    jwtExpDelayMs: key('jwt_exp_delay', value.duration({ min: '0s', max: '1h' }), {
      default: '15m',
      status: 'works',
      description:
        'How long after its expiry a token still counts at cleanup. As root the record of the job suffices for that, and a later cleanup is only logged; a service account is refused then.',
    }),
    jwtRequiredAud: key('jwt_required_aud', value.audiences, {
      status: 'works',
      description: "Audience that the job's token must have been made for; of several, any one.",
      example: 'https://hpc.example.com',
    }),
    allowBotAccounts: key('allow_bot_accounts', value.flag, {
      default: false,
      status: 'works',
      description:
        'Lets in jobs of project, group and service accounts; so do downscope `none` and a mapping with `projects`, for the accounts it names.',
      history:
        'Upstream merge request 266; names alone cannot tell these accounts (CVE-2026-107589), see `verify_job`.',
    }),
    noNewPrivs: key('no_new_privs', value.flag, {
      default: false,
      status: 'works',
      description: 'Sets `PR_SET_NO_NEW_PRIVS`, so that set-user-id programs give the job no privilege.',
    }),
    runStageAllowlist: key('run_stage_allowlist', value.allowlist, {
      status: 'works',
      description:
        'Run stages that are executed; others are skipped with a warning in the job log. `step_script` and `build_script` are one.',
      history: 'Upstream merge request 450.',
      example: ['prepare_script', 'get_sources', 'step_script', 'after_script'],
    }),
    enforceNologin: key('enforce_nologin', value.flag, {
      default: false,
      status: 'works',
      description: 'Refuses jobs while `/etc/nologin` or `/var/run/nologin` exists, and shows its text in the job log.',
      history: 'Upstream merge request 480.',
    }),
    stateDir: key('state_dir', value.absolutePath, {
      origin: 'ours',
      status: 'works',
      description:
        'Where `jacamar-auth` keeps its records of running jobs and cached keys. Unset: `/run/jacamar` as root, else `~/.local/state/jacamar` of the service account.',
    }),
    minUid: key('min_uid', value.integer({ min: 1, max: 4_294_967_294 }), {
      default: 1000,
      origin: 'ours',
      status: 'works',
      description: 'Accounts with a smaller user id are refused; root always is.',
    }),
    verifyJob: key('verify_job', value.choice('auto', 'required', 'off'), {
      default: 'auto',
      origin: 'ours',
      status: 'works',
      description:
        'Asks the server about the job and its user before letting it in, which also finds service accounts; `auto` goes on, with a line in the log, when the server cannot answer such questions.',
    }),
    jwksFile: key('jwks_file', value.absolutePath, {
      origin: 'ours',
      status: 'works',
      description: "File with the server's public keys (JWKS), instead of asking the server for them.",
      example: '/etc/gitlab-runner/jwks.json',
    }),
    jwksMaxAgeMs: key('jwks_max_age', value.duration({ min: '0s', max: '1h' }), {
      default: '10m',
      origin: 'ours',
      status: 'works',
      description: "How long the server's public keys are used before they are asked for again.",
    }),
    allowForkPipelines: key('allow_fork_pipelines', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description: 'Lets in merge request pipelines whose code comes from a fork.',
    }),
    allowCompositeIdentities: key('allow_composite_identities', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description: 'Lets in jobs started by a service account on behalf of a person.',
    }),
    allowGidZero: key('allow_gid_zero', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description:
        'Lets in accounts with group id 0 among their supplementary groups; as primary group it is always refused.',
    }),
    projectAllowlist: key('project_allowlist', value.fullPathAllowlist, {
      origin: 'ours',
      status: 'works',
      description: 'Projects, by full path, whose jobs are let in.',
      example: ['climate/model'],
    }),
    namespaceAllowlist: key('namespace_allowlist', value.fullPathAllowlist, {
      origin: 'ours',
      status: 'works',
      description: 'Groups and users of GitLab, by full path, whose projects are let in, those in subgroups too.',
      example: ['climate'],
    }),
    requireProtectedRef: key('require_protected_ref', value.flag, {
      default: false,
      origin: 'ours',
      status: 'works',
      description: 'Lets in jobs of protected branches and tags only.',
    }),
    minAccessLevel: key(
      'min_access_level',
      value.choice('guest', 'planner', 'reporter', 'developer', 'maintainer', 'owner'),
      {
        origin: 'ours',
        status: 'works',
        description: 'Least role that the user must have in the project, as the token says.',
        example: 'developer',
      },
    ),
    runnerIdAllowlist: key('runner_id_allowlist', value.numberAllowlist, {
      origin: 'ours',
      status: 'works',
      description:
        'Numbers that GitLab gave the runners of this host; tokens of jobs that other runners took are refused.',
      example: [17],
    }),
  },
  tables: { runas, logging, seccomp, mapping: tables(mapping) },
});
