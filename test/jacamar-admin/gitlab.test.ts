import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { type GitLab, startGitLab } from '../../src/jacamar-admin/gitlab.ts';
import { type JobFacts, jobFacts, jobResponse, SAMPLE_SHA, variable } from '../../src/jacamar-admin/job.ts';
import { createRepository } from '../../src/jacamar-admin/repository.ts';
import { playJob } from '../../src/jacamar-admin/runner.ts';
import { generateSigningKey } from '../../src/jacamar-admin/signing-key.ts';
import { fakeDriver } from './fake-driver.ts';

let root: string;
let gitlab: GitLab;
let facts: JobFacts;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'jacamar-gitlab-'));
  gitlab = await startGitLab({ repositoryRoot: root });
  facts = jobFacts({ serverUrl: gitlab.url, login: 'alice' });
  gitlab.addJob(facts);
});

after(async () => {
  await gitlab.close();
  await rm(root, { recursive: true });
});

const git = (...args: string[]) => {
  return promisify(execFile)('git', args, { env: { PATH: process.env['PATH'], GIT_TERMINAL_PROMPT: '0' } });
};

function verify(token: string) {
  const keys = createRemoteJWKSet(new URL(`${gitlab.url}/oauth/discovery/keys`));
  return jwtVerify(token, keys, { issuer: gitlab.url, algorithms: ['RS256'] });
}

test('an honest token is verified by an independent implementation with the served keys', async () => {
  const { payload } = await verify(gitlab.tokenFor(facts));
  assert.equal(payload['user_login'], 'alice');
  assert.equal(payload['job_id'], String(facts.id));
  assert.equal(payload['runner_id'], 3);
});

test('claims can be changed and removed', () => {
  const claims = decodeJwt(gitlab.tokenFor(facts, { aud: ['a', 'b'], claims: { user_login: 'bob', jti: undefined } }));
  assert.deepEqual(claims.aud, ['a', 'b']);
  assert.equal(claims['user_login'], 'bob');
  assert.equal('jti' in claims, false);
});

test('both keys are listed, and the key of logins verifies, too, so the key set alone proves no job token', async () => {
  const { keys } = (await (await fetch(`${gitlab.url}/-/jwks`)).json()) as { keys: { kid: string }[] };
  assert.deepEqual(
    keys.map(({ kid }) => kid),
    [gitlab.loginKey.kid, gitlab.jobKey.kid],
  );
  await verify(gitlab.tokenFor(facts, { key: gitlab.loginKey }));
});

test('forgeries are not verified', async () => {
  const foreign = await generateSigningKey();
  const forgeries = [
    gitlab.tokenFor(facts, { key: foreign }),
    gitlab.tokenFor(facts, { key: foreign, header: { kid: gitlab.jobKey.kid } }),
    gitlab.tokenFor(facts, { algorithm: 'none' }),
    gitlab.tokenFor(facts, { algorithm: 'HS256' }),
    gitlab.tokenFor(facts, { issuedAt: 1_700_000_000 }),
  ];
  for (const token of forgeries) await assert.rejects(verify(token));
});

test('the header can be changed and its parameters removed', () => {
  const header = decodeProtectedHeader(gitlab.tokenFor(facts, { header: { kid: undefined, typ: 'x' } }));
  assert.deepEqual(header, { alg: 'RS256', typ: 'x' });
});

test('after a rotation old tokens can no longer be verified', async () => {
  const other = await startGitLab();
  const token = other.tokenFor(jobFacts({ serverUrl: other.url, login: 'a' }));
  await other.rotateJobKey();
  const keys = createRemoteJWKSet(new URL(`${other.url}/oauth/discovery/keys`));
  await assert.rejects(jwtVerify(token, keys));
  await other.close();
});

test('the job behind a token is told to whoever holds it, and to nobody else', async () => {
  const ask = (token: string) => fetch(`${gitlab.url}/api/v4/job`, { headers: { 'job-token': token } });
  const answer = (await (await ask(facts.token)).json()) as Record<string, Record<string, unknown>>;
  assert.equal(answer['id'], facts.id);
  assert.equal(answer['user']?.['bot'], false);
  assert.equal(answer['pipeline']?.['project_id'], facts.projectId);
  assert.equal((await ask('glcbt-64_wrong')).status, 401);
});

test('requests are counted by kind', async () => {
  const earlier = gitlab.keysFetched;
  await fetch(`${gitlab.url}/oauth/discovery/keys`);
  assert.equal(gitlab.keysFetched, earlier + 1);
});

test('misbehaviour is per kind of request and can be taken back', async () => {
  gitlab.behaviour.keys = { status: 503, body: 'busy' };
  const bad = await fetch(`${gitlab.url}/-/jwks`);
  assert.deepEqual([bad.status, await bad.text()], [503, 'busy']);
  gitlab.behaviour.keys = { hangUp: true };
  await assert.rejects(fetch(`${gitlab.url}/-/jwks`));
  delete gitlab.behaviour.keys;
  assert.equal((await fetch(`${gitlab.url}/-/jwks`)).status, 200);
});

test('it can stop listening and come back on the same port', async () => {
  const other = await startGitLab();
  const { url } = other;
  await other.stopListening();
  await assert.rejects(fetch(`${url}/-/jwks`));
  await other.listen();
  assert.equal(other.url, url);
  assert.equal((await fetch(`${url}/-/jwks`)).status, 200);
  await other.close();
});

test('the sample repository always has the same commit', async () => {
  assert.equal(await createRepository(root, 'demo/hello'), SAMPLE_SHA);
});

test('a clone needs the job token as password', async () => {
  await createRepository(root, 'demo/hello');
  const url = `${gitlab.url}/demo/hello.git`;
  await assert.rejects(git('clone', '--quiet', url, join(root, 'anonymous')));
  await assert.rejects(git('clone', '--quiet', url.replace('//', '//gitlab-ci-token:wrong@'), join(root, 'wrong')));
  await git('clone', '--quiet', '--depth', '1', facts.repositoryUrl, join(root, 'clone'));
  assert.equal(await readFile(join(root, 'clone/README.md'), 'utf8'), 'hello\n');
});

test('nothing can be pushed', async () => {
  await createRepository(root, 'demo/hello');
  await git('clone', '--quiet', facts.repositoryUrl, join(root, 'pusher'));
  await assert.rejects(git('-C', join(root, 'pusher'), 'push', '--quiet', 'origin', 'HEAD:refs/heads/other'));
});

for (const strategy of ['fetch', 'clone']) {
  test(`get_sources with GIT_STRATEGY ${strategy} checks out the commit and leaves no token behind`, async () => {
    await createRepository(root, 'demo/hello');
    await using driver = await fakeDriver();
    const variables = [variable({ key: 'GIT_STRATEGY', value: strategy })];
    const script = ['cat README.md', 'git rev-parse HEAD', 'cat .git/config'];
    const result = await playJob(driver.settings, jobResponse(facts, { script, variables }));
    assert.equal(result.verdict, 'success', result.jobLog);
    const output = result.stages.find(({ name }) => name === 'build_script')?.stdout ?? '';
    assert.match(output, /^hello$/m);
    assert.match(output, new RegExp(`^${SAMPLE_SHA}$`, 'm'));
    assert.ok(!output.includes(facts.token));
  });
}

test('a second fetch into the same directory works', async () => {
  await createRepository(root, 'demo/hello');
  await using driver = await fakeDriver();
  const job = jobResponse(facts, { script: ['ls'] });
  await playJob(driver.settings, job);
  assert.equal((await playJob(driver.settings, job)).verdict, 'success');
});
