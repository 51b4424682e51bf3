// The credentials of a job: the account's own, complete, and nothing of whoever started us.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { openWorld } from '../support/world.ts';

// The runner's own groups: root's, and two that are nobody's.
const ours = process.getgroups?.() ?? [];
before(() => process.setgroups?.([0, 4, 6, 987_654, 987_655]));
after(() => process.setgroups?.(ours));

const world = await openWorld({ accounts: [{ groups: 3 }] });
const { account } = world;
const [, second = '', third = ''] = account.groups;
const numbers = (list: string) =>
  list
    .trim()
    .split(/\s+/)
    .map(Number)
    .toSorted((a, b) => a - b);
const expected = numbers(execFileSync('id', ['-G', account.name], { encoding: 'utf8' }));

test("a job has all groups of its account and none of the runner's", async () => {
  assert.equal(expected.length, 4);
  const job = await (await world.stages()).configured();
  const { stdout } = await job.run('id -G; id -u; id -g; grep -E "^(Uid|Gid|Groups):" /proc/self/status');
  const [list = '', uid, gid, uids = '', gids = '', kernel = ''] = stdout.split('\n');
  assert.deepEqual(numbers(list), expected);
  assert.deepEqual(numbers(kernel.replace('Groups:', '')), expected);
  assert.deepEqual([Number(uid), Number(gid)], [account.uid, account.gid]);
  assert.deepEqual(numbers(uids.replace('Uid:', '')), Array(4).fill(account.uid));
  assert.deepEqual(numbers(gids.replace('Gid:', '')), Array(4).fill(account.gid));
});

test('a job has no capability of any kind', async () => {
  const job = await (await world.stages()).configured();
  const { stdout } = await job.run('grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status');
  assert.equal(stdout.match(/:\s+0{16}$/gm)?.length, 4, stdout);
});

test('no_new_privs is set when the site wants it, and only then', async () => {
  for (const wanted of [true, false]) {
    const job = await (await world.stages({ options: { auth: { no_new_privs: wanted } } })).configured();
    const { stdout } = await job.run('grep NoNewPrivs /proc/self/status');
    assert.match(stdout, new RegExp(`:\\s+${Number(wanted)}$`, 'm'));
  }
});

test('groups_blocklist and groups_allowlist see supplementary groups', async () => {
  const blocked = await world.play({ options: { auth: { groups_blocklist: [second] } } });
  assert.equal(blocked.verdict, 'build-failure');
  const allowed = await world.play({ options: { auth: { groups_allowlist: [third] } } });
  assert.equal(allowed.verdict, 'success', allowed.jobLog);
});
