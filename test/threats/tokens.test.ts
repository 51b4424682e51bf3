// Group C of the threat cases: tokens that are forged, foreign, stale or misread. Every one of them goes through the
// installed executable. Numbers are those of docs/threats.md.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idTokenClaims } from '../../src/jacamar-admin/id-token.ts';
import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import { generateSigningKey, type SignatureAlgorithm } from '../../src/jacamar-admin/signing-key.ts';
import { eventually } from '../support/eventually.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { allowed, ask, auditLine, failed, refused } from '../support/threats-verdict.ts';
import { encodePart, signParts, signWithSecret } from '../support/tokens.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ accounts: [{}, {}] });
const { gitlab, account } = world;
const [, victim = account] = world.accounts;
// Everything that is waited for comes first: the world closes when no registered test is left.
await allowed(world);
const foreignKey = await generateSigningKey();
const now = () => Math.floor(Date.now() / 1000);

const withToken = (token: (facts: JobFacts) => string): JobWishes => ({ token });
const withClaims = (claims: Record<string, unknown>) => withToken((facts) => gitlab.tokenFor(facts, { claims }));
const withHeader = (header: Record<string, unknown>) => withToken((facts) => gitlab.tokenFor(facts, { header }));
const honest = (facts: JobFacts, claims: Record<string, unknown> = {}) => idTokenClaims(facts, { claims });
const header = () => ({ alg: 'RS256', typ: 'JWT', kid: gitlab.jobKey.kid });

/** Signed as the server does, over a payload that need not be JSON. */
const withPayload = (payload: (facts: JobFacts) => string | Uint8Array) =>
  withToken((facts) => signParts({ header: header(), payload: payload(facts) }, gitlab.jobKey.privateKey));
const withText = (change: (json: string) => string) => withPayload((facts) => change(JSON.stringify(honest(facts))));

for (const alg of ['none', 'None', 'nOnE', 'NONE', '']) {
  test(`case 33: alg "${alg}" is refused, with an empty signature and with a good one`, async () => {
    const unsigned = (facts: JobFacts) => `${encodePart({ ...header(), alg })}.${encodePart(honest(facts))}.`;
    await refused(world, withToken(unsigned), 'ERR_TOKEN_FORM');
    await refused(world, withHeader({ alg }), 'ERR_TOKEN_HEADER');
  });
}

test('case 34: the public key as shared secret, as PEM, DER or JWK, signs nothing', async () => {
  const { publicKey, jwk } = gitlab.jobKey;
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    publicKey.export({ type: 'pkcs1', format: 'pem' }),
    JSON.stringify(jwk),
    jwk.n,
    '',
  ];
  for (const secret of secrets) {
    for (const alg of ['HS256', 'RS256']) {
      const parts = (facts: JobFacts) => ({ header: { ...header(), alg }, payload: honest(facts) });
      const code = alg === 'HS256' ? 'ERR_TOKEN_HEADER' : 'ERR_TOKEN_SIGNATURE';
      await refused(
        world,
        withToken((facts) => signWithSecret(parts(facts), secret)),
        code,
      );
    }
  }
});

for (const algorithm of ['RS384', 'RS512', 'PS256'] as SignatureAlgorithm[]) {
  test(`case 35: ${algorithm} by a key of the server is refused, and so under the name of RS256`, async () => {
    await refused(
      world,
      withToken((facts) => gitlab.tokenFor(facts, { algorithm })),
      'ERR_TOKEN_HEADER',
    );
    const renamed = (facts: JobFacts) => gitlab.tokenFor(facts, { algorithm, header: { alg: 'RS256' } });
    await refused(world, withToken(renamed), 'ERR_TOKEN_SIGNATURE');
  });
}

for (const alg of ['ES256', 'EdDSA', 'ES256K', 'dir', 'RSA-OAEP']) {
  test(`case 35: alg ${alg} is refused`, async () => {
    await refused(world, withHeader({ alg }), 'ERR_TOKEN_HEADER');
  });
}

const kids: [string, unknown, string][] = [
  ['none', undefined, 'ERR_TOKEN_HEADER'],
  ['a number', 1, 'ERR_TOKEN_HEADER'],
  ['an array', ['a'], 'ERR_TOKEN_HEADER'],
  ['null', null, 'ERR_TOKEN_HEADER'],
  ['nothing', '', 'ERR_TOKEN_HEADER'],
  ['10 kB', 'k'.repeat(10_000), 'ERR_TOKEN_HEADER'],
  ['a path', '../../../../dev/null', 'ERR_TOKEN_KEY_UNKNOWN'],
  ['SQL', "' OR 1=1 --", 'ERR_TOKEN_KEY_UNKNOWN'],
  ['the name __proto__', '__proto__', 'ERR_TOKEN_KEY_UNKNOWN'],
  ['the name constructor', 'constructor', 'ERR_TOKEN_KEY_UNKNOWN'],
  ['an index', '0', 'ERR_TOKEN_KEY_UNKNOWN'],
];
for (const [what, kid, code] of kids) {
  test(`case 36: a kid that is ${what} names no key`, async () => {
    await refused(world, withHeader({ kid }), code);
  });
}

const extensions: Record<string, unknown> = {
  jku: `${gitlab.url}/evil/keys`,
  x5u: `${gitlab.url}/evil/chain`,
  jwk: foreignKey.jwk,
  x5c: ['MII'],
  crit: ['b64'],
  b64: false,
  zip: 'DEF',
  enc: 'A256GCM',
  cty: 'JWT',
};
for (const [name, value] of Object.entries(extensions)) {
  test(`case 37: a header with ${name} is refused, and nothing is fetched`, async () => {
    const asked = gitlab.requests.length;
    await refused(world, withHeader({ [name]: value }), 'ERR_TOKEN_HEADER');
    const signed = (facts: JobFacts) => gitlab.tokenFor(facts, { key: foreignKey, header: { [name]: value } });
    await refused(world, withToken(signed), 'ERR_TOKEN_HEADER');
    assert.deepEqual(gitlab.requests.slice(asked), []);
  });
}

test('case 39: a login token of the same server is refused, with the issuer right and the name of a victim in it', async () => {
  const claims = ({ serverUrl, id }: JobFacts) => ({
    ...{ iss: serverUrl, aud: serverUrl, sub: '8', iat: now(), nbf: now(), exp: now() + 120, auth_time: now() },
    ...{ user_login: victim.name, preferred_username: victim.name, nickname: victim.name, job_id: String(id) },
  });
  const token = (facts: JobFacts) => gitlab.sign(claims(facts), { key: gitlab.loginKey });
  await refused(world, withToken(token), 'ERR_TOKEN_CLAIM', { reason: /of a CI token is not acceptable/ });
});

const required = ['sub', 'aud', 'exp', 'iat', 'nbf', 'iss', 'jti', 'job_id', 'pipeline_id', 'pipeline_source'].concat([
  'project_id',
  'project_path',
  'namespace_id',
  'user_id',
  'user_login',
  'ref',
  'ref_protected',
]);
for (const claim of required) {
  test(`case 39: a token without ${claim} is refused`, async () => {
    await refused(world, withClaims({ [claim]: undefined }), 'ERR_TOKEN_CLAIM');
  });
}

const issuers: Record<string, (url: string) => string> = {
  'in another case': (url) => url.replace('http', 'HTTP'),
  'with a slash at its end': (url) => `${url}/`,
  'without port': (url) => url.replace(/:\d+$/, ''),
  'of another scheme': (url) => url.replace('http:', 'https:'),
  'with user information': (url) => url.replace('//', '//evil@'),
  'of a look-alike host': (url) => url.replace('127.0.0.1', '127.0.0.1.example.com'),
  'with a path': (url) => `${url}/gitlab`,
  'with a blank': (url) => `${url} `,
  'that is an array': (url) => [url] as unknown as string,
};
for (const [what, change] of Object.entries(issuers)) {
  test(`case 40: an issuer ${what} is refused`, async () => {
    await refused(world, withClaims({ iss: change(gitlab.url) }), 'ERR_TOKEN_CLAIM');
  });
}

const OURS = 'https://hpc.example.com';
const audiences: [string, unknown, string | undefined][] = [
  ['missing', undefined, 'ERR_TOKEN_CLAIM'],
  ['of another site', 'https://other.example.com', 'ERR_TOKEN_AUDIENCE'],
  ['of a look-alike', `${OURS}.evil`, 'ERR_TOKEN_AUDIENCE'],
  ['ours in another case', OURS.toUpperCase(), 'ERR_TOKEN_AUDIENCE'],
  ['ours and another', [OURS, 'https://other.example.com'], 'ERR_TOKEN_CLAIM'],
  ['an empty list', [], 'ERR_TOKEN_CLAIM'],
  ['empty', '', 'ERR_TOKEN_AUDIENCE'],
  ['a number', 1, 'ERR_TOKEN_CLAIM'],
  ['a list in a list', [[OURS]], 'ERR_TOKEN_CLAIM'],
  ['ours', OURS, undefined],
  ['a list of ours alone', [OURS], undefined],
  ['the second of our two', 'https://hpc2.example.com', undefined],
];
for (const [what, aud, code] of audiences) {
  test(`case 41: an audience that is ${what} is ${code === undefined ? 'taken' : 'refused'}`, async () => {
    const options = { auth: { jwt_required_aud: [OURS, 'https://hpc2.example.com'] } };
    const wishes = { ...withClaims({ aud }), options };
    if (code === undefined) await allowed(world, wishes);
    else await refused(world, wishes, code);
  });
}

const DAY = 24 * 3600;
const times: [string, () => Record<string, unknown>, string | undefined][] = [
  ['an expiry just within the leeway', () => ({ iat: now() - 3600, exp: now() - 20 }), undefined],
  ['an expiry beyond the leeway', () => ({ iat: now() - 3600, exp: now() - 31 }), 'ERR_TOKEN_EXPIRED'],
  ['an expiry of text', () => ({ exp: '9999999999' }), 'ERR_TOKEN_CLAIM'],
  ['a negative expiry', () => ({ exp: -1 }), 'ERR_TOKEN_EXPIRED'],
  ['an expiry between two seconds', () => ({ exp: now() + 60.5 }), 'ERR_TOKEN_CLAIM'],
  ['an expiry of null', () => ({ exp: null }), 'ERR_TOKEN_CLAIM'],
  ['a start just within the leeway', () => ({ nbf: now() + 25 }), undefined],
  ['a start in the future', () => ({ nbf: now() + 60 }), 'ERR_TOKEN_CLAIM'],
  ['an issue date in the future', () => ({ iat: now() + 60 }), 'ERR_TOKEN_LIFETIME'],
  ['an issue date after its expiry', () => ({ iat: now() + 20, exp: now() + 10 }), 'ERR_TOKEN_LIFETIME'],
  ['a life of 33 days', () => ({ exp: now() + 33 * DAY }), 'ERR_TOKEN_LIFETIME'],
  ['a life of 31 days', () => ({ iat: now() - DAY, exp: now() + 30 * DAY }), undefined],
];
for (const [what, claims, code] of times) {
  test(`case 42: a token with ${what} is ${code === undefined ? 'taken' : 'refused'}`, async () => {
    const wishes = withToken((facts) => gitlab.tokenFor(facts, { claims: { ...claims() } }));
    if (code === undefined) await allowed(world, wishes);
    else await refused(world, wishes, code);
  });
}

for (const number of ['1e400', '-1e400', 'NaN', '"NaN"', '99999999999999999999']) {
  test(`case 42: an expiry written as ${number} is refused`, async () => {
    const { outcome } = (
      await ask(
        world,
        withText((json) => json.replace(/"exp":\d+/, `"exp":${number}`)),
      )
    ).record;
    assert.equal(outcome.kind, 'build-failure');
  });
}

for (const claim of ['user_login', 'job_id', 'exp', 'iss']) {
  test(`case 43: a token with ${claim} twice is refused, in either order and with an escape in the name`, async () => {
    const twin = (facts: JobFacts) => JSON.stringify(honest(facts)[claim]);
    for (const name of [claim, `\\u00${claim.charCodeAt(0).toString(16)}${claim.slice(1)}`]) {
      const first = withPayload((facts) => JSON.stringify(honest(facts)).replace('{', `{"${name}":"root",`));
      const last = withPayload((facts) => JSON.stringify(honest(facts)).replace(/\}$/, `,"${name}":${twin(facts)}}`));
      await refused(world, first, 'ERR_TOKEN_FORM', { reason: /stands twice/ });
      await refused(world, last, 'ERR_TOKEN_FORM', { reason: /stands twice/ });
    }
  });
}

const shapes: Record<string, readonly unknown[]> = {
  user_login: [['alice'], { toString: 'alice' }, 7, true, null],
  job_id: [1e21, 302, '0302', ' 302', '302\n', '302.0', '0x12e', '+302', '', null, ['302']],
  user_id: ['07', '7 ', 7, '-7', '٧'],
  project_id: ['020', 20, '2e1'],
  pipeline_id: ['0501', 501, null],
};
for (const [claim, values] of Object.entries(shapes)) {
  test(`case 44: ${claim} of a wrong type or in another spelling is refused`, async () => {
    for (const value of values) await refused(world, withClaims({ [claim]: value }), 'ERR_TOKEN_CLAIM');
  });
}

test('case 45: members named like parts of a prototype change nothing', async () => {
  const evil = '{"__proto__":{"user_login":"root","isAdmin":true},"constructor":{"prototype":{"bot":false}},';
  const audit = await allowed(
    world,
    withText((json) => json.replace('{', evil)),
  );
  assert.equal(audit['login'], account.name);
  const without = (json: string) => json.replace(/"user_login":"[^"]*",/, '').replace('{', evil);
  await refused(world, withText(without), 'ERR_TOKEN_CLAIM', { reason: /user_login/ });
});

const large: Record<string, JobWishes> = {
  '4 MB': withClaims({ filler: 'x'.repeat(3_000_000) }),
  'a million nested arrays': withText((json) => json.replace('{', `{"a":${'['.repeat(1e6)}${']'.repeat(1e6)},`)),
  '100,000 claims': withClaims(Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`c${n}`, n]))),
};
for (const [what, wishes] of Object.entries(large)) {
  test(`case 46: a token with ${what} is refused without work`, async () => {
    // No environment holds as much: it stands in the runner's file alone.
    const parts = { environment: { CUSTOM_ENV_CI_JOB_JWT: undefined } };
    const started = performance.now();
    await refused(world, wishes, 'ERR_TOKEN_FORM', { parts, reason: /characters/ });
    assert.ok(performance.now() - started < 60_000);
  });
}

test('case 46: nesting that fits into a token is decided as fast as any other', async () => {
  const depth = 20_000;
  const wishes = withText((json) => json.replace('{', `{"a":${'['.repeat(depth)}${']'.repeat(depth)},`));
  const { record } = await ask(world, wishes);
  assert.notEqual(record.outcome.kind, 'system-failure', record.stderr);
  assert.ok(record.durationMs < 60_000, `${record.durationMs} ms`);
});

const spellings: Record<string, (token: string) => string> = {
  padding: (token) => `${token}==`,
  'a line break': (token) => `${token}\n`,
  'a blank': (token) => token.replace('.', ' .'),
  'the characters + and /': (token) => token.replace(/[A-Za-z]$/, '+'),
  'a NUL': (token) => `${token}\0`,
  'a prefix': (token) => `Bearer ${token}`,
};
for (const [what, change] of Object.entries(spellings)) {
  test(`case 46: a token with ${what} is refused`, async () => {
    const parts = { environment: { CUSTOM_ENV_CI_JOB_JWT: undefined } };
    await refused(
      world,
      withToken((facts) => change(gitlab.tokenFor(facts))),
      'ERR_TOKEN_FORM',
      { parts },
    );
  });
}

const bytes: Record<string, (json: string) => string | Uint8Array> = {
  'invalid UTF-8': (json) =>
    Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from(',"x":"'), Buffer.from([0xff]), Buffer.from('"}')]),
  'half a surrogate pair': (json) => json.replace('{', '{"x":"\\ud800",'),
  'a byte order mark': (json) => `\ufeff${json}`,
  'an overlong NUL': (json) =>
    Buffer.concat([
      Buffer.from(json.slice(0, -1)),
      Buffer.from(',"x":"'),
      Buffer.from([0xc0, 0x80]),
      Buffer.from('"}'),
    ]),
  'something after the object': (json) => `${json}{}`,
  'no object': () => '[]',
};
for (const [what, change] of Object.entries(bytes)) {
  test(`case 47: a payload with ${what} is refused`, async () => {
    const { record, log } = await ask(world, withText(change as (json: string) => string));
    assert.equal(record.outcome.kind, 'build-failure', record.stderr);
    assert.match(String(auditLine(log)['rule']), /^ERR_TOKEN_(?:FORM|CLAIM)$/);
  });
}

const victimsJob: Record<string, (facts: JobFacts) => JobFacts> = {
  "a colleague's job": (facts) => ({ ...facts, id: facts.id + 1, pipelineId: 77, userId: 8, login: victim.name }),
  "another job of one's own": (facts) => ({ ...facts, id: facts.id + 1 }),
  'another project': (facts) => ({ ...facts, projectId: 21, projectPath: 'other/project' }),
  'another user, all else equal': (facts) => ({ ...facts, userId: 8, login: victim.name }),
  'another pipeline': (facts) => ({ ...facts, pipelineId: 502 }),
};
for (const [what, change] of Object.entries(victimsJob)) {
  test(`case 48: a valid token of ${what} is refused, and the audit line names who tried`, async () => {
    const audit = await refused(
      world,
      withToken((facts) => gitlab.tokenFor(change(facts))),
      'ERR_TOKEN_OF_ANOTHER_JOB',
    );
    assert.deepEqual([audit['user_id'], audit['project'], audit['login']], ['7', 'demo/hello', undefined]);
  });
}

test("case 48: a colleague's valid token in a variable of one's own is refused, whatever GitLab's own entry holds", async () => {
  const stolen = gitlab.tokenFor({ ...(await honestFacts()), id: 99, userId: 8, login: victim.name });
  const variables = [{ key: 'CI_JOB_JWT', value: stolen }];
  await refused(world, { variables }, 'ERR_TOKEN_AMBIGUOUS', { told: /no other CI variable may have that name/ });
  await refused(world, { token: null, variables }, 'ERR_TOKEN_OF_ANOTHER_JOB', { told: /No id_token|not authorized/ });
});

test('case 48: a token exchanged between stages is refused at the later stage', async () => {
  const job = await (await world.stages()).configured();
  const other = gitlab.tokenFor(job.facts);
  const response = {
    ...job.response,
    variables: job.response.variables.map((each) => (each.key === 'CI_JOB_JWT' ? { ...each, value: other } : each)),
  };
  const { writeFile } = await import('node:fs/promises');
  await writeFile(job.attempt.responseFile, JSON.stringify(response));
  const { outcome, stdout } = await job.run('id');
  assert.equal(outcome.kind, 'build-failure');
  assert.equal(stdout, '');
  assert.equal(auditLine((await job.log()).filter(({ stage }) => stage === 'run_exec'))['rule'], 'ERR_TOKEN_CHANGED');
});

test('case 49: a job that is over is not taken again, with its token as it was or spelled otherwise (case 52)', async () => {
  const job = await (await world.stages()).configured();
  await job.run('true');
  await job.cleanup();
  const token = job.response.variables.find(({ key }) => key === 'CI_JOB_JWT')?.value ?? '';
  for (const spelling of [token, respelled(token)]) {
    const facts = job.facts;
    const replay = await world.stages({ facts, token: () => spelling });
    const { outcome, stdout } = await replay.config();
    assert.equal(outcome.kind, 'build-failure');
    assert.equal(stdout, '');
    const { result, rule } =
      (await replay.log()).findLast(({ msg }) => msg === 'authorization decision')?.details ?? {};
    assert.deepEqual([result, rule], ['refused', 'ERR_JOB_REPLAYED']);
    await replay.close();
  }
});

test('case 49: a later stage without a config stage, or after cleanup, runs nothing', async () => {
  const early = await world.stages();
  const configuration = await world.configure();
  const parts = { environment: { JACAMAR_CI_CONFIGURATION: configuration } };
  const before = await early.run('id', 'build_script', parts);
  assert.deepEqual([before.outcome.kind, before.stdout], ['system-failure', '']);
  const job = await (await world.stages()).configured();
  await job.run('true');
  await job.cleanup();
  const after = await job.run('id');
  assert.deepEqual([after.outcome.kind, after.stdout], ['system-failure', '']);
});

const clocks: [string, () => Record<string, unknown>, string | undefined][] = [
  ['ten minutes back', () => ({ iat: now() + 600, nbf: now() + 595, exp: now() + 4200 }), 'ERR_TOKEN_CLAIM'],
  ['ten minutes forward', () => ({ iat: now() - 600, nbf: now() - 605, exp: now() + 3000 }), undefined],
  ['beyond the expiry', () => ({ iat: now() - 4200, nbf: now() - 4205, exp: now() - 600 }), 'ERR_TOKEN_EXPIRED'],
  [
    'to 1970',
    () => ({ iat: now() + 50 * 365 * DAY, nbf: now() + 50 * 365 * DAY, exp: now() + 50 * 365 * DAY + 60 }),
    'ERR_TOKEN_CLAIM',
  ],
  ['to 2100', () => ({ iat: 1, nbf: 1, exp: 3601 }), 'ERR_TOKEN_EXPIRED'],
];
for (const [what, claims, code] of clocks) {
  test(`case 50: a clock that is set ${what} relative to the server ${code === undefined ? 'hurts nobody' : 'lets nobody in'}`, async () => {
    const wishes = withToken((facts) => gitlab.tokenFor(facts, { claims: claims() }));
    if (code === undefined) await allowed(world, wishes);
    else await refused(world, wishes, code);
  });
}

const damages: Record<string, [(token: string) => string, RegExp]> = {
  'one bit of the header changed': [(token) => flipped(token, 0), /FORM|HEADER|KEY_UNKNOWN|SIGNATURE/],
  'one bit of the payload changed': [(token) => flipped(token, 1), /FORM|SIGNATURE/],
  'one bit of the signature changed': [(token) => flipped(token, 2), /SIGNATURE/],
  'its end cut off': [(token) => token.slice(0, -20), /SIGNATURE/],
  'one more dot': [(token) => `${token}.`, /FORM/],
  'a fourth part': [(token) => `${token}.e30`, /FORM/],
  'five parts, as an encrypted one has': [(token) => `${token}.e30.e30`, /FORM/],
  'no signature': [(token) => token.slice(0, token.lastIndexOf('.') + 1), /FORM/],
  'two parts': [(token) => token.slice(0, token.lastIndexOf('.')), /FORM/],
  'the payload of another token': [
    (token) => [token.split('.')[0], encodePart({ a: 1 }), token.split('.')[2]].join('.'),
    /SIGNATURE/,
  ],
};
for (const [what, [change, rule]] of Object.entries(damages)) {
  test(`case 51: a token with ${what} is refused`, async () => {
    const { record, log } = await ask(
      world,
      withToken((facts) => change(gitlab.tokenFor(facts))),
    );
    assert.equal(record.outcome.kind, 'build-failure', record.stderr);
    assert.match(String(auditLine(log)['rule']), rule);
  });
}

// ---- identity behind the token: SR-24 to SR-28

test('a merge request pipeline with code of a fork is refused unless allow_fork_pipelines is set', async () => {
  const wishes = withClaims({ project_id: '99', project_path: 'fork/hello' });
  await refused(world, wishes, 'ERR_FORK_PIPELINE', { reason: /code of "fork\/hello"/ });
  await allowed(world, { ...wishes, options: { auth: { allow_fork_pipelines: true } } });
});

test('a composite identity is refused unless allow_composite_identities is set', async () => {
  const forge: NonNullable<JobWishes['forge']> = (job) =>
    ({ ...job, job_info: { ...job.job_info, scoped_user_id: 9 } }) as typeof job;
  await refused(world, { forge }, 'ERR_COMPOSITE_IDENTITY');
  await allowed(world, { forge, options: { auth: { allow_composite_identities: true } } });
});

for (const login of [
  'project_17_bot_a1b2',
  'group_3_bot',
  'service_account_12ab',
  'ghost',
  'support-bot',
  'alert-bot',
]) {
  test(`the bot "${login}" is refused by its name, before the server is asked`, async () => {
    const asked = gitlab.counts.job;
    await refused(world, { login, answer: { bot: false } }, 'ERR_BOT_ACCOUNT');
    assert.equal(gitlab.counts.job, asked);
  });
}

test('CVE-2026-107589: a service account named like a local account does not run as that; without the check it would', async () => {
  const wishes: JobWishes = { login: victim.name, answer: { bot: true }, script: 'id -un' };
  await refused(world, wishes, 'ERR_BOT_ACCOUNT', { reason: /is a bot or service account/ });
  const unchecked = await allowed(world, { ...wishes, options: { auth: { verify_job: 'off' } } });
  assert.equal(unchecked['account'], victim.name, 'the attack is a real one');
  await allowed(world, { ...wishes, options: { auth: { allow_bot_accounts: true } } });
});

test('CVE-2026-107589: an answer about another job, user or pipeline, or a job that does not run, lets nobody in', async () => {
  const user = { id: 7, username: account.name, bot: false };
  const lies: Record<string, unknown>[] = [
    { id: 1 },
    { user: { ...user, id: 8 } },
    { user: { ...user, username: victim.name } },
    { pipeline: { id: 1 } },
    { status: 'canceled' },
    { status: 'success' },
  ];
  for (const overrides of lies) await refused(world, { answer: { overrides } }, 'ERR_JOB_CHECK');
});

test('verify_job: a server that cannot answer is let pass with a line in the log, and not when it is required', async () => {
  for (const behaviour of [{ status: 404 }, { body: '{"id":1}' }, { body: 'nonsense' }]) {
    gitlab.behaviour.job = behaviour;
    const { record, log } = await ask(world, {});
    assert.equal(record.outcome.kind, 'success', record.stderr);
    assert.equal(log.filter(({ msg }) => /could not be checked/.test(msg)).length, 1);
    await refused(world, { options: { auth: { verify_job: 'required' } } }, 'ERR_JOB_CHECK');
  }
  gitlab.behaviour.job = {};
});

test('verify_job: a server that says no refuses, one that fails at the moment is a fault of the site', async () => {
  for (const status of [401, 403]) {
    gitlab.behaviour.job = { status };
    await refused(world, {}, 'ERR_JOB_CHECK');
  }
  for (const status of [500, 502, 302, 429]) {
    gitlab.behaviour.job = { status };
    const { record, log } = await ask(world, {});
    assert.equal(record.outcome.kind, 'system-failure');
    assert.deepEqual(
      log.filter(({ msg }) => msg === 'authorization decision'),
      [],
    );
  }
  gitlab.behaviour.job = { hangUp: true };
  await failed(world, {}, 'ERR_SERVER_UNREACHABLE');
  gitlab.behaviour.job = {};
});

// ---- lifetime: SR-27

test('a token that expired during the job ends prepare and run, and still cleans up by the record', async () => {
  const token = (facts: JobFacts) => gitlab.tokenFor(facts, { claims: { iat: now() - 3600, exp: now() - 15 } });
  const job = await (await world.stages({ token })).configured();
  await eventually('the token expires', async () => {
    const { outcome } = await job.prepare();
    return outcome.kind === 'build-failure' || undefined;
  });
  const { outcome, stdout } = await job.run('id');
  assert.deepEqual([outcome.kind, stdout], ['build-failure', '']);
  const log = await job.log();
  assert.equal(log.findLast(({ msg }) => msg === 'authorization decision')?.details?.['rule'], 'ERR_TOKEN_EXPIRED');
  assert.equal((await job.cleanup()).outcome.kind, 'success');
  assert.deepEqual(await world.recordOf(job.facts.id), [], 'the job never ran, so it is forgotten');
});

test('with jwt_exp_delay = "0s" an expired token counts for nothing, and root cleans up by the record; an hour at most', async () => {
  const token = (facts: JobFacts) => gitlab.tokenFor(facts, { claims: { iat: now() - 3600, exp: now() - 15 } });
  const job = await (await world.stages({ token, options: { auth: { jwt_exp_delay: '0s' } } })).configured();
  const cleanup = await eventually('the token expires', async () => {
    const record = await job.prepare();
    return record.outcome.kind === 'build-failure' ? job.cleanup() : undefined;
  });
  assert.equal(cleanup.outcome.kind, 'success');
  const warning = (await job.log()).find(({ msg }) => /strength of the record alone/.test(msg));
  assert.equal(warning?.details?.['code'], 'ERR_TOKEN_EXPIRED');
  for (const jwt_exp_delay of ['61m', '1h1s', '-1s', '15']) {
    const { record } = await ask(world, { options: { auth: { jwt_exp_delay } } });
    assert.equal(record.outcome.kind, 'system-failure', jwt_exp_delay);
  }
  await allowed(world, { options: { auth: { jwt_exp_delay: '1h' } } });
});

test('cleanup with an expired token and no record does nothing, and says nothing to the user', async () => {
  const token = (facts: JobFacts) => gitlab.tokenFor(facts, { claims: { exp: now() - 600 } });
  const job = await world.stages({ token });
  const { outcome, stdout, stderr } = await job.cleanup();
  assert.deepEqual([outcome.kind, stdout, stderr], ['success', '', '']);
});

async function honestFacts(): Promise<JobFacts> {
  const { job } = await ask(world, {});
  return job.facts;
}

/** 256 bytes leave four bits of the last character without meaning. */
function respelled(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(token.at(-1) ?? '');
  return token.slice(0, -1) + alphabet[last ^ 1];
}

function flipped(token: string, part: 0 | 1 | 2): string {
  const parts = token.split('.');
  const raw = Buffer.from(parts[part] ?? '', 'base64url');
  const at = Math.floor(raw.length / 2);
  raw[at] = (raw[at] ?? 0) ^ 1;
  parts[part] = raw.toString('base64url');
  return parts.join('.');
}
