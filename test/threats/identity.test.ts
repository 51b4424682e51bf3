// Group A of the threat cases: who a login may become. Names from the network, and every kind of account that a user
// database can hold. Numbers are those of docs/threats.md.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { PrivateHost } from '../support/threats-host.ts';
import { allowed, auditLine, failed, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{ groups: 1 }] });
const { account } = world;
const host = await PrivateHost.open(world);

/** In the token alone: a runner could not even start us with some of these names. */
const naming = (login: string) => (facts: JobFacts) => world.gitlab.tokenFor(facts, { claims: { user_login: login } });
const named = (login: string, why: string) => ({ login, why });

test('case 1: an empty login is refused and does not mean "no switch"', async () => {
  await refused(world, { login: '' }, 'ERR_TOKEN_CLAIM', { reason: /claim user_login/ });
});

test('case 2: root is refused, whatever the lists say', async () => {
  const auth = { user_allowlist: ['root'], min_uid: 1, allow_gid_zero: true, shell_allowlist: ['/bin/bash'] };
  await refused(world, { login: 'root', options: { auth } }, 'ERR_ACCOUNT_RESERVED', { reason: /reserved uid 0/ });
});

const numbers = ['0', '1000', '65534', '4294967295', '-1', '+0', '00', '0x0', '1e3', String(account.uid)];
for (const login of numbers) {
  test(`case 3: login "${login === numbers.at(-1) ? "the account's uid" : login}" is never taken for a uid`, async () => {
    await refused(world, { login }, 'ERR_ACCOUNT_NAME', { reason: /no acceptable account name/ });
  });
}

for (const login of ['0day', '0x2b3bfa0', '4foo']) {
  test(`case 4: account "${login}", which exists, is not run as the number it starts with`, async () => {
    await host.addUser(login, 61301, 61301);
    await refused(world, await host.job({ login }), 'ERR_ACCOUNT_NAME');
  });
}

for (const login of ['-rf', '--help', '-u']) {
  test(`case 5: login "${login}" looks like an option and is refused`, async () => {
    await refused(world, { login }, 'ERR_ACCOUNT_NAME');
  });
}

for (const login of ['.', '..', 'a/b', '../root', 'a:b', 'a\\b', 'a b', 'a,b', 'a#b', "a'b"]) {
  test(`case 6: login "${login}" holds what no account name may hold`, async () => {
    await refused(world, { login }, 'ERR_ACCOUNT_NAME');
  });
}

const controls = ['\n', '\nroot', '\0root', '\u0085', '\u001b[2J'].map((tail) => `${account.name}${tail}`);
for (const login of [...controls, `\u001b[2J${account.name}`]) {
  const shown = JSON.stringify(login.replace(account.name, 'alice'));
  test(`case 7: login ${shown} is refused, and the log holds no control character of it`, async () => {
    await refused(world, { token: naming(login) }, 'ERR_ACCOUNT_NAME', { reason: /\\u00[0-9a-f]{2}/ });
    for (const line of (await readFile(world.logFile, 'utf8')).trimEnd().split('\n')) {
      assert.doesNotMatch(line, /\p{Cc}/u);
      JSON.parse(line, (_, value) => assert.doesNotMatch(String(value), /\p{Cc}/u) ?? value);
    }
  });
}

const unicode = [
  named('\u0430lice', 'a Cyrillic letter'),
  named('\u212aate', 'the Kelvin sign, which lower-cases to k'),
  named('\uff41lice', 'a full-width letter'),
  named('alice\u0301', 'a combining mark'),
  named('alice\u202eecila', 'a bidirectional override'),
  named('ALICE', 'upper case'),
];
for (const { login, why } of unicode) {
  test(`case 8: a login with ${why} is refused, not folded`, async () => {
    await host.addUser('alice', 61302, 61302);
    await host.addUser('kate', 61303, 61303);
    await refused(world, await host.job({ login }), 'ERR_ACCOUNT_NAME');
  });
}

const long = { 33: 'ERR_ACCOUNT_NAME', 256: 'ERR_TOKEN_CLAIM', 90000: 'ERR_TOKEN_FORM' };
for (const [length, code] of Object.entries(long)) {
  test(`case 9: a login of ${length} characters is refused before the user database is asked`, async () => {
    const login = 'a'.repeat(Number(length));
    await host.services('jtname');
    await host.answer({ asked: 'jt_control', kind: 'stopped' }, { asked: login.slice(0, 60), kind: 'stopped' });
    await failed(world, await host.job({ login: 'jt_control' }), 'ERR_NAME_SERVICE');
    await refused(world, await host.job({ token: naming(login) }), code);
  });
}

test('the services of the host are those of the machine again', () => host.services('files jtname'));

test('case 10: an account that answers to a name in another case is refused', async () => {
  await host.answer({ asked: 'jt_alice', name: 'JT_Alice' });
  const reason = /answers "JT_Alice" when asked for "jt_alice"/;
  await refused(world, await host.job({ login: 'jt_alice' }), 'ERR_ACCOUNT_NAME', { reason });
  await host.answer({ asked: 'JT_Bob', name: 'jt_bob' });
  const auth = { user_blocklist: ['jt_bob'] };
  await refused(world, await host.job({ login: 'JT_Bob', options: { auth } }), 'ERR_ACCOUNT_NAME');
});

test('case 11: a name that the directory completes with a realm, or strips of it, is refused', async () => {
  await host.answer({ asked: 'jt_carol', name: 'jt_carol@realm' }, { asked: 'jt_dave@realm', name: 'jt_dave' });
  const reason = /answers "jt_carol@realm" when asked for "jt_carol"/;
  await refused(world, await host.job({ login: 'jt_carol' }), 'ERR_ACCOUNT_NAME', { reason });
  await refused(world, await host.job({ login: 'jt_dave@realm' }), 'ERR_ACCOUNT_NAME');
});

test('case 12: uid 0 under another name is refused for its uid', async () => {
  await host.addUser('jt_toor', 0, 61304);
  await refused(world, await host.job({ login: 'jt_toor' }), 'ERR_ACCOUNT_RESERVED', { reason: /reserved uid 0/ });
});

for (const uid of [4294967295, 4294967294, 65534, 65535]) {
  test(`case 13: the reserved uid ${uid} is refused`, async () => {
    await host.answer({ asked: `jt_r${uid}`, uid });
    await refused(world, await host.job({ login: `jt_r${uid}` }), 'ERR_ACCOUNT_RESERVED');
  });
}

test('case 13: a uid above 2^31 is an unsigned number and stays the same to the end', async () => {
  await host.answer({ asked: 'jt_large', uid: 3_000_000_001, gid: 3_000_000_002 });
  const played = await world.play(await host.job({ login: 'jt_large', script: 'id -u; id -g' }));
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^3000000001\n3000000002$/m);
});

test('case 14: an account below auth.min_uid is refused', async () => {
  await host.answer({ asked: 'jt_low', uid: 999 }, { asked: 'jt_high', uid: 4999 });
  await refused(world, await host.job({ login: 'jt_low' }), 'ERR_ACCOUNT_UID', {
    reason: /uid 999, below auth.min_uid 1000/,
  });
  const options = { auth: { min_uid: 5000 } };
  await refused(world, await host.job({ login: 'jt_high', options }), 'ERR_ACCOUNT_UID');
  await allowed(world, await host.job({ login: 'jt_high', options: { auth: { min_uid: 4999 } } }));
});

test('case 15: group 0 among the groups is refused unless allow_gid_zero is set', async () => {
  await host.answer({ asked: 'jt_member' });
  const group = await readFile(host.at('/etc/group'), 'utf8');
  await writeFile(host.at('/etc/group'), group.replace(/^root:x:0:.*$/m, 'root:x:0:jt_member'));
  await refused(world, await host.job({ login: 'jt_member' }), 'ERR_ACCOUNT_GROUP', { reason: /in group 0/ });
  await allowed(world, await host.job({ login: 'jt_member', options: { auth: { allow_gid_zero: true } } }));
});

test('case 15: group 0 as primary group is refused in any case', async () => {
  await host.answer({ asked: 'jt_wheel', gid: 0 });
  for (const allow_gid_zero of [false, true]) {
    await refused(
      world,
      await host.job({ login: 'jt_wheel', options: { auth: { allow_gid_zero } } }),
      'ERR_ACCOUNT_GROUP',
    );
  }
});

test('case 16: a primary group without an entry is used by its number', async () => {
  await host.answer({ asked: 'jt_groupless', uid: 61305, gid: 61999 });
  const played = await world.play(await host.job({ login: 'jt_groupless', script: 'id -g' }));
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^61999$/m);
});

for (const count of [0, 1, 17, 1000, 65_535]) {
  test(`case 17: an account with ${count} further groups has all of them`, async () => {
    const login = `jt_in${count}`;
    await host.answer({ asked: login, uid: 61_400 + (count % 97), gid: 61_400 });
    const before = await readFile(host.at('/etc/group'), 'utf8');
    await host.addGroups(Array.from({ length: count }, (_, n) => `jt_g${n}:x:${100_000 + n}:${login}`));
    const job = await (await world.stages(await host.job({ login }))).configured();
    const { stdout } = await job.run('sed -n "s/^Groups:[[:space:]]*//p" /proc/self/status');
    await job.cleanup();
    await writeFile(host.at('/etc/group'), before);
    const groups = stdout.trim().split(' ').map(Number);
    const expected = [61_400, ...Array.from({ length: count }, (_, n) => 100_000 + n)];
    assert.equal(groups.length, expected.length);
    assert.ok(groups.toSorted((a, b) => a - b).join() === expected.join(), 'exactly these');
  });
}

test('case 17: more groups than the kernel takes are a fault and are never cut', async () => {
  const before = await readFile(host.at('/etc/group'), 'utf8');
  await host.answer({ asked: 'jt_toomany' });
  await host.addGroups(Array.from({ length: 65_600 }, (_, n) => `jt_g${n}:x:${100_000 + n}:jt_toomany`));
  await failed(world, await host.job({ login: 'jt_toomany' }), 'ERR_NAME_SERVICE');
  await writeFile(host.at('/etc/group'), before);
});

test('case 17: a group line longer than 64 kB counts for its last member too', async () => {
  await host.answer({ asked: 'jt_last', uid: 61306 });
  const members = Array.from({ length: 9000 }, (_, n) => `jt_person_${n}`);
  await host.addGroups([`jt_crowd:x:61998:${members.join(',')},jt_last`]);
  const played = await world.play(await host.job({ login: 'jt_last', script: 'id -G' }));
  assert.match(played.jobLog, /^61234 61998$/m);
});

test('case 18: a caller that is in many groups leaves none of them to the job', async () => {
  const driver = world.at('in-all-groups');
  const program = world.installation.program('jacamar-auth');
  const groups = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 42, 61234, account.gid].join(',');
  await writeFile(driver, `#!/bin/sh\nexec setpriv --groups ${groups} '${program}' "$@"\n`, { mode: 0o700 });
  const configuration = await world.configure();
  const { driverStages } = await import('../../src/jacamar-admin/runner-settings.ts');
  const stages = driverStages({ executable: driver, configuration });
  const script = 'echo "groups are $(id -G)"; grep ^Groups: /proc/self/status';
  const played = await world.play({ configuration, settings: { stages }, script });
  assert.equal(played.verdict, 'success', played.jobLog);
  const [, listed = ''] = /^groups are (.*)$/m.exec(played.jobLog) ?? [];
  const fromDatabase = await groupsOf(account.name);
  assert.deepEqual(listed.split(' ').map(Number).toSorted(), fromDatabase);
  const [, inKernel = ''] = /^Groups:\s*(.*)$/m.exec(played.jobLog) ?? [];
  assert.deepEqual(inKernel.trim().split(' ').map(Number).toSorted(), fromDatabase);
});

test('case 19: one look-up gives uid, groups and home; a second answer changes nothing', async () => {
  await host.answer({ asked: 'jt_flip', uid: 61307 }, { asked: 'jt_flip', uid: 61308, home: '/elsewhere' });
  const job = await world.stages(await host.job({ login: 'jt_flip' }));
  const { outcome } = await job.config();
  assert.equal(outcome.kind, 'success');
  const log = await job.log();
  assert.equal(auditLine(log)['uid'], 61307);
  assert.equal(log.find(({ msg }) => msg === 'jacamar started')?.details?.['uid'], 61307);
  await job.cleanup();
});

test('case 19: an account whose uid is another one at a later stage is refused there', async () => {
  await host.answer({ asked: 'jt_changed', uid: 61309 });
  const job = await (await world.stages(await host.job({ login: 'jt_changed' }))).configured();
  const answers = await readFile(host.at('/etc/jt_answers'), 'utf8');
  await writeFile(
    host.at('/etc/jt_answers'),
    answers.replace(/^jt_changed\|.*$/m, 'jt_changed|entry|jt_changed|61310|61234|/x|/bin/sh'),
  );
  const { outcome, stdout } = await job.run('id -u');
  assert.equal(outcome.kind, 'build-failure');
  assert.equal(stdout, '');
  assert.equal((await job.log()).find(({ msg }) => msg === 'job refused')?.details?.['code'], 'ERR_ACCOUNT_CHANGED');
  await job.cleanup();
});

test('case 20: an account removed between config and run is refused, and cleaned up after by its recorded uid', async () => {
  await host.addUser('jt_leaver', 61311, 61311);
  const job = await (await world.stages(await host.job({ login: 'jt_leaver' }))).configured();
  await host.removeUser('jt_leaver');
  const { outcome, stdout } = await job.run('id -u');
  assert.equal(outcome.kind, 'build-failure');
  assert.equal(stdout, '');
  const before = (await job.log()).length;
  assert.equal((await job.cleanup()).outcome.kind, 'success');
  const log = (await job.log()).slice(before);
  assert.equal(auditLine(log)['rule'], 'record');
  assert.equal(log.find(({ msg }) => msg === 'jacamar started')?.details?.['uid'], 61311);
});

for (const [home, what] of [
  ['home/x', 'a relative path'],
  ['', 'nothing'],
  ['/home/../etc', 'a path with ".."'],
  ['/', 'the root directory'],
  ['/home/a:b', 'a path with a colon'],
  ['/home/a\\nb', 'a path with a line break'],
  ['//', 'the root directory, spelled otherwise'],
] as const) {
  test(`case 21: an account whose home is ${what} is refused`, async () => {
    const login = `jt_h${Buffer.from(home).toString('hex')}`;
    await host.answer({ asked: login, home });
    await refused(world, await host.job({ login, options: { general: { data_dir: '$HOME' } } }), 'ERR_ACCOUNT_HOME');
  });
}

test('case 21: a home that does not exist ends the job with a text, and is not made by root', async () => {
  const homeless = await world.addAccount();
  await rm(homeless.home, { recursive: true });
  const played = await world.play({ login: homeless.name });
  assert.notEqual(played.verdict, 'success');
  await assert.rejects(readFile(homeless.home), { code: 'ENOENT' });
  assert.doesNotMatch(played.jobLog, /internal error/);
});

for (const shell of ['/usr/sbin/nologin', '/sbin/nologin', '/bin/false', '/usr/bin/false']) {
  test(`case 22: an account with the shell ${shell} is refused unless shell_allowlist names that`, async () => {
    const login = `jt_s${Buffer.from(shell).toString('hex').slice(2, 30)}`;
    await host.answer({ asked: login, shell });
    await refused(world, await host.job({ login }), 'ERR_ACCOUNT_SHELL');
    await refused(
      world,
      await host.job({ login, options: { auth: { shell_allowlist: ['/bin/bash'] } } }),
      'ERR_ACCOUNT_SHELL',
    );
    await allowed(world, await host.job({ login, options: { auth: { shell_allowlist: ['/bin/bash', shell] } } }));
  });
}

test('case 22: a shell that is not on shell_allowlist is refused, compared byte for byte', async () => {
  const list = (...shells: string[]): JobWishes => ({ options: { auth: { shell_allowlist: shells } } });
  await refused(world, list('/bin/sh', '/bin/bash2', '/BIN/BASH'), 'ERR_SHELL_NOT_ALLOWED', {
    reason: /shell "\/bin\/bash"/,
  });
  await allowed(world, list('/bin/sh', '/bin/bash'));
});

const faults = { again: 'tries to answer later', stopped: 'is not there' } as const;
for (const [kind, what] of Object.entries(faults)) {
  test(`a name service that ${what} is a fault of the site and no "not found"`, async () => {
    await host.answer({ asked: `jt_${kind}`, kind: kind as keyof typeof faults });
    const { record } = await failed(world, await host.job({ login: `jt_${kind}` }), 'ERR_NAME_SERVICE');
    assert.match(record.stderr, /^The user database of this host does not answer; trying again later may help\./);
  });
}

test('a name service that never answers ends the stage after ten seconds', async () => {
  await host.answer({ asked: 'jt_slow', kind: 'slow' });
  const { record } = await failed(
    world,
    await host.job({ login: 'jt_slow' }),
    'ERR_NAME_SERVICE',
    /no answer within 10 s/,
  );
  assert.ok(record.durationMs < 60_000, `${record.durationMs} ms`);
});

async function groupsOf(name: string): Promise<number[]> {
  const { execFileSync } = await import('node:child_process');
  return execFileSync('id', ['-G', name], { encoding: 'utf8' }).trim().split(' ').map(Number).toSorted();
}
