// What the server itself says of the job: every form of its answer, and what each does to the job.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SystemFailure } from '../../src/contract/errors.ts';
import { checkJobAtServer, type JobCheckRules } from '../../src/jacamar-auth/job-check.ts';
import type { Answer } from '../../src/jacamar-auth/server.ts';
import { SAMPLE_FACTS, sampleJob, verifiedClaims } from '../support/tokens.ts';

const HONEST = { id: 302, status: 'running', pipeline: { id: 88 }, user: { id: 42, username: 'alice', bot: false } };
const AUTO: JobCheckRules = { mode: 'auto', allowBotAccounts: false };
const REQUIRED: JobCheckRules = { ...AUTO, mode: 'required' };

const answering = (body: unknown, status = 200): Answer => ({
  status,
  body: body instanceof Buffer ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
});
const check = (answer: Answer, rules = AUTO) =>
  checkJobAtServer(verifiedClaims(), sampleJob(), rules, async () => answer);
const refused = (code: string) => ({ name: 'AuthorizationError', code });
const user = (changes: object) => ({ ...HONEST, user: { ...HONEST.user, ...changes } });

describe('the question about the job', () => {
  it('is put once, with the job token of the response file', async () => {
    const asked: unknown[] = [];
    const outcome = await checkJobAtServer(verifiedClaims(), sampleJob(), REQUIRED, async (...words) => {
      asked.push(words);
      return answering(HONEST);
    });
    assert.equal(outcome, undefined);
    assert.deepEqual(asked, [['/api/v4/job', { 'job-token': SAMPLE_FACTS.token }]]);
  });

  it('that finds no server is a fault of the site in both modes', async () => {
    const failure = new SystemFailure({ code: 'ERR_SERVER_UNREACHABLE', message: 'x' });
    for (const rules of [AUTO, REQUIRED]) {
      await assert.rejects(
        checkJobAtServer(verifiedClaims(), sampleJob(), rules, () => Promise.reject(failure)),
        failure,
      );
    }
  });
});

describe('an answer that says something else', () => {
  const different: Record<string, object> = {
    'another job': { ...HONEST, id: 303 },
    'another user': user({ id: 43 }),
    'another login': user({ username: 'bob' }),
    'the login in another spelling': user({ username: 'Alice' }),
    'another pipeline': { ...HONEST, pipeline: { id: 89 } },
    ...Object.fromEntries(
      ['success', 'failed', 'canceled', 'canceling', 'pending', 'created', '', 'Running'].map((status) => [
        `the status "${status}"`,
        { ...HONEST, status },
      ]),
    ),
  };
  for (const [title, answer] of Object.entries(different)) {
    it(`${title} is a refusal in both modes, bots allowed or not`, async () => {
      for (const rules of [AUTO, REQUIRED, { ...AUTO, allowBotAccounts: true }]) {
        await assert.rejects(check(answering(answer), rules), refused('ERR_JOB_CHECK'));
      }
    });
  }

  for (const status of [401, 403]) {
    it(`status ${status} is a refusal: the job's token does not count there`, async () => {
      await assert.rejects(check(answering('{}', status)), refused('ERR_JOB_CHECK'));
    });
  }
});

describe('bots', () => {
  it('are refused unless the site allows them', async () => {
    await assert.rejects(check(answering(user({ bot: true }))), refused('ERR_BOT_ACCOUNT'));
    assert.equal(await check(answering(user({ bot: true })), { ...REQUIRED, allowBotAccounts: true }), undefined);
  });

  it('that the server does not tell from people pass with a remark, or not at all', async () => {
    assert.match((await check(answering(user({ bot: undefined })))) ?? '', /bot/);
    await assert.rejects(check(answering(user({ bot: undefined })), REQUIRED), refused('ERR_JOB_CHECK'));
    assert.equal(await check(answering(user({ bot: undefined })), { ...REQUIRED, allowBotAccounts: true }), undefined);
  });
});

describe('an answer that says nothing', () => {
  const unclear: Record<string, Answer> = {
    'status 404': answering('{"message":"404 Not Found"}', 404),
    'no JSON': answering('<html>'),
    'no bytes': answering(''),
    'bytes that are no text': answering(Buffer.from([0xff, 0xfe])),
    null: answering('null'),
    'a list': answering([HONEST]),
    'an id as text': answering({ ...HONEST, id: '302' }),
    'no user': answering({ ...HONEST, user: undefined }),
    'no pipeline': answering({ ...HONEST, pipeline: null }),
    'bot as text': answering(user({ bot: 'false' })),
    'bot as null': answering(user({ bot: null })),
  };
  for (const [title, answer] of Object.entries(unclear)) {
    it(`${title} passes with a remark where that is enough, and is refused where the check is required`, async () => {
      assert.ok(await check(answer));
      await assert.rejects(check(answer, REQUIRED), refused('ERR_JOB_CHECK'));
    });
  }

  for (const status of [0, 204, 301, 302, 400, 429, 500, 502, 503]) {
    it(`status ${status} is a fault of the site, to be tried again`, async () => {
      for (const rules of [AUTO, REQUIRED]) {
        await assert.rejects(check(answering(HONEST, status), rules), {
          name: 'SystemFailure',
          code: 'ERR_SERVER_UNREACHABLE',
        });
      }
    });
  }
});
