// The path of a project becomes names of directories. GitLab gives harmless ones; a server that does not, or an address
// that somebody tampered with, gets no further than to its name.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobResponse } from '../../src/jacamar-admin/job.ts';
import { ask } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const base = join(world.account.home, '.jacamar-ci');

/** The address of the repository with another path, as it would stand in the job response. */
function withPath(path: string): (job: JobResponse) => JobResponse {
  return (job) => {
    const { origin, username, password } = new URL(job.git_info.repo_url);
    const address = `${origin.replace('://', `://${username}:${password}@`)}/${path}.git`;
    return { ...job, git_info: { ...job.git_info, repo_url: address } };
  };
}

const long = 'n'.repeat(200);
for (const path of ['a.b/c_d/E-9', `${long}/${long}`, '.hidden/...x', 'a/b/c/d/e/f']) {
  test(`the scripts of ${path.slice(0, 40)} lie in directories of these names`, async () => {
    const job = await (await world.stages({ forge: withPath(path) })).configured();
    const { stdout, outcome } = await job.run('dirname "$0"');
    assert.equal(outcome.kind, 'success');
    assert.equal(stdout.trim(), join(base, 'scripts/TrialRunn/000', path, String(job.facts.id)));
    await job.cleanup();
    assert.deepEqual(await readdir(join(base, 'scripts')), []);
  });
}

for (const path of ['group/../x', 'group/%2e%2e/x', '../../x', './x']) {
  test(`${path} leads to x, as it does for the runner, and never above`, async () => {
    const job = await (await world.stages({ forge: withPath(path) })).configured();
    const { stdout } = await job.run('dirname "$0"');
    assert.equal(stdout.trim(), join(base, 'scripts/TrialRunn/000/x', String(job.facts.id)));
    await job.cleanup();
  });
}

const bad = {
  'a line break': 'group/a%0ab',
  'a NUL': 'group/a%00b',
  'an escape sequence': 'group/%1b[2J',
  'a slash in a name': 'group/a%2fb',
  'a way upwards in a name': 'group/..%2f..%2fx',
  'a leading dash': '-rf/x',
  'a leading dash at the end': 'group/-x',
  'a tilde': '~root/x',
  'a variable': '$HOME/x',
  'a command': 'group/$(id)',
  'letters of another script': 'gruppe/ünï',
  'the same, encoded': 'gruppe/%C3%BCn%C3%AF',
  'a mark that writes from right to left': 'group/%E2%80%AEx',
  'a blank': 'group/a%20b',
  'an empty name': 'group//x',
  'a name that is too long': `group/${'n'.repeat(256)}`,
};
for (const [title, path] of Object.entries(bad)) {
  test(`${title} in a project path is refused, once and in one line`, async () => {
    const { record, log } = await ask(world, { forge: withPath(path) });
    assert.equal(record.outcome.kind, 'build-failure', record.stderr);
    assert.equal(record.stdout, '');
    assert.match(record.stderr, /^The project path "[^\n\p{Cc}]*" cannot be used as a directory name; [^\n]*\n$/u);
    assert.ok(JSON.stringify(log).includes('ERR_PROJECT_PATH') || log.length === 0, JSON.stringify(log));
    assert.ok(!existsSync(join(base, 'scripts/TrialRunn')));
  });
}
