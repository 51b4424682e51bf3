// What is said of a decision, to whom, and what must never be said: SR-57 to SR-63.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { ask, auditLine, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { gitlab, account } = world;
const [, other = account] = world.accounts;

const FIELDS = ['result', 'job', 'project', 'user_id', 'login', 'account', 'uid', 'stage', 'rule'];

test('each stage that decides writes one audit line with every field', async () => {
  const played = await world.play();
  const lines = played.log.filter(({ msg }) => msg === 'authorization decision');
  const deciding = played.stages.length;
  assert.equal(lines.length, deciding);
  for (const { level, details = {} } of lines) {
    assert.equal(level, 'INFO');
    assert.deepEqual(Object.keys(details).toSorted(), FIELDS.toSorted());
    const { result, job, project, user_id, login, uid } = details;
    assert.deepEqual(
      [result, job, project, user_id, login, uid],
      ['allowed', played.facts.id, 'demo/hello', '7', account.name, account.uid],
    );
    assert.equal(details['account'], account.name);
  }
  const stages = lines.map(({ details }) => details?.['stage']);
  assert.deepEqual([...new Set(stages)], ['config', 'prepare', 'run', 'cleanup']);
  assert.equal(lines.at(0)?.details?.['rule'], 'no allowlist');
  assert.equal(lines.at(-1)?.details?.['rule'], 'record');
});

const refusals: [string, JobWishes, Record<string, unknown>][] = [
  ['a job without a token', { token: null }, { rule: 'ERR_TOKEN_MISSING', user_id: '7', project: 'demo/hello' }],
  ['an unknown account', { login: 'jt_not_here' }, { rule: 'ERR_ACCOUNT_UNKNOWN', login: 'jt_not_here' }],
  ['root', { login: 'root' }, { rule: 'ERR_ACCOUNT_RESERVED', login: 'root' }],
  [
    'an account on a blocklist',
    { options: { auth: { user_blocklist: [account.name] } } },
    { rule: 'ERR_USER_BLOCKED', account: account.name, uid: account.uid, login: account.name },
  ],
  [
    'a service account',
    { answer: { bot: true } },
    { rule: 'ERR_BOT_ACCOUNT', account: account.name, uid: account.uid },
  ],
];
for (const [what, wishes, expected] of refusals) {
  test(`the audit line of a refusal tells what was known by then: ${what}`, async () => {
    const audit = await refused(world, wishes, String(expected['rule']), { told: /not authorized to run here/ });
    for (const [field, value] of Object.entries(expected)) assert.equal(audit[field], value, field);
    assert.equal(audit['stage'], 'config');
  });
}

test('a refusal for different reasons reads the same to the user, who cannot tell which accounts exist', async () => {
  const auth = { user_blocklist: [other.name], user_allowlist: [account.name] };
  const texts = new Set<string>();
  for (const login of ['jt_not_here', other.name, 'root', 'daemon', 'nobody', 'UPPER', '../x']) {
    const { record } = await ask(world, { login, options: { auth } });
    texts.add(record.stderr.replace(/[0-9a-f]{8}/, 'REFERENCE'));
  }
  assert.deepEqual([...texts], ['This job is not authorized to run here. (reference REFERENCE)\n']);
});

test('the reference that the user can quote leads to rule, values and list entry in the log', async () => {
  const { record, log } = await ask(world, { options: { auth: { user_blocklist: [account.name] } } });
  const [, reference] = /reference ([0-9a-f]{8})/.exec(record.stderr) ?? [];
  const line = log.find(({ details }) => details?.['reference'] === reference);
  assert.equal(line?.details?.['code'], 'ERR_USER_BLOCKED');
  assert.equal(line?.details?.['error'], `user_blocklist names "${account.name}"`);
});

test('with -u the user is shown code and reason, after a warning, and no token', async () => {
  const stolen = gitlab.tokenFor((await ask(world, {})).job.facts);
  const { record } = await ask(world, { token: () => stolen, driverOptions: ['-u'] });
  assert.match(record.stderr, /^Warning: --unobfuscated shows /);
  assert.match(record.stderr, /^ERR_TOKEN_OF_ANOTHER_JOB: the token was made for another job: job_id is/m);
  assert.ok(!record.stderr.includes(stolen.slice(0, 40)));
  assert.ok(!record.stderr.includes(stolen.split('.')[2] ?? '?'));
});

test('no token, job token or variable of a job reaches the log or standard error, however the job ends', async () => {
  const secret = 'S3CRET-of-the-job';
  const hostile: JobWishes[] = [
    {},
    { token: () => `${secret}.not.a-token` },
    { token: () => `eyJ${secret}` },
    { token: (facts) => gitlab.tokenFor({ ...facts, id: 1 }) },
    { login: 'jt_not_here' },
    { variables: [{ key: 'CI_CONCURRENT_ID', value: 'x' }] },
    { options: { auth: { user_blocklist: [account.name] } } },
    { options: { auth: { state_dir: '/proc/none' } } },
  ];
  for (const wishes of hostile) {
    const variables = [...(wishes.variables ?? []), { key: 'SECRET', value: secret }];
    const { job, record } = await ask(world, { ...wishes, variables, driverOptions: ['-u'] });
    const told = record.stderr + record.stdout + (await readFile(world.logFile, 'utf8'));
    const token = job.response.variables.find(({ key }) => key === 'CI_JOB_JWT')?.value ?? '';
    for (const part of [secret, job.facts.token, token, ...token.split('.').filter((each) => each.length > 20)]) {
      assert.ok(part === '' || !told.includes(part), part.slice(0, 20));
    }
  }
});

test('control characters of claims and variables never reach the log or standard error', async () => {
  const evil = '\u001b[2J\u0007\r\nfake line\u0085\u202e';
  const claims = {
    user_login: `a${evil}`,
    ref: evil,
    project_path: evil,
    job_project_path: evil,
    pipeline_source: evil,
  };
  const options = { auth: { pipeline_source_allowlist: ['push'] } };
  const { record } = await ask(world, {
    token: (facts) => gitlab.tokenFor(facts, { claims }),
    options,
    driverOptions: ['-u'],
  });
  assert.equal(record.outcome.kind, 'build-failure');
  assert.doesNotMatch(record.stderr.replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
  const text = await readFile(world.logFile, 'utf8');
  assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\u202e]/u);
  for (const line of text.trimEnd().split('\n')) JSON.parse(line);
});

test('a claim of any length is cut in the log, whose lines stay short', async () => {
  const claims = { ref: 'r'.repeat(4000), pipeline_source: 's'.repeat(4000) };
  const options = { auth: { pipeline_source_allowlist: ['push'] } };
  await refused(world, { token: (facts) => gitlab.tokenFor(facts, { claims }), options }, 'ERR_PIPELINE_SOURCE');
  const lines = (await readFile(world.logFile, 'utf8')).split('\n');
  assert.ok(Math.max(...lines.map((line) => line.length)) < 16_384);
});

test('a fault of the site is told as such, without its reason, and is no decision', async () => {
  gitlab.behaviour.job = { status: 500 };
  const { record, log } = await ask(world, {});
  gitlab.behaviour.job = {};
  assert.equal(record.outcome.kind, 'system-failure');
  assert.doesNotMatch(record.stderr, /500|127\.0\.0\.1|api\/v4/);
  assert.equal(log.filter(({ msg }) => msg === 'authorization decision').length, 0);
  assert.throws(() => auditLine(log));
});
