// From login to account name, and which logins are named like bots.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findMapping, looksLikeBot, type Mapping } from '../../src/jacamar-auth/mapping.ts';
import { verifiedClaims } from '../support/tokens.ts';

describe('bots by name', () => {
  const bots = [
    ...['project_1_bot', 'project_12_bot_0123456789abcdef', 'project_12_bot3', 'group_7_bot_x', 'group_7_bot1'],
    ...['service_account_x', 'service_account_group_1_abc', 'ghost', 'support-bot', 'alert-bot'],
  ];
  for (const login of bots) it(`${login} is one`, () => assert.equal(looksLikeBot(login), true));
  for (const login of [
    'alice',
    'bot',
    'robot',
    'ghostwriter',
    'my_project_1_bot',
    'project_bot',
    'service',
    'a-support-bot',
    '',
  ]) {
    it(`${JSON.stringify(login)} is none`, () => assert.equal(looksLikeBot(login), false));
  }
});

describe('the mapping table', () => {
  const find = (...mappings: Mapping[]) => findMapping(verifiedClaims(), mappings)?.account;

  it('says nothing about whom it does not name', () => {
    assert.equal(find(), undefined);
    assert.equal(find({ login: 'bob', account: 'x' }, { userId: 43, account: 'x' }), undefined);
    assert.equal(
      find({ login: 'Alice', account: 'x' }, { login: 'alice ', account: 'x' }, { account: 'x' }),
      undefined,
    );
  });

  it('names by login, by user id, or by both', () => {
    assert.equal(find({ login: 'alice', account: 'a' }), 'a');
    assert.equal(find({ userId: 42, account: 'a' }), 'a');
    assert.equal(find({ login: 'alice', userId: 42, account: 'a' }), 'a');
    assert.equal(find({ login: 'alice', userId: 43, account: 'a' }), undefined);
    assert.equal(find({ login: 'bob', userId: 42, account: 'a' }), undefined);
  });

  it('decides by its first entry that covers the project', () => {
    const entries = [
      { login: 'alice', account: 'a', projects: ['other/project'] },
      { login: 'alice', account: 'b', projects: ['group/project'] },
      { login: 'alice', account: 'c' },
    ];
    assert.equal(find(...entries), 'b');
    assert.equal(find(...entries.toReversed()), 'c');
  });

  it('refuses a user whom it names for other projects only', () => {
    for (const project of ['other/project', 'group', 'group/project2', 'Group/project']) {
      assert.throws(() => find({ login: 'alice', account: 'a', projects: [project] }), { code: 'ERR_MAPPING_PROJECT' });
    }
  });

  it('goes by the project that runs the job, not by a fork', () => {
    const claims = verifiedClaims({ project_path: 'bob/fork', job_project_path: 'group/project' });
    assert.equal(findMapping(claims, [{ login: 'alice', account: 'a', projects: ['group/project'] }])?.account, 'a');
    assert.throws(() => findMapping(claims, [{ login: 'alice', account: 'a', projects: ['bob/fork'] }]));
  });
});
