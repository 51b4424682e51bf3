import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { createAccount } from '../support/accounts.ts';

test('a test account is a person with a private home, and leaves nothing behind', async () => {
  const account = await createAccount({ groups: 2 });
  assert.match(account.name, /^jt_[0-9a-f]+$/);
  assert.ok(account.uid >= 1000);
  assert.equal(statSync(account.home).mode & 0o777, 0o700);
  const { stdout } = spawnSync('id', ['-Gn', account.name], { encoding: 'utf8' });
  assert.deepEqual(stdout.trim().split(' '), [account.name, ...account.groups]);
  const child = spawn('sleep', ['600'], { uid: account.uid, gid: account.gid });
  const ended = once(child, 'exit');
  await account.remove();
  // Not by the user id, which may belong to the account of another test by now.
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  assert.equal(existsSync(account.home), false);
  assert.equal(spawnSync('getent', ['passwd', account.name]).status, 2);
  for (const group of [account.name, ...account.groups]) {
    assert.equal(spawnSync('getent', ['group', group]).status, 2, group);
  }
  await account.remove();
});

test('accounts can be made beside each other', async () => {
  const accounts = await Promise.all([createAccount(), createAccount(), createAccount({ shell: '/bin/sh' })]);
  assert.equal(new Set(accounts.map(({ uid }) => uid)).size, 3);
  await Promise.all(accounts.map((account) => account.remove()));
});
