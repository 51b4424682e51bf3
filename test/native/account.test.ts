// Looking up accounts: real ones, and a name service that fails in every way it can.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createAccount, type TestAccount } from '../support/accounts.ts';
import { addonFile, type Finished, finished, loadBuiltCredentials, nativeFile } from './built.ts';

const credentials = loadBuiltCredentials();

describe('lookUpAccount', () => {
  let account: TestAccount;
  before(async () => {
    account = await createAccount({ groups: 3, shell: '/bin/sh' });
  });
  after(() => account.remove());

  test('gives the entry and every group of an account', async () => {
    const found = await credentials.lookUpAccount(account.name);
    assert.ok(found);
    const { stdout } = await finished('id', ['-G', account.name]);
    const { groups, ...entry } = found;
    const { name, uid, gid, home } = account;
    assert.deepEqual(entry, { name, uid, gid, home, shell: '/bin/sh' });
    assert.equal(groups.length, 4);
    assert.deepEqual(groups.toSorted(), stdout.trim().split(' ').map(Number).toSorted());
  });

  test('gives undefined for a name that does not exist', async () => {
    assert.equal(await credentials.lookUpAccount('jt_does_not_exist'), undefined);
  });

  test('never takes a name for a number', async () => {
    assert.equal(await credentials.lookUpAccount('0'), undefined);
    assert.equal(await credentials.lookUpAccount(String(account.uid)), undefined);
  });

  test('refuses anything but text without NUL', () => {
    assert.throws(() => credentials.lookUpAccount('root\0x'), RangeError);
    assert.throws(() => credentials.lookUpAccount(0 as unknown as string), TypeError);
    assert.throws(() => (credentials.lookUpAccount as () => unknown)(), TypeError);
  });
});

describe('lookUpGroup', () => {
  test('gives the number of a group, and undefined for a name that does not exist', async () => {
    const { stdout } = await finished('getent', ['group', 'tty']);
    assert.equal(await credentials.lookUpGroup('tty'), Number(stdout.split(':')[2]));
    assert.equal(await credentials.lookUpGroup('jt_does_not_exist'), undefined);
    assert.equal(await credentials.lookUpGroup('0'), undefined);
  });

  test('refuses anything but text without NUL', () => {
    assert.throws(() => credentials.lookUpGroup('root\0x'), RangeError);
    assert.throws(() => credentials.lookUpGroup(0 as unknown as string), TypeError);
  });
});

describe('look-ups with a failing name service', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'jt_nss_'));
    writeFileSync(path.join(directory, 'nsswitch.conf'), 'passwd: jtfault\ngroup: jtfault\n');
  });
  after(() => rmSync(directory, { recursive: true }));

  /** Runs `code` where /etc/nsswitch.conf names nothing but the faulty service. */
  function inNamespace(code: string): Promise<Finished> {
    const load = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(addonFile('credentials'))}); const c = m.exports;`;
    const shell = 'mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"';
    const args = ['--mount', 'sh', '-c', shell, 'sh', path.join(directory, 'nsswitch.conf')];
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LD_LIBRARY_PATH: path.dirname(nativeFile('libnss_jtfault.so.2')),
    };
    return finished('unshare', [...args, process.execPath, '-e', load + code], { env });
  }

  async function lookUp(name: string): Promise<unknown> {
    const print = `c.lookUpAccount(${JSON.stringify(name)}).then(
      (found) => console.log(JSON.stringify(found && { ...found, groups: found.groups.length })),
      ({ code, errno, syscall, step }) => console.log(JSON.stringify({ code, errno, syscall, step })));`;
    const { stdout, stderr } = await inNamespace(print);
    assert.equal(stderr, '');
    return stdout.trim() === 'undefined' ? undefined : JSON.parse(stdout);
  }

  const failure = (code: string, errno: number) => ({
    ...{ code, errno: -errno },
    ...{ syscall: 'getpwnam_r', step: 'look up the account' },
  });
  const groupFailure = (code: string, errno: number) => ({
    ...{ code, errno: -errno },
    ...{ syscall: 'getgrouplist', step: 'list the groups' },
  });
  const entry = (name: string, groups: number) => {
    return { name, uid: 61234, gid: 61234, home: '/x', shell: '/x', groups };
  };
  const cases: readonly [title: string, name: string, expected: unknown][] = [
    ['takes "not found" for an answer', 'jt_nobody', undefined],
    ['does not take "try again" for "not found"', 'jt_again', failure('EAGAIN', 11)],
    ['does not take a service that is not there for "not found"', 'jt_stopped', failure('ENOENT', 2)],
    ['asks again after an interruption', 'jt_interrupted', entry('jt_interrupted', 1)],
    ['makes room for an entry of a million bytes', 'jt_large', entry('jt_large', 1)],
    ['gives up on an entry that never fits', 'jt_endless', failure('ERANGE', 34)],
    ['lists as many groups as the kernel takes', 'jt_many', entry('jt_many', 65536)],
    ['refuses a group list that would have to be cut', 'jt_excess', groupFailure('E2BIG', 7)],
    ['refuses a group list read without descriptors', 'jt_starved', groupFailure('EMFILE', 24)],
  ];
  for (const [title, name, expected] of cases) {
    test(title, async () => assert.deepEqual(await lookUp(name), expected));
  }

  for (const [name, expected] of [
    ['jt_nobody', 'undefined'],
    ['jt_again', 'EAGAIN getgrnam_r'],
    ['jt_stopped', 'ENOENT getgrnam_r'],
    ['jt_large', '61234'],
  ] as const) {
    test(`tells a group that is missing from a service that fails: ${name}`, async () => {
      const { stdout } = await inNamespace(
        `c.lookUpGroup('${name}').then((gid) => console.log(gid), (e) => console.log(e.code, e.syscall));`,
      );
      assert.equal(stdout, `${expected}\n`);
    });
  }

  test('keeps neither the event loop busy nor the process from ending while it hangs', async () => {
    const { code } = await inNamespace(`c.lookUpAccount('jt_slow'); setTimeout(() => process.exit(5), 100);`);
    assert.equal(code, 5);
  });

  test('answers others while one look-up hangs', async () => {
    const { stdout } = await inNamespace(
      `for (let i = 0; i < 20; i++) c.lookUpAccount('jt_slow'); c.lookUpAccount('jt_x').then((f) => { console.log(f.uid); process.exit(); });`,
    );
    assert.equal(stdout, '61234\n');
  });
});
