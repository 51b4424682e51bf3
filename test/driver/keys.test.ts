// Where the keys come from that decide over every job: one server, asked rarely, for a bounded time, and never
// believed when its answer is not a key set. A server's fault is no fault of the job: the runner tries again.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Misbehaviour, startGitLab } from '../../src/jacamar-admin/gitlab.ts';
import { eventually } from '../support/eventually.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { gitlab } = world;
const other = await startGitLab();
after(() => other.close());

let states = 0;
/** A site that has no key yet. */
function freshState(): JobWishes {
  states += 1;
  return { options: { auth: { state_dir: world.at(`state-${states}`) } } };
}

test('one fetch of the keys serves a whole job and the next one', async () => {
  const fresh = freshState();
  const before = gitlab.keysFetched;
  const first = await world.play(fresh);
  assert.equal(first.verdict, 'success', first.jobLog);
  assert.equal(gitlab.keysFetched - before, 1);
  const second = await world.play(fresh);
  assert.equal(second.verdict, 'success', second.jobLog);
  assert.equal(gitlab.keysFetched - before, 1);
});

test('without a server a job is a system failure, tried three times, and succeeds when the server is back', async () => {
  const fresh = freshState();
  await gitlab.stopListening();
  const played = await world.play(fresh);
  await gitlab.listen();
  assert.equal(played.verdict, 'system-failure');
  assert.equal(played.stages.filter(({ name }) => name === 'config').length, 3);
  assert.equal(
    played.jobLog.match(/keys of the GitLab server cannot be had .*\(reference [0-9a-f]{8}\)/g)?.length,
    3,
    played.jobLog,
  );
  const failed = played.log.filter(({ msg }) => msg === 'stage failed');
  assert.equal(failed.length, 3);
  for (const { level, details } of failed) {
    assert.equal(level, 'ERROR');
    assert.equal(details?.['code'], 'ERR_KEYS_UNAVAILABLE');
    assert.match(String(details?.['error']), /ECONNREFUSED/);
  }
  await eventually('jobs run again', async () => (await world.play(fresh)).verdict === 'success');
});

test('a server that stops answering holds a stage for about ten seconds', async () => {
  gitlab.behaviour.keys = { delayMs: 60_000 };
  const job = await world.stages(freshState());
  const { outcome, durationMs, stdout } = await job.config();
  delete gitlab.behaviour.keys;
  assert.equal(outcome.kind, 'system-failure');
  assert.equal(stdout, '');
  assert.ok(durationMs > 9_000 && durationMs < 50_000, `${durationMs} ms`);
  assert.match(String((await job.log()).at(-1)?.details?.['error']), /no answer within 10 s/);
});

const badAnswers: Record<string, Misbehaviour> = {
  'no body': { body: '' },
  'a page of HTML': { body: '<html>login</html>', headers: { 'content-type': 'text/html' } },
  'an empty key set': { body: '{"keys":[]}' },
  'keys that are no array': { body: '{"keys":{}}' },
  'another document': { body: '[]' },
  'invalid UTF-8': { body: '{"keys":["\ud800"]}' },
  'a body beyond all measure': { body: `{"keys":[],"x":"${'x'.repeat(3 << 20)}"}` },
  'status 500': { status: 500 },
  'status 404': { status: 404, body: '{}' },
  'a redirection': { status: 302, headers: { location: `${other.url}/oauth/discovery/keys` } },
  'a connection that closes': { hangUp: true },
};

for (const [title, behaviour] of Object.entries(badAnswers)) {
  test(`a key set answered with ${title} is a system failure that names the keys, not a refusal`, async () => {
    gitlab.behaviour.keys = behaviour;
    const job = await world.stages(freshState());
    const { outcome, stdout, stderr } = await job.config();
    delete gitlab.behaviour.keys;
    assert.equal(outcome.kind, 'system-failure');
    assert.equal(stdout, '');
    assert.match(stderr, /^The keys of the GitLab server cannot be had at the moment; .*\(reference [0-9a-f]{8}\)\n$/);
    assert.equal((await job.log()).at(-1)?.details?.['code'], 'ERR_KEYS_UNAVAILABLE');
    assert.deepEqual(other.requests, []);
  });
}

test('a server that cannot say whose the job is gets another try; one that is too old to know is let pass', async () => {
  gitlab.behaviour.job = { status: 503 };
  const broken = await world.play();
  assert.equal(broken.verdict, 'system-failure');
  gitlab.behaviour.job = { status: 404 };
  const old = await world.play();
  assert.equal(old.verdict, 'success', old.jobLog);
  assert.ok(old.log.some(({ level, msg }) => level === 'WARN' && /could not be checked at the server/.test(msg)));
  const strict = await world.play({ options: { auth: { verify_job: 'required' } } });
  assert.equal(strict.verdict, 'build-failure');
  delete gitlab.behaviour.job;
});
