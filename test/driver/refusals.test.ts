// A job that may not run here: one sentence for the user, the whole reason for the administrator, no second try,
// and nothing left behind.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import { generateSigningKey } from '../../src/jacamar-admin/signing-key.ts';
import { processesOf } from '../support/accounts.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { gitlab, account } = world;
const [, victim = account] = world.accounts;
const now = () => Math.floor(Date.now() / 1000);

interface Refusal {
  readonly title: string;
  readonly wishes: JobWishes;
  readonly code: string;
  /** In the administrator's log. */
  readonly reason: RegExp;
}

const foreignKey = await generateSigningKey();
const weakClaims = ({ serverUrl, userId }: JobFacts) => ({
  ...{
    iss: serverUrl,
    sub: String(userId),
    aud: serverUrl,
    iat: now(),
    nbf: now(),
    exp: now() + 120,
    user_login: victim.name,
  },
});

const refusals: readonly Refusal[] = [
  {
    title: 'whose login is no account here',
    wishes: { login: 'jt_not_here' },
    code: 'ERR_ACCOUNT_UNKNOWN',
    reason: /no local account "jt_not_here"/,
  },
  {
    title: 'of root',
    wishes: { login: 'root' },
    code: 'ERR_ACCOUNT_RESERVED',
    reason: /"root" has the reserved uid 0/,
  },
  {
    title: 'of an account of the system',
    wishes: { login: 'daemon' },
    code: 'ERR_ACCOUNT_UID',
    reason: /"daemon" has uid 1, below auth.min_uid 1000/,
  },
  {
    title: 'of the overflow uid',
    wishes: { login: 'nobody' },
    code: 'ERR_ACCOUNT_RESERVED',
    reason: /reserved uid 65534/,
  },
  {
    title: 'whose login is a number',
    wishes: { login: String(account.uid) },
    code: 'ERR_ACCOUNT_NAME',
    reason: /no acceptable account name/,
  },
  {
    title: 'whose login is a path',
    wishes: { login: '../root' },
    code: 'ERR_ACCOUNT_NAME',
    reason: /no acceptable account name/,
  },
  {
    title: 'whose login differs in case only',
    wishes: { login: account.name.toUpperCase() },
    code: 'ERR_ACCOUNT_NAME',
    reason: /no acceptable account name/,
  },
  {
    title: 'with an expired token',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { issuedAt: now() - 9000 }) },
    code: 'ERR_TOKEN_EXPIRED',
    reason: /expired at 20/,
  },
  {
    title: 'with a token for another audience',
    wishes: { options: { auth: { jwt_required_aud: 'https://hpc.example.com' } } },
    code: 'ERR_TOKEN_AUDIENCE',
    reason: /its audience is "http:\/\/127.*", not https:\/\/hpc.example.com/,
  },
  {
    title: "with another job's token",
    wishes: { token: (facts) => gitlab.tokenFor({ ...facts, id: facts.id + 1 }) },
    code: 'ERR_TOKEN_OF_ANOTHER_JOB',
    reason: /job_id is "\d+", this job's is \d+/,
  },
  {
    title: "with another user's token",
    wishes: { token: (facts) => gitlab.tokenFor({ ...facts, userId: 8, login: victim.name }) },
    code: 'ERR_TOKEN_OF_ANOTHER_JOB',
    reason: /user_id is "8", this job's is 7/,
  },
  {
    title: "with another pipeline's token",
    wishes: { token: (facts) => gitlab.tokenFor({ ...facts, pipelineId: 1 }) },
    code: 'ERR_TOKEN_OF_ANOTHER_JOB',
    reason: /pipeline_id is "1"/,
  },
  {
    title: "with another project's token",
    wishes: { token: (facts) => gitlab.tokenFor({ ...facts, projectId: 21 }) },
    code: 'ERR_TOKEN_OF_ANOTHER_JOB',
    reason: /project is "21", this job's is 20/,
  },
  {
    title: 'with another issuer in its token',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { claims: { iss: 'https://gitlab.example.com' } }) },
    code: 'ERR_TOKEN_CLAIM',
    reason: /claim iss is not acceptable/,
  },
  {
    title: 'with a token without algorithm',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { algorithm: 'none' }) },
    code: 'ERR_TOKEN_FORM',
    reason: /not three base64url parts/,
  },
  {
    title: 'with a token that the public key signed as a shared secret',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { algorithm: 'HS256' }) },
    code: 'ERR_TOKEN_HEADER',
    reason: /alg/,
  },
  {
    title: 'with a token of another key under a known id',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { key: { ...foreignKey, kid: gitlab.jobKey.kid } }) },
    code: 'ERR_TOKEN_SIGNATURE',
    reason: /signature is wrong/,
  },
  {
    title: 'with a token of a key the server does not list',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { key: foreignKey }) },
    code: 'ERR_TOKEN_KEY_UNKNOWN',
    reason: /does not list/,
  },
  {
    title: 'with a login token of the same server',
    wishes: { token: (facts) => gitlab.sign(weakClaims(facts), { key: gitlab.loginKey }) },
    code: 'ERR_TOKEN_CLAIM',
    reason: /of a CI token is not acceptable/,
  },
  {
    title: 'with text in place of a token',
    wishes: { token: () => 'nonsense' },
    code: 'ERR_TOKEN_FORM',
    reason: /not three base64url parts/,
  },
  {
    title: 'of a service account',
    wishes: { answer: { bot: true } },
    code: 'ERR_BOT_ACCOUNT',
    reason: /is a bot or service account/,
  },
  {
    title: 'that the server does not know as running',
    wishes: { answer: { status: 'success' } },
    code: 'ERR_JOB_CHECK',
    reason: /status at the server is "success", not running/,
  },
  {
    title: 'whose user has another name at the server',
    wishes: { answer: { overrides: { user: { id: 7, username: 'someone', bot: false } } } },
    code: 'ERR_JOB_CHECK',
    reason: /the server names "someone"/,
  },
  {
    title: 'with code of a fork',
    wishes: { token: (facts) => gitlab.tokenFor(facts, { claims: { project_id: '99', project_path: 'fork/hello' } }) },
    code: 'ERR_FORK_PIPELINE',
    reason: /code of "fork\/hello"/,
  },
  {
    title: 'of an account on user_blocklist',
    wishes: { options: { auth: { user_blocklist: [account.name] } } },
    code: 'ERR_USER_BLOCKED',
    reason: /user_blocklist names/,
  },
];

// Keys are fetched once, so that a token of an unknown key does not have to wait for its turn.
const fetched = await world.play();
assert.equal(fetched.verdict, 'success', fetched.jobLog);

for (const { title, wishes, code, reason } of refusals) {
  test(`refuses a job ${title}`, async () => {
    const asked = gitlab.requests.length;
    const played = await world.play({ ...wishes, script: `touch ${world.at('ran')}` });
    assert.equal(played.verdict, 'build-failure', played.jobLog);
    assert.equal(played.exitCode, 1);
    assert.deepEqual(
      played.stages.map(({ name, outcome }) => `${name} ${outcome.kind}`),
      ['config build-failure', 'cleanup success'],
      'not tried again',
    );
    const stderr = played.stages[0]?.stderr ?? '';
    const [, reference = ''] =
      /^This job is not authorized to run here\. \(reference ([0-9a-f]{8})\)\n$/.exec(stderr) ?? [];
    assert.notEqual(reference, '', `one neutral line, but: ${stderr}`);
    const lines = played.log.filter(({ msg }) => msg === 'job refused');
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.level, 'WARN');
    assert.equal(lines[0]?.details?.['reference'], reference);
    assert.equal(lines[0]?.details?.['code'], code);
    assert.match(String(lines[0]?.details?.['error']), reason);
    assert.ok(!played.log.some(({ msg }) => /authorized for CI/.test(msg)));
    assert.ok(
      gitlab.requests.slice(asked).every((request) => /^GET \/(oauth\/discovery\/keys|api\/v4\/job)$/.test(request)),
    );
    await nothingIsLeft(played.facts.id);
  });
}

async function nothingIsLeft(job: number): Promise<void> {
  assert.deepEqual(await processesOf(account.uid), []);
  assert.deepEqual(await processesOf(victim.uid), []);
  assert.ok(!existsSync(join(victim.home, '.jacamar-ci')));
  assert.ok(!existsSync(join(account.home, '.jacamar-ci/scripts/TrialRunn')));
  assert.deepEqual(await world.recordOf(job), []);
  assert.ok(!existsSync(world.at('ran')));
}

test('a refused job leaves no file in a home that had none', async () => {
  const fresh = await world.addAccount();
  await world.play({ login: fresh.name, options: { auth: { user_blocklist: [fresh.name] } } });
  assert.ok(!existsSync(join(fresh.home, '.jacamar-ci')));
});

test('with -u the job log has code and reason of a refusal, and a warning that it does', async () => {
  const { stages } = await world.play({ login: 'jt_not_here', driverOptions: ['-u'] });
  assert.match(
    stages[0]?.stderr ?? '',
    /^Warning: --unobfuscated shows .*\nThis job is not authorized to run here\. \(reference [0-9a-f]{8}\)\nERR_ACCOUNT_UNKNOWN: there is no local account "jt_not_here"\n$/,
  );
});

test("a second value under the token's name is refused, and the user is told why", async () => {
  const token = gitlab.tokenFor({ ...fetched.facts, login: victim.name });
  const played = await world.play({ variables: [{ key: 'CI_JOB_JWT', value: token }] });
  assert.equal(played.verdict, 'build-failure');
  assert.equal(played.stages.length, 2);
  assert.match(
    played.jobLog,
    /^The variable CI_JOB_JWT holds the job's ID token; no other CI variable may have that name\. \(reference [0-9a-f]{8}\)$/m,
  );
  assert.equal(played.log.find(({ msg }) => msg === 'job refused')?.details?.['code'], 'ERR_TOKEN_AMBIGUOUS');
  await nothingIsLeft(played.facts.id);
});

test('a job without a token is told what to add to its YAML file', async () => {
  const played = await world.play({ token: null, options: { general: { jwt_env_variable: 'SITE_TOKEN' } } });
  assert.equal(played.verdict, 'build-failure');
  assert.equal(played.stages.length, 2, 'not tried again');
  const advice = [
    'No id_token found on SITE_TOKEN variable. Please update your CI job to include the following:',
    '',
    '  id_tokens:',
    '    SITE_TOKEN:',
    `      aud: ${gitlab.url}`,
    '',
    `For additional details see: ${gitlab.url}/help/ci/yaml/index.md#id_tokens`,
    '',
  ];
  assert.ok(played.stages[0]?.stderr.startsWith(advice.join('\n')), played.stages[0]?.stderr);
  assert.match(played.jobLog, /^This job is not authorized to run here\. \(reference [0-9a-f]{8}\)$/m);
  await nothingIsLeft(played.facts.id);
});

test('a job that was authorized is not authorized again once it is over', async () => {
  const job = await (await world.stages()).configured();
  await job.run('true');
  await job.cleanup();
  const { outcome } = await job.config();
  assert.equal(outcome.kind, 'build-failure');
  const refused = (await job.log()).find(({ msg }) => msg === 'job refused');
  assert.equal(refused?.details?.['code'], 'ERR_JOB_REPLAYED');
});
