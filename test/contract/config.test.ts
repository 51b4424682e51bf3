// The configuration file: what each key takes and refuses, and that nothing in the file is ever ignored.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'smol-toml';
import type { Table } from '../../src/contract/config/table.ts';
import { type Configuration, configurationFile, parseConfiguration, requireAuth } from '../../src/contract/config.ts';
import { ConfigurationError } from '../../src/contract/errors.ts';

/** As in the upstream administrator tutorial. */
const TUTORIAL = `[general]
  executor = "shell"
  data_dir = "$HOME"
  limit_build_dir = true

[auth]
  downscope = "setuid"

[auth.logging]
  location = "/etc/gitlab-runner/logs"
  level = "debug"
`;

/** One key: its name inside, values that are taken with what they become, and values that are refused. */
interface Sample {
  readonly inside: string;
  readonly takes: readonly (readonly [written: unknown, read: unknown])[];
  readonly refuses: readonly unknown[];
}

const same = (...values: unknown[]) => values.map((value) => [value, value] as const);
const flag = (inside: string): Sample => ({ inside, takes: same(true, false), refuses: ['true', 1, []] });
/** Built later, or never: only the default is taken. */
const later = (inside: string, fallback: unknown, used: unknown): Sample => ({
  inside,
  takes: fallback === undefined ? [] : same(fallback),
  refuses: [used],
});
const BAD_NAMES = [[''], [' '], [' a'], ['a '], ['a\n'], ['a\u0000'], ['a\u007f'], [1], 'a', [['a']]];
const allowlist = (inside: string): Sample => ({
  inside,
  takes: same(['alice'], ['domain users', 'DOM\\bob', 'ürsula']),
  refuses: [...BAD_NAMES, []],
});
const path = (inside: string): Sample => ({
  inside,
  takes: same('/opt/a b/c', '/'),
  refuses: ['', 'a/b', './a', '~/a', '$HOME/a', '/a\n', '/a\u0000b', 1],
});
const fullPaths = (inside: string): Sample => ({
  inside,
  takes: same(['a'], ['a/b/c', 'd']),
  refuses: [...BAD_NAMES, [], ['/a'], ['a/'], ['a//b']],
});
const entries = (inside: string): Sample => ({
  inside,
  takes: same([], ['A=', '_b2=x=y', 'C=two words']),
  refuses: [['A'], ['=x'], ['2A=x'], ['A B=x'], ['A-B=x'], ['A=\u0000'], 'A=x', [1]],
});
const amount = (inside: string): Sample => ({ inside, takes: same(1, 64), refuses: [0, -1, 1.5, '1'] });
const word = (inside: string): Sample => ({ inside, takes: same('ci', 'a&b'), refuses: ['', ' ', 'a ', 'a\n', 1] });
const EMPTY: Sample['takes'] = [[[], []]];

const SAMPLES: Readonly<Record<string, Sample>> = {
  'general.executor': {
    inside: 'executor',
    takes: same('shell', 'slurm', 'sbatch', 'flux', 'pbs', 'lsf', 'bsub', 'cobalt', 'qsub'),
    refuses: ['Shell', 'PBS', '', 1, 'podman'],
  },
  'general.data_dir': {
    inside: 'dataDir',
    takes: same('$HOME', '~', '~/ci', '$HOME/ci', `\${HOME}/ci`, '/data', '/data/$USER', `/d/\${USER}/x`, '/d/$USER.x'),
    refuses: [
      '',
      'ci',
      './ci',
      '~bob/ci',
      '$HOMES',
      '$HOMEx/ci',
      '/d/$HOME',
      '/d/$USERS',
      '$USER/ci',
      '/d/$SCRATCH',
      '/d/$',
      '/d/../e',
      '$HOME/..',
      '/a\nb',
      7,
    ],
  },
  'general.retain_logs': flag('retainLogs'),
  'general.custom_build_dir': flag('customBuildDir'),
  'general.name': { inside: 'name', takes: same('login nodes'), refuses: ['', ' ', 'a\nb', 1] },
  'general.kill_timeout': {
    inside: 'killTimeoutMs',
    takes: [
      ['120s', 120_000],
      ['1h30m', 5_400_000],
      ['500ms', 500],
    ],
    refuses: ['0s', '25h', '-1s', '120', 120, '', '2 m'],
  },
  'general.shell_path': path('shellPath'),
  'general.job_message': {
    inside: 'jobMessage',
    takes: same('', 'two\n\tlines', '\u001b[32mgreen'),
    refuses: ['a\u0000', 'a\u0008', 1],
  },
  'general.gitlab_server': {
    inside: 'gitlabServer',
    takes: [
      ['https://gitlab.example.com', 'https://gitlab.example.com'],
      ['https://gitlab.example.com/', 'https://gitlab.example.com'],
      ['https://example.com:443/gitlab/', 'https://example.com/gitlab'],
      ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ],
    refuses: [
      '',
      'gitlab.example.com',
      'ftp://example.com',
      'https:example.com',
      'https:///example.com',
      'https:\\\\example.com',
      'https://u:p@example.com',
      'https://@example.com',
      'https://example.com?x',
      'https://example.com/?',
      'https://example.com#x',
      'https://exa mple.com',
      ' https://example.com',
      'https://example.com\n',
      'https://example.com:99999',
      'https://example.com/\u0007',
      'https://',
      1,
    ],
  },
  'general.tls-ca-file': path('tlsCaFile'),
  'general.unrestricted_cmd_line': flag('unrestrictedCmdLine'),
  'general.static_builds_dir': flag('staticBuildsDir'),
  'general.static_min_days': { inside: 'staticMinDays', takes: same(0, 7, 8), refuses: [-1, 1.5, '7'] },
  'general.group_permissions': flag('groupPermissions'),
  'general.shared_parents': flag('sharedParents'),
  'general.jwt_env_variable': {
    inside: 'jwtEnvVariable',
    takes: same('SITE_ID_TOKEN', '_x1'),
    refuses: ['', '1A', 'A-B', 'A B', 'A\n', 'Ä', 1],
  },
  'general.set_stack_size': flag('setStackSize'),
  'general.user_bash_env': entries('userBashEnv'),
  'general.limit_build_dir': flag('limitBuildDir'),
  'general.max_build_dir': { inside: 'maxBuildDir', takes: same(0, 1, 500), refuses: [-1, 1.5, '1', true] },
  'general.uncap_build_dir_cleanup': flag('uncapBuildDirCleanup'),
  'general.file_lock_debug': flag('fileLockDebug'),
  'general.user_enabled_limit': flag('userEnabledLimit'),
  'general.keep_processes': flag('keepProcesses'),
  'general.free_space_warning': size('freeSpaceWarning'),
  'general.free_space_required': size('freeSpaceRequired'),
  'auth.downscope': {
    inside: 'downscope',
    takes: same('setuid', 'sudo', 'su', 'none'),
    refuses: ['Setuid', 'doas', '', true],
  },
  'auth.jacamar_path': path('jacamarPath'),
  'auth.max_env_chars': {
    inside: 'maxEnvChars',
    takes: same(1, 10_000, 500_000),
    refuses: [0, -1, 1.5, '10000', Number.NaN, Infinity],
  },
  'auth.lists_pre_validation': flag('listsPreValidation'),
  'auth.start_ahead': flag('startAhead'),
  'auth.root_dir_creation': flag('rootDirCreation'),
  'auth.user_allowlist': allowlist('userAllowlist'),
  'auth.user_blocklist': { inside: 'userBlocklist', takes: [...EMPTY, ...same(['mallory'])], refuses: BAD_NAMES },
  'auth.groups_allowlist': allowlist('groupsAllowlist'),
  'auth.groups_blocklist': { inside: 'groupsBlocklist', takes: [...EMPTY, ...same(['guests'])], refuses: BAD_NAMES },
  'auth.shell_allowlist': allowlist('shellAllowlist'),
  'auth.pipeline_source_allowlist': allowlist('pipelineSourceAllowlist'),
  'auth.jwt_exp_delay': {
    inside: 'jwtExpDelayMs',
    takes: [
      ['0s', 0],
      ['1h', 3_600_000],
      ['60m', 3_600_000],
    ],
    refuses: ['1h1ms', '2h', '-1m', 15, ''],
  },
  'auth.jwt_required_aud': {
    inside: 'jwtRequiredAud',
    takes: [
      ['https://a.example', ['https://a.example']],
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
    ],
    refuses: ['', [], [''], [1], 1, ' a'],
  },
  'auth.allow_bot_accounts': flag('allowBotAccounts'),
  'auth.no_new_privs': flag('noNewPrivs'),
  'auth.run_stage_allowlist': allowlist('runStageAllowlist'),
  'auth.enforce_nologin': flag('enforceNologin'),
  'auth.state_dir': path('stateDir'),
  'auth.min_uid': {
    inside: 'minUid',
    takes: same(1, 500, 4_294_967_294),
    refuses: [0, -1, 4_294_967_295, 1000.5, '1000'],
  },
  'auth.verify_job': { inside: 'verifyJob', takes: same('auto', 'required', 'off'), refuses: ['on', '', true] },
  'auth.jwks_file': path('jwksFile'),
  'auth.jwks_max_age': {
    inside: 'jwksMaxAgeMs',
    takes: [
      ['10m', 600_000],
      ['1h', 3_600_000],
    ],
    refuses: ['61m', 'x', 600],
  },
  'auth.allow_fork_pipelines': flag('allowForkPipelines'),
  'auth.allow_composite_identities': flag('allowCompositeIdentities'),
  'auth.allow_gid_zero': flag('allowGidZero'),
  'auth.project_allowlist': fullPaths('projectAllowlist'),
  'auth.namespace_allowlist': fullPaths('namespaceAllowlist'),
  'auth.require_protected_ref': flag('requireProtectedRef'),
  'auth.min_access_level': {
    inside: 'minAccessLevel',
    takes: same('guest', 'planner', 'reporter', 'developer', 'maintainer', 'owner'),
    refuses: ['admin', 'Developer', '', 30],
  },
  'auth.runner_id_allowlist': {
    inside: 'runnerIdAllowlist',
    takes: same([17], [1, 2]),
    refuses: [[], [0], [1.5], ['17'], 17],
  },
  'auth.runas.validation_script': path('validationScript'),
  'auth.runas.user_variable': { inside: 'userVariable', takes: same('TARGET_SERVICE_USER'), refuses: ['', 'A-B', 1] },
  'auth.runas.sha256': {
    inside: 'sha256',
    takes: [
      ['A'.repeat(64), 'a'.repeat(64)],
      ['0'.repeat(64), '0'.repeat(64)],
    ],
    refuses: ['', 'a'.repeat(63), 'a'.repeat(65), 'g'.repeat(64), `${'a'.repeat(64)}\n`, 1],
  },
  'auth.runas.validation_env': entries('validationEnv'),
  'auth.runas.validation_plugin': later('validationPlugin', undefined, '/x.so'),
  'auth.logging.enabled': flag('enabled'),
  'auth.logging.location': {
    inside: 'location',
    takes: same('syslog', '/var/log/jacamar'),
    refuses: ['', 'logs', 'Syslog', '/a\n', 1],
  },
  'auth.logging.level': {
    inside: 'level',
    takes: same('error', 'warn', 'info', 'debug'),
    refuses: ['warning', 'INFO', '', 1],
  },
  'auth.logging.network': later('network', undefined, 'tcp'),
  'auth.logging.address': later('address', undefined, 'localhost:514'),
  'auth.seccomp.disabled': flag('disabled'),
  'auth.seccomp.block_calls': { inside: 'blockCalls', takes: [...EMPTY, ...same(['ptrace'])], refuses: BAD_NAMES },
  'auth.seccomp.block_all': flag('blockAll'),
  'auth.seccomp.allow_calls': { inside: 'allowCalls', takes: [...EMPTY, ...same(['read'])], refuses: BAD_NAMES },
  'auth.seccomp.log_allowed_actions': flag('logAllowedActions'),
  'auth.seccomp.disable_no_new_privs': flag('disableNoNewPrivs'),
  'auth.seccomp.error_num_block_actions': {
    inside: 'errorNumBlockActions',
    takes: same(true, false, 0, 1, 38, 4094),
    refuses: [-1, 4095, 1.5, 'EPERM', '1'],
  },
  'auth.seccomp.validation_plugin': later('validationPlugin', undefined, '/x.so'),
  'auth.seccomp.limit_setuid': flag('limitSetuid'),
  'auth.seccomp.tty_rules': flag('ttyRules'),
  'auth.mapping.login': { inside: 'login', takes: same('alice.example'), refuses: ['', ' a', 1] },
  'auth.mapping.user_id': { inside: 'userId', takes: same(1, 99), refuses: [0, 1.5, '1'] },
  'auth.mapping.account': { inside: 'account', takes: same('alice'), refuses: ['', 'a ', 1] },
  'auth.mapping.projects': fullPaths('projects'),
  'batch.arguments_variable': {
    inside: 'argumentsVariable',
    takes: [...EMPTY, ...same(['SITE_PARAMETERS', '_x'])],
    refuses: [['A-B'], ['']],
  },
  'batch.command_delay': {
    inside: 'commandDelayMs',
    takes: [
      ['30s', 30_000],
      ['0.5m', 30_000],
      ['0s', 0],
    ],
    refuses: [30, '25h'],
  },
  'batch.nfs_timeout': { inside: 'nfsTimeoutMs', takes: [['2m', 120_000]], refuses: [30, '-1s'] },
  'batch.scheduler_bin': path('schedulerBin'),
  'batch.env_vars': entries('envVars'),
  'batch.allow_illegal_args': flag('allowIllegalArgs'),
  'batch.skip_cobalt_log': flag('skipCobaltLog'),
  'batch.lsf_job_cancellation': flag('lsfJobCancellation'),
  'batch.default_args': { inside: 'defaultArgs', takes: [...EMPTY, ...same(['--exclusive'])], refuses: BAD_NAMES },
  'batch.disable_name_prefix': flag('disableNamePrefix'),
  'batch.poll_interval_min': { inside: 'pollIntervalMinMs', takes: [['6s', 6000]], refuses: ['0s', '25h'] },
  'batch.poll_interval_max': {
    inside: 'pollIntervalMaxMs',
    takes: [
      ['5s', 5000],
      ['3m', 180_000],
    ],
    refuses: ['0s', '25h'],
  },
  'batch.max_pending': { inside: 'maxPendingMs', takes: [['48h', 172_800_000]], refuses: ['0s', 7] },
  'batch.budget': { inside: 'budget', takes: same('off', 'warn', 'refuse'), refuses: ['on', true] },
  'batch.output_limit': {
    inside: 'outputLimitKib',
    takes: same(64, 4096, 1_048_576),
    refuses: [0, 63, 1_048_577, '4096', 70.5],
  },
  'batch.allow.partition': allowlist('partition'),
  'batch.allow.account': allowlist('account'),
  'batch.allow.qos': allowlist('qos'),
  'batch.allow.reservation': allowlist('reservation'),
  'batch.defaults.nodes': amount('nodes'),
  'batch.defaults.tasks': amount('tasks'),
  'batch.defaults.cpus_per_task': amount('cpusPerTask'),
  'batch.defaults.gpus': amount('gpus'),
  'batch.defaults.memory': {
    inside: 'memory',
    takes: [
      ['4G', 4 * 1024 ** 3],
      ['1.5GiB', 1.5 * 1024 ** 3],
      ['512 mb', 512 * 1024 ** 2],
    ],
    refuses: ['4096', '0G', '', 'G', '-1G', 4096],
  },
  'batch.defaults.time': {
    inside: 'timeMs',
    takes: [
      ['1h30m', 5_400_000],
      ['48h', 172_800_000],
    ],
    refuses: ['90', '0s', 90],
  },
  'batch.defaults.partition': word('partition'),
  'batch.defaults.account': word('account'),
  'batch.defaults.qos': word('qos'),
  'batch.defaults.constraint': word('constraint'),
  'batch.defaults.reservation': word('reservation'),
  'batch.defaults.exclusive': flag('exclusive'),
};

function size(inside: string): Sample {
  return {
    inside,
    takes: [
      ['0', 0],
      ['1B', 1],
      ['500MiB', 500 * 1024 ** 2],
      ['2PiB', 2 * 1024 ** 5],
    ],
    refuses: ['', '1', '-1GiB', '9000000GiB', '999999PiB', 1024],
  };
}

describe('every key', () => {
  it('has samples here', () => {
    assert.deepEqual(keyNames(configurationFile, []).sort(), Object.keys(SAMPLES).sort());
  });

  for (const [name, { inside, takes, refuses }] of Object.entries(SAMPLES)) {
    const table = name.split('.').slice(0, -1);
    for (const [written, read] of takes) {
      it(`${name} takes ${JSON.stringify(written)}`, () => {
        const values = at(parseConfiguration(fileWith(name, written), 'custom.toml'), table);
        assert.deepEqual(values[inside], read);
      });
    }
    for (const written of refuses) {
      it(`${name} refuses ${JSON.stringify(written)}`, () => {
        const file = fileWith(name, written);
        const { message } = refusal(file);
        const key = name.replace('mapping.', 'mapping[0].');
        assert.match(lineNamed(message, key, file), new RegExp(`^ *${name.split('.').at(-1)} = `));
      });
    }
  }
});

describe('a file', () => {
  it('like the one of the upstream tutorial is taken as it is', () => {
    const { general, auth } = parseConfiguration(TUTORIAL, 'custom.toml');
    assert.equal(general.dataDir, '$HOME');
    assert.equal(general.limitBuildDir, true);
    assert.equal(auth.downscope, 'setuid');
    assert.deepEqual(
      { ...auth.logging },
      {
        enabled: true,
        location: '/etc/gitlab-runner/logs',
        level: 'debug',
        network: undefined,
        address: undefined,
      },
    );
  });

  it('may come as bytes, with a byte order mark and CRLF', () => {
    const bytes = Buffer.from(`\ufeff${TUTORIAL.replaceAll('\n', '\r\n')}`);
    assert.deepEqual(parseConfiguration(bytes, 'f'), parseConfiguration(TUTORIAL, 'f'));
  });

  it('without [auth] is enough for jacamar, not for jacamar-auth', () => {
    const configuration = parseConfiguration('[general]\nexecutor = "shell"\ndata_dir = "/ci"\n', '/etc/custom.toml');
    assert.equal(configuration.auth.downscope, undefined);
    assert.throws(() => requireAuth(configuration), {
      code: 'ERR_CONFIG_KEY_MISSING',
      message: 'missing key auth.downscope (/etc/custom.toml): it is required with jacamar-auth',
    });
    assert.equal(requireAuth(parseConfiguration(TUTORIAL, 'f')).auth.downscope, 'setuid');
  });

  it('without [auth.logging] is logged from level info on, with the table from debug on', () => {
    const bare = TUTORIAL.slice(0, TUTORIAL.indexOf('[auth.logging]'));
    const { enabled, location, level } = parseConfiguration(bare, 'f').auth.logging;
    assert.deepEqual({ enabled, location, level }, { enabled: true, location: 'syslog', level: 'info' });
    assert.equal(parseConfiguration(`${bare}[auth.logging]\n`, 'f').auth.logging.level, 'debug');
  });

  it('without executor or data_dir is refused, even when it is empty', () => {
    const { code, message } = refusal('');
    assert.equal(code, 'ERR_CONFIG_KEY_MISSING');
    assert.match(message, /missing key general\.executor \(custom\.toml\)/);
    assert.match(message, /missing key general\.data_dir \(custom\.toml\)/);
  });

  it('tells all its problems at once, in the order of its lines', () => {
    const { message } = refusal(
      '[auth]\nmin_uid = "x"\nno_new_privs = 1\n[general]\ndata_dir = "ci"\nexecutor = "shell"\n',
    );
    assert.equal(
      message,
      [
        'auth.min_uid (custom.toml, line 2): expected a whole number from 1 to 4294967294, got "x"',
        'auth.no_new_privs (custom.toml, line 3): expected true or false, got 1',
        'general.data_dir (custom.toml, line 5): expected an absolute path, or one that starts with $HOME or ~; elsewhere only $USER is replaced, and ".." is not taken, got "ci"',
      ].join('\n'),
    );
  });

  it('with thousands of mistakes is refused in a short text', () => {
    const { message } = refusal(TUTORIAL.replace('[auth]', `[auth]\nuser_blocklist = [${'"",'.repeat(20_000)}]`));
    assert.equal(message.split('\n').length, 21);
    assert.match(message, /… and 19980 more$/);
  });

  it('never shows its content to the user', () => {
    assert.equal(refusal('[general]\nexecutor = "secret-name"').publicMessage.includes('secret-name'), false);
  });
});

describe('an unknown name', () => {
  const cases: [string, string, string][] = [
    [
      'a key',
      '[auth]\nuser_alowlist = ["a"]',
      'unknown key auth.user_alowlist (custom.toml, line 7); did you mean user_allowlist?',
    ],
    [
      'a key with hyphens changed',
      '[general]\ntls_ca_file = "/x"',
      'unknown key general.tls_ca_file (custom.toml, line 7); did you mean tls-ca-file?',
    ],
    [
      'a key of an older version',
      '[general]\nff_limit_build_dir = true',
      'unknown key general.ff_limit_build_dir (custom.toml, line 7); did you mean limit_build_dir?',
    ],
    [
      'a key of another table',
      '[auth]\nkill_timeout = "1s"',
      'unknown key auth.kill_timeout (custom.toml, line 7); did you mean general.kill_timeout?',
    ],
    [
      'a key at the top',
      'downscope = "none"',
      'unknown key downscope (custom.toml, line 1); did you mean auth.downscope?',
    ],
    [
      'a key in an inner table',
      '[auth.logging]\nlvl = "info"',
      'unknown key auth.logging.lvl (custom.toml, line 7); did you mean level?',
    ],
    [
      'a key in a mapping',
      '[[auth.mapping]]\naccount = "a"\nlogin = "b"\nproject = ["x"]',
      'unknown key auth.mapping[0].project (custom.toml, line 9); did you mean projects?',
    ],
    ['a table', '[auht]\ndownscope = "none"', 'unknown table auht (custom.toml, line 6); did you mean auth?'],
    ['an inner table', '[auth.broker]\nurl = "x"', 'unknown table auth.broker (custom.toml, line 6)'],
    ['an array of tables', '[[runners]]\nname = "x"', 'unknown table runners (custom.toml, line 6)'],
    [
      'a name like nothing we know',
      '[general]\nzzzzzzzzzzz = 1',
      'unknown key general.zzzzzzzzzzz (custom.toml, line 7)',
    ],
    ['a name that needs quotes', '[auth]\n"a.b\\u0007" = 1', 'unknown key auth."a.b\\\\u0007" (custom.toml, line 7)'],
    ['a name that every object has', '[general]\ntoString = 1', 'unknown key general.toString (custom.toml, line 7)'],
    ['a table that every object has', '[hasOwnProperty]\nx = 1', 'unknown table hasOwnProperty (custom.toml, line 6)'],
  ];
  for (const [what, text, expected] of cases) {
    it(`is refused: ${what}`, () => assert.equal(refusal(withGeneral(text)).message.split('\n')[0], expected));
  }

  it('is refused in every table, whatever it is', () => {
    const known = new Set(keyNames(configurationFile, []).map((name) => name.split('.').at(-1)));
    const name = fc
      .string({ minLength: 1 })
      .filter((text) => !known.has(text) && !['__proto__', 'constructor'].includes(text));
    const table = fc.constantFrom('general', 'auth', 'auth.runas', 'auth.logging', 'auth.seccomp', 'batch');
    fc.assert(
      fc.property(table, name, (where, key) => {
        if (['runas', 'logging', 'seccomp', 'mapping'].includes(key)) return;
        const document = nest(where, {});
        at(document, where.split('.'))[key] = 1;
        const { code } = refusal(stringify(merge(document, { general: { executor: 'shell', data_dir: '/ci' } })));
        assert.equal(code, 'ERR_CONFIG_KEY_UNKNOWN');
      }),
    );
  });
});

describe('a key that is not built yet', () => {
  it('is refused when used, with the reason', () => {
    const { code, message } = refusal(withGeneral('[auth.logging]\nnetwork = "tcp"'));
    assert.equal(code, 'ERR_CONFIG_KEY_NOT_SUPPORTED');
    assert.match(
      message,
      /^auth\.logging\.network .* = "tcp": not implemented yet \(a log on another host\); leave the key out$/,
    );
  });

  it('is refused for good when it asks for a Go plugin', () => {
    const { message } = refusal(withGeneral('[auth.runas]\nvalidation_script = "/x"\nvalidation_plugin = "/x.so"'));
    assert.match(message, /not supported \(a plugin for Go programs cannot be loaded/);
  });
});

describe('keys that need each other', () => {
  for (const setting of ['user_variable = "X"', `sha256 = "${'0'.repeat(64)}"`, 'validation_env = ["A=b"]']) {
    it(`refuses RunAs without a script but with ${setting.split(' ')[0]}`, () => {
      assert.match(
        refusal(withGeneral(`[auth.runas]\n${setting}`)).message,
        /auth\.runas \(custom\.toml, line 6\): expected validation_script/,
      );
    });
  }

  it('refuses a mapping without login and user_id, and names the right one', () => {
    const { message } = refusal(
      withGeneral('[[auth.mapping]]\nlogin = "a"\naccount = "b"\n[[auth.mapping]]\naccount = "c"'),
    );
    assert.equal(message, 'auth.mapping[1] (custom.toml, line 9): expected login or user_id in this table');
  });
});

describe('a text that may hold a secret', () => {
  it('is not repeated', () => {
    const { message } = refusal(
      withGeneral('[general.x]\n').replace(
        '[general.x]',
        '[auth.runas]\nvalidation_script = "/x"\nvalidation_env = ["hunter2"]',
      ),
    );
    assert.match(message, /auth\.runas\.validation_env\[0\].*not repeated/);
    assert.doesNotMatch(message, /hunter2/);
  });
});

describe('what is not a table', () => {
  for (const value of ['[]', '1979-05-27', '""', '1', '[[]]']) {
    it(`does not pass for an empty one: auth = ${value}`, () => {
      assert.match(
        refusal(`auth = ${value}\n${withGeneral('')}`).message,
        /^auth \(custom\.toml, line 1\): expected a table, got/,
      );
    });
  }
  it('does not pass for one: an array of tables', () => {
    assert.match(
      refusal(withGeneral('[[auth.runas]]\nvalidation_script = "/x"')).message,
      /^auth\.runas \(custom\.toml, line 6\): expected a table, got an array$/,
    );
  });
  it('does not pass for a list of mappings: a single table', () => {
    assert.match(
      refusal(withGeneral('[auth.mapping]\nlogin = "a"\naccount = "b"')).message,
      /^auth\.mapping .*expected an array of tables/,
    );
  });
});

describe('a file that is no TOML we read', () => {
  const cases: [string, string, string, RegExp][] = [
    ['a mistake of syntax', '[general]\nexecutor = shell\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:2:12: [^\n]+$/],
    [
      'a key written twice',
      '[general]\nexecutor = "shell"\nexecutor = "shell"\n',
      'ERR_CONFIG_SYNTAX',
      /^custom\.toml:3:\d+: [^\n]+$/,
    ],
    ['a table written twice', '[auth]\n[auth]\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:2:\d+: /],
    ['a table __proto__', '[__proto__]\nisAdmin = true\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:1:\d+: /],
    ['a key __proto__', '[auth]\n"__proto__" = 1\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:2:\d+: /],
    ['an inline __proto__', '[auth]\nx = { __proto__ = 1 }\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:2:\d+: /],
    ['a table constructor', '[auth.constructor.prototype]\nx = 1\n', 'ERR_CONFIG_SYNTAX', /^custom\.toml:1:\d+: /],
    [
      'a number too large to be exact',
      '[auth]\nmin_uid = 9007199254740993\n',
      'ERR_CONFIG_SYNTAX',
      /^custom\.toml:2:\d+: /,
    ],
    [
      'arrays nested without end',
      `x = ${'['.repeat(5000)}${']'.repeat(5000)}`,
      'ERR_CONFIG_SYNTAX',
      /^custom\.toml:1:\d+: /,
    ],
    ['a NUL', '[general]\nname = "a\u0000"', 'ERR_CONFIG_SYNTAX', /^custom\.toml:2:\d+: /],
    ['half a surrogate', 'x = "\ud800"', 'ERR_CONFIG_ENCODING', /^custom\.toml: not valid UTF-8$/],
    [
      'more than a megabyte',
      `#${' '.repeat(1024 * 1024)}`,
      'ERR_CONFIG_SIZE',
      /^custom\.toml: larger than 1048576 bytes$/,
    ],
  ];
  for (const [what, text, code, message] of cases) {
    it(`is refused: ${what}`, () => {
      const error = refusal(text);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.equal(error.fault, 'site');
    });
  }

  it('is refused: bytes that are not UTF-8', () => {
    for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
      assert.throws(() => parseConfiguration(Uint8Array.from([0x23, ...bytes]), 'f'), { code: 'ERR_CONFIG_ENCODING' });
    }
  });

  it('is refused: a megabyte of bytes, measured as bytes', () => {
    assert.throws(() => parseConfiguration(`#${'é'.repeat(600 * 1024)}`, 'f'), { code: 'ERR_CONFIG_SIZE' });
  });

  it('leaves the prototype of all objects alone', () => {
    refusal('[__proto__]\npolluted = true\n[general]\nconstructor.prototype.polluted = 1\n');
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  it('is answered with a ConfigurationError, whatever it is', () => {
    const words = [
      '[general]',
      '[auth]',
      '[[auth.mapping]]',
      'executor',
      '=',
      '"shell"',
      'data_dir',
      '"/x"',
      '\n',
      '.',
      '{',
      '}',
      '[',
      ']',
      ',',
      '1',
      '"""',
      "'",
      '#',
    ];
    const soup = fc
      .array(fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 4 })))
      .map((parts) => parts.join(' '));
    fc.assert(
      fc.property(soup, (text) => {
        try {
          parseConfiguration(text, 'f');
        } catch (error) {
          assert.ok(error instanceof ConfigurationError, String(error));
          assert.match(error.code, /^ERR_CONFIG_/);
        }
      }),
    );
  });
});

function refusal(text: string): ConfigurationError {
  try {
    parseConfiguration(text, 'custom.toml');
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error;
  }
  return assert.fail(`accepted:\n${text}`);
}

/** The text behind a valid [general]: its first line is the sixth. Keys of the top and of [general] find their place. */
function withGeneral(text: string): string {
  const keys = 'executor = "shell"\ndata_dir = "/ci"\n';
  const own = '[general]\n';
  if (text.startsWith(own)) return `\n\n\n[general]\n${keys}${text.slice(own.length)}`;
  return text.startsWith('[') ? `[general]\n${keys}\n\n${text}` : `${text}\n[general]\n${keys}`;
}

type Document = { [name: string]: unknown };

/** A file that is valid but for the one value. */
function fileWith(name: string, value: unknown): string {
  const document: Document = merge({ general: { executor: 'shell', data_dir: '/ci' } }, nest(name, value));
  if (name.startsWith('auth.runas.')) {
    const { auth } = document;
    const { runas } = auth as Document;
    return stringify({ ...document, auth: { runas: { validation_script: '/x', ...(runas as Document) } } });
  }
  if (!name.startsWith('auth.mapping.')) return stringify(document);
  const mapping = { login: 'a', account: 'b', ...(at(document, ['auth', 'mapping']) as object) };
  return stringify({ ...document, auth: { mapping: [mapping] } });
}

function nest(name: string, value: unknown): Document {
  return name.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as Document;
}

function merge(one: Document, other: Document): Document {
  const all = { ...one };
  for (const [name, value] of Object.entries(other)) all[name] = { ...(all[name] as Document), ...(value as Document) };
  return all;
}

function at(document: Configuration | Document, path: readonly string[]): Document {
  const found = path.reduce<unknown>((inner, part) => (inner as Document)[part], document);
  return (Array.isArray(found) ? found[0] : found) as Document;
}

function keyNames(table: Table<unknown>, path: readonly string[]): string[] {
  const here = Object.values(table.keys).map(({ name }) => [...path, name].join('.'));
  return [...here, ...Object.entries(table.tables).flatMap(([name, inner]) => keyNames(inner, [...path, name]))];
}

/** The line of the file that the message about a key, or about an element of it, names. */
function lineNamed(message: string, key: string, file: string): string {
  const about = message.split('\n').find((line) => line.startsWith(`${key} (`) || line.startsWith(`${key}[`)) ?? '';
  return file.split('\n')[Number(/\(custom\.toml, line (\d+)\)/.exec(about)?.[1]) - 1] ?? '';
}
