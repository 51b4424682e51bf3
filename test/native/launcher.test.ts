// The launchers, each in a throw-away installation whose runtime tells how it was started.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createAccount, type TestAccount } from '../support/accounts.ts';
import { finished, nativeFile } from './built.ts';

type Role = 'jacamar-auth' | 'jacamar' | 'jacamar-admin';
const roles: readonly Role[] = ['jacamar-auth', 'jacamar', 'jacamar-admin'];

let prefix: string;
beforeEach(() => {
  prefix = fs.mkdtempSync(path.join(tmpdir(), 'jt_prefix_'));
  fs.chmodSync(prefix, 0o755);
  for (const folder of ['bin', 'libexec', 'lib']) fs.mkdirSync(path.join(prefix, folder), { mode: 0o755 });
  for (const role of roles) install(nativeFile(`bin/${role}`), `bin/${role}`);
  install(nativeFile('test-runtime'), 'libexec/jacamar-runtime');
  for (const addon of ['credentials', 'lock', 'seccomp'])
    fs.writeFileSync(at(`lib/${addon}.node`), '', { mode: 0o644 });
});
afterEach(() => fs.rmSync(prefix, { recursive: true }));

const at = (file: string): string => path.join(prefix, file);

function install(from: string, to: string): void {
  fs.copyFileSync(from, at(to));
  fs.chmodSync(at(to), 0o755);
}

/** Facts of one kind that the runtime reported, in order. */
const facts = (report: string, kind: string): string[] =>
  report
    .split('\n')
    .filter((line) => line.startsWith(`${kind} `))
    .map((line) => line.slice(kind.length + 1));

const start = (role: Role, options: Parameters<typeof finished>[2] = {}, args: readonly string[] = ['-']) =>
  finished(at(`bin/${role}`), args, { env: {}, ...options });

describe('what the runtime gets', () => {
  test('arguments are unchanged, the name is the full path, the exit code comes back', async () => {
    for (const role of roles) {
      const given = ['-', '7', '', '--version', 'a b', '-u', '--configuration=/x'];
      const { code, stdout } = await start(role, { argv0: 'anything' }, given);
      assert.deepEqual(facts(stdout, 'argv'), [at(`bin/${role}`), ...given]);
      assert.equal(code, 7);
    }
  });

  test('options of Node are refused wherever they stand, also those that it reads from our arguments', async () => {
    const nodes = ['--env-file=/x', '--env-file-if-exists=/x', '--experimental-config-file=/x'];
    for (const role of roles) {
      for (const option of [...nodes, '--experimental-default-config-file']) {
        for (const given of [[option], ['--configuration', option], ['-', '7', option]]) {
          const { code, stdout, stderr } = await start(role, {}, given);
          assert.deepEqual([code, stdout], [2, ''], `${role} ${given.join(' ')}`);
          assert.match(stderr, /is no option of this program/);
        }
      }
    }
    for (const option of ['--inspect', '-e', '--require=/x']) {
      assert.equal((await start('jacamar-auth', {}, [option])).code, 2);
    }
  });

  const hostile = {
    ...{
      LD_PRELOAD: '/none.so',
      LD_LIBRARY_PATH: '/none',
      LD_AUDIT: '/none.so',
      GLIBC_TUNABLES: 'x=y',
      GCONV_PATH: '/none',
    },
    ...{ NODE_OPTIONS: '--require /none', NODE_PATH: '/none', NODE_EXTRA_CA_CERTS: '/none', NODE_V8_COVERAGE: '/none' },
    ...{ NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_COMPILE_CACHE: '/none', NODE_DEBUG: 'tls', SSL_CERT_FILE: '/none' },
    ...{
      OPENSSL_CONF: '/none',
      UV_USE_IO_URING: '1',
      HTTPS_PROXY: 'http://none',
      TZ: '/none',
      PATH: '/none',
      LANG: 'xx',
    },
    ...{ BASH_ENV: '/none', ENV: '/none', IFS: 'x', CUSTOM_ENVIRONMENT: 'x', XCUSTOM_ENV_A: 'x', PYTHONPATH: '/none' },
  };
  const contract = {
    ...{
      BUILD_FAILURE_EXIT_CODE: '1',
      SYSTEM_FAILURE_EXIT_CODE: '2',
      BUILD_EXIT_CODE_FILE: '/f',
      JOB_RESPONSE_FILE: '/j',
    },
    ...{ CUSTOM_ENV_A: 'a=b', CUSTOM_ENV_: '', JACAMAR_CI_X: 'x' },
  };
  const personal = { HOME: '/h', USER: 'u', LOGNAME: 'u', SHELL: '/s', TERM: 't', NO_COLOR: '1', COLUMNS: '9' };
  const fixed = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };
  const { HOME, USER, LOGNAME, SHELL, TERM, NO_COLOR, COLUMNS } = personal;
  const kept: Record<Role, object> = {
    'jacamar-auth': {},
    jacamar: { HOME, USER, LOGNAME, SHELL },
    'jacamar-admin': { HOME, USER, LOGNAME, TERM, NO_COLOR, COLUMNS },
  };
  for (const role of roles) {
    test(`${role}: the environment is the allow list and nothing else`, async () => {
      const { stdout } = await start(role, { env: { ...hostile, ...contract, ...personal } });
      const expected = Object.entries({ ...contract, ...fixed, ...kept[role] }).map(
        ([name, value]) => `${name}=${value}`,
      );
      assert.deepEqual(facts(stdout, 'env').toSorted(), expected.toSorted());
    });
  }

  test('standard streams are valid whichever of them the caller closed', async () => {
    for (const closed of ['0', '1', '2', '0 1', '0 2', '1 2', '0 1 2']) {
      const report = at('report');
      const closing = closed
        .split(' ')
        .map((number) => `${number}<&-`)
        .join(' ');
      const script = `"$1" "$2" 3 ${closing}`;
      const { code } = await finished('sh', ['-c', script, 'sh', at('bin/jacamar-auth'), report]);
      assert.equal(code, 3);
      const open = facts(fs.readFileSync(report, 'utf8'), 'fd');
      assert.deepEqual(
        open.map((line) => line.split(' ')[0]),
        ['0', '1', '2'],
      );
      for (const number of closed.split(' ')) assert.ok(open.includes(`${number} /dev/null`));
    }
  });

  test('descriptors beyond them are closed', async () => {
    const script = 'exec 3</etc/passwd 4</etc/shadow 9<&0; exec "$1" -';
    const { stdout } = await finished('sh', ['-c', script, 'sh', at('bin/jacamar')]);
    assert.deepEqual(
      facts(stdout, 'fd').map((line) => line.split(' ')[0]),
      ['0', '1', '2'],
    );
  });

  test('signals are neither blocked nor ignored, and files are for the owner only', async () => {
    const script = 'trap "" HUP PIPE TERM USR1; umask 000; exec "$1" -';
    const { stdout } = await finished('sh', ['-c', script, 'sh', at('bin/jacamar-auth')]);
    const status = facts(stdout, 'status');
    for (const set of ['SigBlk', 'SigIgn']) assert.ok(status.includes(`${set}:\t${'0'.repeat(16)}`));
    assert.deepEqual(facts(stdout, 'umask'), ['077']);
  });
});

describe('what is not started', () => {
  let account: TestAccount;
  before(async () => {
    account = await createAccount();
  });
  after(() => account.remove());

  const spoilers: readonly [title: string, spoil: () => void, named: string, rule: RegExp][] = [
    [
      'a runtime that its group may write',
      () => fs.chmodSync(at('libexec/jacamar-runtime'), 0o775),
      'libexec/jacamar-runtime',
      /writable/,
    ],
    [
      'a runtime that all may write',
      () => fs.chmodSync(at('libexec/jacamar-runtime'), 0o757),
      'libexec/jacamar-runtime',
      /writable/,
    ],
    [
      'a runtime of another owner',
      () => fs.chownSync(at('libexec/jacamar-runtime'), account.uid, 0),
      'libexec/jacamar-runtime',
      /owned by root/,
    ],
    [
      'an addon of another owner',
      () => fs.chownSync(at('lib/credentials.node'), account.uid, 0),
      'lib/credentials.node',
      /owned by root/,
    ],
    [
      'a filter compiler that all may write',
      () => fs.chmodSync(at('lib/seccomp.node'), 0o666),
      'lib/seccomp.node',
      /writable/,
    ],
    ['an addon that all may write', () => fs.chmodSync(at('lib/lock.node'), 0o666), 'lib/lock.node', /writable/],
    ['a folder of another owner', () => fs.chownSync(at('lib'), account.uid, 0), 'lib', /owned by root/],
    ['a folder that its group may write', () => fs.chmodSync(at('libexec'), 0o775), 'libexec', /writable/],
    ['a prefix of another owner', () => fs.chownSync(prefix, account.uid, 0), '', /owned by root/],
    ['a prefix that all may write', () => fs.chmodSync(prefix, 0o777), '', /writable/],
    [
      'a link in place of the runtime',
      () => link('libexec/jacamar-runtime'),
      'libexec/jacamar-runtime',
      /regular file/,
    ],
    ['a link in place of a folder', () => link('lib'), 'lib', /directory/],
    ['a missing addon', () => fs.rmSync(at('lib/lock.node')), 'lib/lock.node', /No such file/],
    [
      'a runtime that is no program',
      () => fs.chmodSync(at('libexec/jacamar-runtime'), 0o644),
      'libexec/jacamar-runtime',
      /Permission denied/,
    ],
  ];
  function link(file: string): void {
    fs.renameSync(at(file), at(`${file}.moved`));
    fs.symlinkSync(at(`${file}.moved`), at(file));
  }
  for (const [title, spoil, named, rule] of spoilers) {
    test(title, async () => {
      spoil();
      const { code, stdout, stderr } = await start('jacamar-auth', { env: { SYSTEM_FAILURE_EXIT_CODE: '77' } });
      assert.deepEqual([code, stdout], [77, '']);
      assert.ok(stderr.startsWith(`jacamar-auth: ${at(named).replace(/\/$/, '')}: `), stderr);
      assert.match(stderr, rule);
      assert.equal(stderr.trim().split('\n').length, 1);
    });
  }

  test('a refusal ends with 2 when the runner names no code, or none that is one', async () => {
    fs.rmSync(at('libexec/jacamar-runtime'));
    for (const value of ['', '0', '256', '-1', 'x', '1x']) {
      const { code } = await start('jacamar-auth', { env: { SYSTEM_FAILURE_EXIT_CODE: value } });
      assert.equal(code, 2);
    }
  });

  test("somebody else's runtime, through a hard link of ours", async () => {
    const trap = fs.mkdtempSync(path.join(tmpdir(), 'jt_trap_'));
    try {
      for (const folder of ['bin', 'libexec', 'lib'])
        fs.cpSync(at(folder), path.join(trap, folder), { recursive: true });
      fs.rmSync(path.join(trap, 'bin/jacamar-auth'));
      fs.linkSync(at('bin/jacamar-auth'), path.join(trap, 'bin/jacamar-auth'));
      execFileSync('chown', ['-R', '--from=0', `${account.uid}`, path.join(trap, 'libexec'), path.join(trap, 'lib')]);
      fs.chownSync(trap, account.uid, account.gid);
      fs.chmodSync(trap, 0o755);
      const { code, stderr } = await finished(path.join(trap, 'bin/jacamar-auth'), ['-']);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(`^jacamar-auth: ${trap}: must be owned by root`));
    } finally {
      fs.rmSync(trap, { recursive: true });
    }
  });

  test('a launcher under another name or place than <prefix>/bin/<role>', async () => {
    fs.renameSync(at('bin/jacamar-auth'), at('bin/other'));
    const { code, stderr } = await finished(at('bin/other'), ['-'], { argv0: at('bin/jacamar-auth') });
    assert.equal(code, 2);
    assert.match(stderr, /must be installed as <prefix>\/bin\/jacamar-auth/);
  });
});

describe('without root', () => {
  let account: TestAccount;
  before(async () => {
    account = await createAccount();
  });
  after(() => account.remove());

  const asAccount = () => ({ uid: account.uid, gid: account.gid, cwd: '/' });
  const capabilityLines = (report: string) => facts(report, 'status').filter((line) => line.startsWith('Cap'));
  /** As the service account's deployment has it: root's, and executable by the service's group alone. */
  const setCapabilities = (role: Role, capabilities: string) => {
    fs.chownSync(at(`bin/${role}`), 0, account.gid);
    fs.chmodSync(at(`bin/${role}`), 0o750);
    execFileSync('/usr/sbin/setcap', [capabilities, at(`bin/${role}`)]);
  };

  test("an installation of root works, and one of the caller's own", async () => {
    assert.equal((await start('jacamar', asAccount())).code, 0);
    execFileSync('chown', ['-R', `${account.uid}`, prefix]);
    assert.equal((await start('jacamar', asAccount())).code, 0);
    assert.equal((await start('jacamar')).code, 2); // but not for root
  });

  test('jacamar-auth with file capabilities passes on exactly the two', async () => {
    setCapabilities('jacamar-auth', 'cap_setuid,cap_setgid,cap_chown=ep');
    const { stdout } = await start('jacamar-auth', asAccount());
    const lines = capabilityLines(stdout);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      assert.ok(lines.includes(`${set}:\t00000000000000c0`), stdout);
  });

  test('jacamar-auth with capabilities is not for everybody', async () => {
    setCapabilities('jacamar-auth', 'cap_setuid,cap_setgid=ep');
    fs.chmodSync(at('bin/jacamar-auth'), 0o755);
    execFileSync('/usr/sbin/setcap', ['cap_setuid,cap_setgid=ep', at('bin/jacamar-auth')]);
    const { code, stderr } = await start('jacamar-auth', asAccount());
    assert.equal(code, 2);
    assert.match(stderr, /must not be executable by others/);
  });

  test('jacamar-auth with one of the two passes on none', async () => {
    setCapabilities('jacamar-auth', 'cap_setuid=ep');
    const lines = capabilityLines((await start('jacamar-auth', asAccount())).stdout);
    for (const set of ['CapPrm', 'CapEff', 'CapAmb']) assert.ok(lines.includes(`${set}:\t${'0'.repeat(16)}`));
  });

  test('the other programs pass on none, not even what a service manager left them', async () => {
    for (const role of ['jacamar', 'jacamar-admin'] as const) {
      const raise = ['--reuid', `${account.uid}`, '--regid', `${account.gid}`, '--clear-groups'];
      const ambient = ['--inh-caps', '+setuid,+setgid', '--ambient-caps', '+setuid,+setgid'];
      const { stdout } = await finished('setpriv', [...raise, ...ambient, at(`bin/${role}`), '-']);
      const lines = capabilityLines(stdout);
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
        assert.ok(lines.includes(`${set}:\t${'0'.repeat(16)}`), stdout);
    }
  });

  test("with capabilities the caller's own installation is not trusted", async () => {
    setCapabilities('jacamar-auth', 'cap_setuid,cap_setgid=ep');
    fs.chownSync(at('libexec'), account.uid, account.gid);
    const { code, stderr } = await start('jacamar-auth', asAccount());
    assert.equal(code, 2);
    assert.match(stderr, /libexec: must be owned by root/);
  });
});

test('the launchers need no library of the host', () => {
  for (const role of roles) {
    const headers = execFileSync('readelf', ['-lWd', nativeFile(`bin/${role}`)], { encoding: 'utf8' });
    assert.doesNotMatch(headers, /NEEDED|INTERP/);
    assert.match(headers, /GNU_STACK.*RW /);
    assert.match(headers, /GNU_RELRO/);
  }
});
