// Which names and accounts may run jobs. A name is refused by its form before anybody is asked about it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AuthorizationError, SystemFailure } from '../../src/contract/errors.ts';
import { type Account, type AccountRules, findAccount, lookUp, lookUpGid } from '../../src/jacamar-auth/account.ts';
import { loadBuiltCredentials } from '../native/built.ts';

const RULES: AccountRules = { minUid: 1000, allowGidZero: false };
const ALICE: Account = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  home: '/home/alice',
  shell: '/bin/bash',
  groups: [1001, 50],
};

function userDatabase(...accounts: Account[]) {
  const asked: string[] = [];
  const lookUpAccount = async (name: string) => {
    asked.push(name);
    return accounts.find((account) => account.name === name);
  };
  return { asked, lookUpAccount };
}

/** The database answers with this account whatever it is asked. */
const answering = (account: Account) => ({ lookUpAccount: async () => account });
const find = (changes: Partial<Account>, rules: Partial<AccountRules> = {}) =>
  findAccount('alice', answering({ ...ALICE, ...changes }), { ...RULES, ...rules });

const refused = (code: string) => ({
  name: 'AuthorizationError',
  code,
  publicMessage: 'This job is not authorized to run here.',
});

describe('names', () => {
  const bad = [
    '',
    ...['0', '1000', '65534', '4294967295', '-1', '+0', '00', '0x0', '1e3', '0day', '0x2b3bfa0', '4foo'],
    ...['-rf', '--help', '-u', '.', '..', 'a/b', '../root', 'a:b', 'a\\b', 'a b', 'a,b', 'a#b', "a'b", 'a$', '*'],
    ...['alice\n', 'alice\nroot', '\nalice', 'alice\0root', 'alice\x85', '\x1b[2Jalice', ' alice', 'alice '],
    ...[
      'аlice',
      '\u212aate',
      'ａｌｉｃｅ',
      'a\u0301lice',
      'alice\u202e',
      'alicé',
      'Alice',
      'ALICE',
      'alice@realm',
      'REALM\\alice',
    ],
    ...['a'.repeat(33), 'a'.repeat(256), 'a'.repeat(100_000)],
  ];
  for (const name of bad) {
    it(`${JSON.stringify(name).slice(0, 40)} is refused, and nobody is asked about it`, async () => {
      const database = userDatabase({ ...ALICE, name });
      await assert.rejects(findAccount(name, database, RULES), (error: AuthorizationError) => {
        assert.equal(error.code, 'ERR_ACCOUNT_NAME');
        assert.match(error.message, /^[\x20-\x7e\u00a0-\uffff]{1,2000}$/);
        return true;
      });
      assert.deepEqual(database.asked, []);
    });
  }

  for (const name of ['a', '_', 'alice', 'a.b-c_d', 'jt_0', 'a0', 'a'.repeat(32)]) {
    it(`${name} may be looked up`, async () => {
      const database = userDatabase({ ...ALICE, name });
      assert.equal((await findAccount(name, database, RULES)).name, name);
      assert.deepEqual(database.asked, [name]);
    });
  }

  it('of any form reach the database only as plain lower-case words', async () => {
    const strings = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[a-z0-9_.@/-]{0,40}$/));
    await fc.assert(
      fc.asyncProperty(strings, async (name) => {
        const database = userDatabase();
        await assert.rejects(findAccount(name, database, RULES), AuthorizationError);
        for (const asked of database.asked) assert.match(asked, /^[a-z_][a-z0-9_.-]{0,31}$/);
      }),
    );
  });
});

describe('accounts', () => {
  it('come from one look-up and are passed on whole', async () => {
    const database = userDatabase(ALICE);
    assert.deepEqual(await findAccount('alice', database, RULES), ALICE);
    assert.deepEqual(database.asked, ['alice']);
  });

  const table: [title: string, changes: Partial<Account>, code: string][] = [
    ['the database answers with another name', { name: 'bob' }, 'ERR_ACCOUNT_NAME'],
    ['the database answers with another spelling', { name: 'Alice' }, 'ERR_ACCOUNT_NAME'],
    ['the database answers with a realm', { name: 'alice@realm' }, 'ERR_ACCOUNT_NAME'],
    ['it is root under another name', { uid: 0 }, 'ERR_ACCOUNT_RESERVED'],
    ['its uid is -1', { uid: 0xffff_ffff }, 'ERR_ACCOUNT_RESERVED'],
    ['its uid is -2', { uid: 0xffff_fffe }, 'ERR_ACCOUNT_RESERVED'],
    ['its uid is 65534', { uid: 65534 }, 'ERR_ACCOUNT_RESERVED'],
    ['its uid is 65535', { uid: 65535 }, 'ERR_ACCOUNT_RESERVED'],
    ['its uid is below the minimum', { uid: 999 }, 'ERR_ACCOUNT_UID'],
    ['its primary group is 0', { gid: 0 }, 'ERR_ACCOUNT_GROUP'],
    ['one of its groups is 0', { groups: [1001, 0] }, 'ERR_ACCOUNT_GROUP'],
  ];
  for (const [title, changes, code] of table) {
    it(`are refused when ${title}`, async () => {
      await assert.rejects(find(changes), refused(code));
    });
  }

  it('with reserved uids are refused under every rule of the site', async () => {
    for (const uid of [0, 65534, 65535, 0xffff_ffff, 0xffff_fffe]) {
      await assert.rejects(find({ uid }, { minUid: 0, allowGidZero: true }), refused('ERR_ACCOUNT_RESERVED'));
    }
  });

  it('may have large uids, which keep their value', async () => {
    assert.equal((await find({ uid: 2 ** 31 + 5 })).uid, 2_147_483_653);
  });

  it('follow the minimum uid of the site, itself included', async () => {
    assert.equal((await find({ uid: 500 }, { minUid: 500 })).uid, 500);
    await assert.rejects(find({ uid: 499 }, { minUid: 500 }), refused('ERR_ACCOUNT_UID'));
  });

  it('may be in group 0 where the site says so', async () => {
    await find({ groups: [1001, 0] }, { allowGidZero: true });
    await assert.rejects(find({ gid: 0, groups: [0] }, { allowGidZero: true }), refused('ERR_ACCOUNT_GROUP'));
  });

  for (const home of [
    '',
    'home/alice',
    '.',
    '/',
    '//',
    '/.',
    '/home/..',
    '/home/../root',
    '/home/a:b',
    '/home/a\nb',
    '/home/a\0b',
    '/home/a\x1b[2J',
  ]) {
    it(`are refused with the home directory ${JSON.stringify(home)}`, async () => {
      await assert.rejects(find({ home }), refused('ERR_ACCOUNT_HOME'));
    });
  }

  it('may live anywhere else', async () => {
    for (const home of ['/home/alice', '/u/a..b', '/home/älice', '/nonexistent'])
      assert.equal((await find({ home })).home, home);
  });

  for (const shell of ['/usr/sbin/nologin', '/sbin/nologin', '/bin/false', 'nologin']) {
    it(`are refused with the shell ${shell}, unless the site lists it`, async () => {
      await assert.rejects(find({ shell }), refused('ERR_ACCOUNT_SHELL'));
      await assert.rejects(find({ shell }, { shellAllowlist: ['/bin/bash'] }), refused('ERR_ACCOUNT_SHELL'));
      assert.equal((await find({ shell }, { shellAllowlist: [shell] })).shell, shell);
    });
  }

  it('may have any other shell, or none', async () => {
    for (const shell of ['/bin/bash', '/opt/nologin/bash', '/bin/falsely', ''])
      assert.equal((await find({ shell })).shell, shell);
  });

  it('that do not exist are refused with the same public text as all others', async () => {
    await assert.rejects(findAccount('nobody-here', userDatabase(), RULES), refused('ERR_ACCOUNT_UNKNOWN'));
  });

  it('of this host are found by the real look-up', async () => {
    const credentials = loadBuiltCredentials();
    await assert.rejects(findAccount('root', credentials, RULES), refused('ERR_ACCOUNT_RESERVED'));
    await assert.rejects(findAccount('jt_no_such_account', credentials, RULES), refused('ERR_ACCOUNT_UNKNOWN'));
  });
});

describe('a name service', () => {
  it('that fails is a fault of the host, never "not found"', async () => {
    const lookUpAccount = () => Promise.reject(new Error('EIO'));
    await assert.rejects(findAccount('alice', { lookUpAccount }, RULES), (error) => {
      return error instanceof SystemFailure && error.code === 'ERR_NAME_SERVICE' && /EIO/.test(error.message);
    });
  });

  it('that does not answer is given up after ten seconds', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const pending = findAccount('alice', { lookUpAccount: () => new Promise(() => {}) }, RULES);
    const outcome = assert.rejects(pending, { name: 'SystemFailure', code: 'ERR_NAME_SERVICE' });
    let settled = false;
    pending.catch(() => {
      settled = true;
    });
    context.mock.timers.tick(9_999);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(settled, false);
    context.mock.timers.tick(1);
    await outcome;
  });

  it('is not asked about a name that none of its accounts could have, also where the account is not judged', async () => {
    const database = userDatabase(ALICE);
    for (const name of ['', 'Alice', '0', '-1', 'a/b', 'alice\n', 'a'.repeat(33)])
      assert.equal(await lookUp(name, database), undefined);
    assert.deepEqual(database.asked, []);
    assert.equal(await lookUp('alice', database), ALICE);
    assert.equal(await lookUp('bob', database), undefined);
  });

  it('that fails about a group is a fault of the host as well', async () => {
    const lookUpGroup = () => Promise.reject(new Error('EIO'));
    await assert.rejects(lookUpGid('hpc', { lookUpGroup }), { name: 'SystemFailure', code: 'ERR_NAME_SERVICE' });
    assert.equal(await lookUpGid('hpc', { lookUpGroup: async () => 50 }), 50);
    assert.equal(await lookUpGid('hpc', { lookUpGroup: async () => undefined }), undefined);
  });

  it('that answered leaves no timer behind', async (context) => {
    const cleared = context.mock.method(globalThis, 'clearTimeout');
    await find({});
    assert.equal(cleared.mock.callCount(), 1);
  });
});
