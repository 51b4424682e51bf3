// What each way of giving up privilege asks of its surroundings, and what it starts.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MECHANISMS } from '../../src/jacamar-auth/downscope.ts';

const ALICE = { name: 'alice', uid: 1001, gid: 1001, home: '/home/alice', shell: '/bin/tcsh', groups: [1001] };
const JACAMAR = '/opt/jacamar/bin/jacamar';
const credentials = { capabilities: () => ({ permitted: '0'.repeat(16), effective: '', ambient: '' }) };
const wishes = { credentials, noNewPrivileges: false, hasFilter: false };
const argvOf = (mode: keyof typeof MECHANISMS, ...args: string[]) => {
  const mechanism = MECHANISMS[mode];
  return mechanism.plan({ mechanism, jacamar: JACAMAR, account: ALICE, noNewPrivileges: false }, args);
};

describe('the program that is started', () => {
  it('is jacamar itself for setuid and none', () => {
    for (const mode of ['setuid', 'none'] as const) {
      const { file, argv, env } = argvOf(mode, 'prepare');
      assert.equal(file, JACAMAR);
      assert.deepEqual(argv, [JACAMAR, '--no-auth', 'prepare']);
      assert.ok(env.includes('JACAMAR_CI_HANDOFF=stdin'));
    }
  });

  it('is sudo without su, which asks nothing and takes no name for an option', () => {
    const { file, argv, env, deathSignal } = argvOf('sudo', 'run', 'env-script', 'build_script');
    assert.equal(argv.join(' '), `${file} -n -u alice -- ${JACAMAR} --no-auth --piped run env-script build_script`);
    assert.ok(!env.some((entry) => entry.startsWith('JACAMAR_CI_HANDOFF=')));
    assert.equal(deathSignal, 0);
  });

  it("is su with jacamar in the place of the account's own shell, each argument by itself", () => {
    const { file, argv } = argvOf('su', 'run', 'env-script', 'a b$(id)');
    const expected = [
      '--login',
      '--shell',
      JACAMAR,
      '--',
      'alice',
      '--no-auth',
      '--piped',
      'run',
      'env-script',
      'a b$(id)',
    ];
    assert.deepEqual(argv, [file, ...expected]);
  });

  it('changes ids by us for setuid alone', () => {
    assert.deepEqual(argvOf('setuid').credentials, ALICE);
    for (const mode of ['sudo', 'su', 'none'] as const) assert.equal(argvOf(mode).credentials, undefined);
  });
});

describe('a deployment is refused', () => {
  const code = { code: 'ERR_CONFIG_DOWNSCOPE' };

  it('when a filter or no_new_privs would bind sudo or su', () => {
    assert.throws(() => MECHANISMS.sudo.check({ ...wishes, hasFilter: true }), code);
    assert.throws(() => MECHANISMS.su.check({ ...wishes, hasFilter: true }), code);
    assert.throws(() => MECHANISMS.sudo.check({ ...wishes, noNewPrivileges: true }), code);
  });

  it('for none as root, and for su and setuid without the rights of root', () => {
    const asUid = (uid: number, act: () => void) => {
      const original = process.geteuid;
      process.geteuid = () => uid;
      try {
        act();
      } finally {
        if (original !== undefined) process.geteuid = original;
      }
    };
    asUid(0, () => assert.throws(() => MECHANISMS.none.check(wishes), code));
    asUid(1000, () => {
      assert.throws(() => MECHANISMS.su.check(wishes), code);
      assert.throws(() => MECHANISMS.setuid.check(wishes), code);
      MECHANISMS.none.check(wishes);
    });
  });
});
