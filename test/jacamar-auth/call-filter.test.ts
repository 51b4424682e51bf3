// From [auth.seccomp] to the rules of a filter. What the kernel makes of them: test/native/seccomp.test.ts.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfiguration } from '../../src/contract/config.ts';
import { callFilter } from '../../src/jacamar-auth/call-filter.ts';
import type { FilterCompiler, FilterRules } from '../../src/jacamar-auth/filter-compiler.ts';

const account = { uid: 4001, gid: 4002 };
const root = { capabilities: () => ({ permitted: '000001ffffffffff' }) };
const service = { capabilities: () => ({ permitted: '00000000000000c0' }) };
const names = ['read', 'write', 'execve', 'exit_group', 'ptrace', 'ioctl', 'setuid', 'io_uring_setup', 'openat'];

/** The compiler's face without libseccomp: its program is the text of the rules. */
const compiler: FilterCompiler = {
  compile: (rules) => new TextEncoder().encode(JSON.stringify(rules)),
  knows: (name) => names.includes(name),
  names: () => names,
  version: () => '2.5.4',
};

function configuration(seccomp: string, auth = 'downscope = "setuid"') {
  const general = '[general]\nexecutor = "shell"\ndata_dir = "/ci"\n';
  return parseConfiguration(`${general}[auth]\n${auth}\n[auth.seccomp]\n${seccomp}`, 'custom.toml');
}

function filterOf(seccomp: string, auth?: string, rights = root) {
  return callFilter(configuration(seccomp, auth), rights, () => compiler);
}

function rulesOf(seccomp: string): FilterRules {
  const filter = filterOf(seccomp);
  assert.ok(filter);
  return JSON.parse(new TextDecoder().decode(filter.compileFor(account))) as FilterRules;
}

const refusal = (message: RegExp) => ({ name: 'ConfigurationError', code: 'ERR_CONFIG_SECCOMP', message });

describe('no filter', () => {
  const nothing = {
    'an empty table': '',
    'nothing switched on': 'block_all = false\nblock_calls = []\nlimit_setuid = false\ntty_rules = false',
    'allowed calls alone': 'allow_calls = ["ptrace"]',
    'everything, but disabled': 'disabled = true\nblock_calls = ["nonsense"]\nblock_all = true\nlimit_setuid = true',
  };
  for (const [title, seccomp] of Object.entries(nothing)) {
    it(`comes of ${title}, and libseccomp is not loaded`, () => {
      const load = () => assert.fail('loaded');
      assert.equal(callFilter(configuration(seccomp), root, load), undefined);
    });
  }
});

describe('the rules', () => {
  it('of blocked calls kill, and cut off the calls that io_uring makes in their place', () => {
    const { blocked, absent, error, onlyAllowed, limits, refusals, logAllowed } = rulesOf('block_calls = ["ptrace"]');
    assert.deepEqual(
      { blocked, absent, error, onlyAllowed, limits, refusals, logAllowed },
      {
        blocked: ['ptrace'],
        absent: ['io_uring_setup'],
        error: 0,
        onlyAllowed: false,
        limits: [],
        refusals: [],
        logAllowed: false,
      },
    );
  });

  it('take a blocked call once, however often it is named', () => {
    assert.deepEqual(rulesOf('block_calls = ["ptrace", "openat", "ptrace"]').blocked, ['ptrace', 'openat']);
  });

  it('leave io_uring alone where only arguments are judged', () => {
    assert.deepEqual(rulesOf('tty_rules = true\nlimit_setuid = true').absent, []);
  });

  const errors = { false: 0, true: 1, '0': 0, '38': 38 };
  for (const [written, number] of Object.entries(errors)) {
    it(`have ${number} as error for error_num_block_actions = ${written}`, () => {
      assert.equal(rulesOf(`block_calls = ["ptrace"]\nerror_num_block_actions = ${written}`).error, number);
    });
  }

  it('limit all eight calls to the uid and gid of the account', () => {
    const { limits } = rulesOf('limit_setuid = true');
    assert.deepEqual(
      limits.map(({ call, arguments: count, id }) => `${call} ${count} ${id}`),
      [
        ...['setuid 1 4001', 'setreuid 2 4001', 'setresuid 3 4001', 'setfsuid 1 4001'],
        ...['setgid 1 4002', 'setregid 2 4002', 'setresgid 3 4002', 'setfsgid 1 4002'],
      ],
    );
  });

  it('refuse the two ioctls that type into a terminal', () => {
    assert.deepEqual(rulesOf('tty_rules = true').refusals, [
      { call: 'ioctl', argument: 1, value: 0x5412 },
      { call: 'ioctl', argument: 1, value: 0x541c },
    ]);
  });

  it('let an allowed call win over a block, a limit, the ioctls and the cut of io_uring', () => {
    const free = 'allow_calls = ["ptrace", "ioctl", "setuid", "io_uring_setup"]';
    const rules = rulesOf(`${free}\nblock_calls = ["ptrace", "openat"]\ntty_rules = true\nlimit_setuid = true`);
    assert.deepEqual([rules.blocked, rules.absent, rules.refusals], [['openat'], [], []]);
    assert.ok(rules.limits.length === 7 && rules.limits.every(({ call }) => call !== 'setuid'));
  });

  it('let a whole block win over a rule on arguments', () => {
    const { blocked, refusals, limits } = rulesOf(
      'block_calls = ["ioctl", "setuid"]\ntty_rules = true\nlimit_setuid = true',
    );
    assert.deepEqual([blocked, refusals, limits.length], [['ioctl', 'setuid'], [], 7]);
  });

  it('of block_all have the allowed calls and nothing besides', () => {
    const { onlyAllowed, allowed, limits } = rulesOf(
      'block_all = true\nlimit_setuid = true\nallow_calls = ["read", "write", "execve", "exit_group", "setuid"]',
    );
    assert.ok(onlyAllowed);
    assert.deepEqual(allowed, ['read', 'write', 'execve', 'exit_group', 'setuid']);
    assert.deepEqual(limits, []);
  });

  it('may log and refuse nothing', () => {
    const { logAllowed, blocked, onlyAllowed } = rulesOf('log_allowed_actions = true');
    assert.deepEqual({ logAllowed, blocked, onlyAllowed }, { logAllowed: true, blocked: [], onlyAllowed: false });
  });
});

describe('a name that is no system call', () => {
  it('is told with its key, the file, the probable name and the library', () => {
    assert.throws(
      () => filterOf('block_calls = ["ptrce"]'),
      refusal(
        /^auth\.seccomp\.block_calls \(custom\.toml\): "ptrce" is no system call; did you mean ptrace\?\n\(known to libseccomp 2\.5\.4 on this host\)$/,
      ),
    );
  });

  it('is refused in allow_calls too, and each one is told', () => {
    assert.throws(
      () => filterOf('tty_rules = true\nallow_calls = ["raed", "xyzzyxyzzy"]'),
      refusal(/allow_calls.*"raed" is no system call; did you mean read\?\n.*"xyzzyxyzzy" is no system call\n/),
    );
  });
});

describe('a filter under which no job could start', () => {
  it('is refused for a blocked exec, unless it is allowed by name', () => {
    assert.throws(() => filterOf('block_calls = ["execve"]'), refusal(/blocks execve: .* name them in allow_calls$/));
    assert.ok(filterOf('block_calls = ["execve"]\nallow_calls = ["execve"]'));
  });

  it('is refused for block_all without the calls of the launch', () => {
    assert.throws(() => filterOf('block_all = true'), refusal(/blocks execve, write, exit_group/));
    assert.throws(() => filterOf('block_all = true\nallow_calls = ["execve"]'), refusal(/blocks write, exit_group/));
  });
});

describe('a filter that this host or this mode cannot have', () => {
  it('is refused with the reason of libseccomp', () => {
    const failing = {
      ...compiler,
      compile: () => {
        throw new Error('E2BIG: too much');
      },
    };
    const filter = callFilter(configuration('tty_rules = true'), root, () => failing);
    assert.throws(
      () => filter?.compileFor(account),
      refusal(/^auth\.seccomp \(custom\.toml\): libseccomp 2\.5\.4 cannot make this filter: E2BIG: too much$/),
    );
  });

  for (const downscope of ['sudo', 'su'] as const) {
    it(`is refused with downscope ${downscope}, a set-user-id program that it would stop`, () => {
      const { auth, fileName } = configuration('tty_rules = true');
      const changed = { auth: { ...auth, downscope }, fileName };
      assert.throws(() => callFilter(changed, root, () => compiler), refusal(/needs downscope "setuid" or "none"/));
    });
  }
});

describe('no_new_privs', () => {
  it('is set with a filter unless that is switched off', () => {
    assert.equal(filterOf('tty_rules = true')?.noNewPrivileges, true);
    assert.equal(filterOf('tty_rules = true\ndisable_no_new_privs = true')?.noNewPrivileges, false);
  });

  const bare = 'tty_rules = true\ndisable_no_new_privs = true';
  it('cannot be switched off by a service account, nor with downscope none', () => {
    assert.throws(
      () => filterOf(bare, 'downscope = "setuid"', service),
      refusal(/disable_no_new_privs.*CAP_SYS_ADMIN/),
    );
    assert.throws(() => filterOf(bare, 'downscope = "none"'), refusal(/disable_no_new_privs/));
    assert.ok(filterOf('tty_rules = true', 'downscope = "none"', service));
  });

  it('that is set anyway makes the switch harmless', () => {
    assert.ok(filterOf(bare, 'downscope = "setuid"\nno_new_privs = true', service));
  });
});
