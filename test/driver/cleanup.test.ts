// The last stage: works with whatever the others left, and with nothing.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { claimsOf } from '../support/claims.ts';
import { filesBelow } from '../support/files.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { mountSmall } from '../support/small-file-system.ts';
import type { StagedJob } from '../support/staged-job.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account, gitlab } = world;
const base = join(account.home, '.jacamar-ci');
const now = () => Math.floor(Date.now() / 1000);

const scripts = async () => (await filesBelow(join(base, 'scripts'))).map(({ path }) => path);
const notes = async () => (await filesBelow(join(base, 'jobs'))).map(({ path }) => path);
const claims = () => claimsOf(account);

test('cleanup without config does nothing, and well', async () => {
  const job = await world.stages();
  const { outcome, stdout, stderr } = await job.cleanup();
  assert.equal(outcome.kind, 'success', stderr);
  assert.equal(stdout + stderr, '');
  assert.ok(!existsSync(base));
});

test('cleanup after a refused config does nothing, and well', async () => {
  for (const wishes of [{ login: 'root' }, { token: null }, { token: () => 'nonsense' }]) {
    const job = await world.stages(wishes);
    await job.config();
    const { outcome, stderr } = await job.cleanup();
    assert.equal(outcome.kind, 'success', stderr);
    assert.ok(!existsSync(base));
  }
});

test('cleanup twice is as good as once', async () => {
  const job = await (await world.stages()).configured();
  await job.run('true');
  for (const round of [1, 2]) {
    const { outcome, stdout, stderr } = await job.cleanup();
    assert.equal(outcome.kind, 'success', stderr);
    assert.equal(stdout + stderr, '', `round ${round}`);
    assert.deepEqual(await scripts(), []);
    assert.deepEqual(await claims(), []);
  }
});

test('cleanup does its work also where the log cannot be opened any more; no other stage does', async () => {
  const place = world.at('log-of-its-own');
  mkdirSync(place);
  const options = { auth: { logging: { location: join(place, 'log') } } };
  const job = await (await world.stages({ options })).configured();
  rmSync(place, { recursive: true });
  assert.equal((await job.run('true')).outcome.kind, 'system-failure');
  assert.equal((await claims()).length, 1);
  const { outcome, stderr } = await job.cleanup();
  assert.equal(outcome.kind, 'success', stderr);
  assert.deepEqual([await claims(), await scripts()], [[], []]);
});

test('after cleanup no stage of the job runs any more', async () => {
  const job = await (await world.stages()).configured();
  await job.cleanup();
  const { outcome, stdout } = await job.run('echo ran');
  assert.equal(outcome.kind, 'system-failure');
  assert.equal(stdout, '');
});

test('an attempt that never ran leaves no record, so that the runner can try again', async () => {
  const job = await (await world.stages()).configured();
  assert.notDeepEqual(await world.recordOf(job.facts.id), []);
  await job.cleanup();
  assert.deepEqual(await world.recordOf(job.facts.id), []);
  const again = await job.config();
  assert.equal(again.outcome.kind, 'success', again.stderr);
  await job.cleanup();
});

/** A job whose token expires in a moment: it lives 40 seconds, 70 of them gone, 30 are the leeway for clocks. */
async function expired(delay: string, ageSeconds: number) {
  const options = { auth: { jwt_exp_delay: delay } };
  const honest = await world.stages({ options, facts: { timeoutSeconds: 40 } });
  await honest.configured();
  await honest.run('true');
  // The same job, the same token id, signed for a time that is over.
  const claims = JSON.parse(Buffer.from(tokenOf(honest).split('.')[1] ?? '', 'base64url').toString());
  const past = { iat: now() - ageSeconds - 40, nbf: now() - ageSeconds - 45, exp: now() - ageSeconds };
  const token = gitlab.sign({ ...claims, ...past });
  return world.stages({ options, facts: honest.facts, token: () => token });
}

function tokenOf(job: { response: { variables: readonly { key: string; value: string }[] } }): string {
  return job.response.variables.find(({ key }) => key === 'CI_JOB_JWT')?.value ?? '';
}

test('a token that has expired within jwt_exp_delay still cleans up the job on record', async () => {
  const job = await expired('10m', 300);
  const { outcome, stderr } = await job.cleanup();
  assert.equal(outcome.kind, 'success', stderr);
  assert.deepEqual(await scripts(), []);
  assert.deepEqual(await claims(), []);
});

test('an expired token runs nothing, within jwt_exp_delay either', async () => {
  const job = await expired('10m', 300);
  const { outcome, stdout } = await job.run('echo ran', 'build_script', {
    environment: { JACAMAR_CI_CONFIGURATION: await world.configure({ auth: { jwt_exp_delay: '10m' } }) },
  });
  assert.equal(outcome.kind, 'build-failure');
  assert.equal(stdout, '');
  assert.equal((await job.log()).at(-1)?.details?.['code'], 'ERR_TOKEN_EXPIRED');
  await job.cleanup();
});

test('beyond jwt_exp_delay cleanup rests on the record alone and says why in the log', async () => {
  const job = await expired('1m', 300);
  const { outcome } = await job.cleanup();
  assert.equal(outcome.kind, 'success');
  const warning = (await job.log()).find(({ level }) => level === 'WARN');
  assert.match(warning?.msg ?? '', /strength of the record/);
  assert.equal(warning?.details?.['code'], 'ERR_TOKEN_EXPIRED');
});

test('cleanup without its server works from the record', async () => {
  const state = world.at('state-offline');
  const options = { auth: { state_dir: state } };
  const job = await (await world.stages({ options })).configured();
  await job.run('true');
  await rm(join(state, 'keys'), { recursive: true });
  await gitlab.stopListening();
  const { outcome, stderr } = await job.cleanup();
  await gitlab.listen();
  assert.equal(outcome.kind, 'success', stderr);
  assert.ok((await job.log()).some(({ level, msg }) => level === 'WARN' && /strength of the record/.test(msg)));
});

test("cleanup leaves other jobs' scripts alone", async () => {
  const [one, two] = [await (await world.stages()).configured(), await (await world.stages()).configured()];
  await one.run('true');
  await two.run('true');
  await one.cleanup();
  const left = await scripts();
  assert.ok(
    left.some((path) => path.endsWith(`/${two.facts.id}/build_script.bash`)),
    left.join('\n'),
  );
  assert.ok(!left.some((path) => path.includes(`/${one.facts.id}`)), left.join('\n'));
  await two.cleanup();
});

async function scriptsDirectoryOf(job: StagedJob): Promise<string> {
  const placed = (await scripts()).find((path) => path.endsWith(`/${job.facts.id}/build_script.bash`));
  return dirname(placed ?? '');
}

describe('scripts that cannot be removed', () => {
  test('because their directories are read-only are removed all the same', async () => {
    const job = await (await world.stages()).configured();
    await job.run(
      `cd "$(dirname "$0")" && mkdir -p a/b && touch a/b/file && chmod -R a-w a && chmod 0 a/b && chmod 500 .`,
    );
    const { outcome, stderr } = await job.cleanup();
    assert.deepEqual([outcome.kind, stderr], ['success', '']);
    assert.deepEqual(await scripts(), []);
  });

  test('because one is immutable are named, and tried again by the next job, which says so', async () => {
    const job = await (await world.stages()).configured();
    await job.run('true');
    const path = join(await scriptsDirectoryOf(job), 'build_script.bash');
    execFileSync('chattr', ['+i', path]);
    const { outcome, stderr } = await job.cleanup();
    const next = await (await world.stages()).configured();
    const prepared = await next.prepare();
    execFileSync('chattr', ['-i', path]);
    assert.equal(outcome.kind, 'success');
    assert.ok(stderr.includes(path), stderr);
    assert.equal((await claims()).length, 1, 'the claim of the next job alone');
    assert.equal(prepared.outcome.kind, 'success');
    assert.ok(prepared.stderr.includes(path), prepared.stderr);
    const again = await next.prepare();
    assert.ok(!again.stderr.includes(path), again.stderr);
    assert.ok(!existsSync(path));
    await next.cleanup();
    assert.deepEqual(await notes(), []);
  });

  test('because something is mounted there are named, and what is mounted is left', async () => {
    const job = await (await world.stages()).configured();
    await job.run('true');
    const path = join(await scriptsDirectoryOf(job), 'mounted');
    const unmount = mountSmall(world, path, account, 'size=64k');
    writeFileSync(join(path, 'kept'), '');
    const { outcome, stderr } = await job.cleanup();
    assert.equal(outcome.kind, 'success');
    assert.ok(stderr.includes(path), stderr);
    assert.ok(existsSync(join(path, 'kept')));
    unmount();
    const next = await (await world.stages()).configured();
    await next.prepare();
    assert.ok(!existsSync(path));
    await next.cleanup();
  });
});

describe('the next job of an account', () => {
  /** Its own runner is killed with it. */
  async function killed(wishes: JobWishes = {}): Promise<StagedJob> {
    const job = await (await world.stages(wishes)).configured();
    await job.run('true');
    for (const path of await notes()) {
      const note = JSON.parse(readFileSync(path, 'utf8'));
      note.owner.owner.process = { pid: 1, startTime: '1' };
      writeFileSync(path, JSON.stringify(note));
    }
    return job;
  }

  test('removes the scripts of jobs whose runner is gone, and says so', async () => {
    const dead = [await killed(), await killed()];
    assert.ok((await scripts()).length > 0);
    const next = await (await world.stages()).configured();
    const { stderr } = await next.prepare();
    assert.match(stderr, /\b2 job/);
    assert.deepEqual(await scripts(), []);
    await next.cleanup();
    assert.deepEqual(await notes(), []);
    for (const job of dead) assert.equal((await job.cleanup()).outcome.kind, 'success');
  });

  test('keeps the scripts of jobs that are at work', async () => {
    const live = await (await world.stages()).configured();
    await live.run('true');
    const before = await scripts();
    const next = await (await world.stages()).configured();
    assert.equal((await next.prepare()).stderr, '');
    assert.deepEqual(await scripts(), before);
    await next.cleanup();
    await live.cleanup();
  });

  test('with retain_logs keeps scripts, but not the token beside them', async () => {
    const options = { general: { retain_logs: true } };
    const dead = await killed({ options });
    const directory = await scriptsDirectoryOf(dead);
    writeFileSync(join(directory, 'pass'), 'secret');
    const next = await (await world.stages({ options })).configured();
    await next.prepare();
    assert.ok(existsSync(join(directory, 'build_script.bash')));
    assert.ok(!existsSync(join(directory, 'pass')));
    await next.cleanup();
    await dead.cleanup();
    assert.ok(existsSync(join(directory, 'build_script.bash')));
    assert.deepEqual(await notes(), []);
  });

  test('is not led astray by what somebody wrote into a note', async () => {
    const dead = await killed();
    const victim = join(account.home, 'victim');
    mkdirSync(victim);
    const [path = ''] = await notes();
    const note = JSON.parse(readFileSync(path, 'utf8'));
    symlinkSync(account.home, join(base, 'scripts/link'));
    for (const directory of ['../../victim', '/victim', 'link/victim', '', '.', '..']) {
      writeFileSync(path, JSON.stringify({ ...note, directory }));
      const next = await (await world.stages()).configured();
      assert.equal((await next.prepare()).outcome.kind, 'success');
      assert.ok(existsSync(victim), directory);
      await next.cleanup();
    }
    rmSync(join(base, 'scripts/link'));
    writeFileSync(path, JSON.stringify(note));
    await dead.cleanup();
  });
});
