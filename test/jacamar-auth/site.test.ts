// The runner's description of the job: read from the runner's own file, or not at all.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { defaultStateDirectory, readJob } from '../../src/jacamar-auth/site.ts';
import { scratchDirectory } from '../support/scratch.ts';

const RESPONSE = {
  id: 302,
  token: 'secret',
  job_info: { project_id: 7 },
  git_info: { repo_url: 'https://gitlab.example.com/a/b.git' },
  runner_info: {},
};
const unusable = { name: 'SystemFailure', code: 'ERR_JOB_RESPONSE' };
const read = (path: string | undefined) => readJob({ JOB_RESPONSE_FILE: path });

function place(context: TestContext, text = JSON.stringify(RESPONSE)): string {
  const file = join(scratchDirectory(context), 'response.json');
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

describe('the job response file', () => {
  it('is the one that the runner names', (context) => {
    assert.equal(read(place(context)).id, 302);
  });

  it('is not one that a CI variable names', (context) => {
    assert.throws(() => readJob({ CUSTOM_ENV_JOB_RESPONSE_FILE: place(context) }), unusable);
  });

  it('has to be there, whole, and JSON', (context) => {
    for (const path of [undefined, '', 'response.json', '/nonexistent/response.json'])
      assert.throws(() => read(path), unusable);
    for (const text of ['', JSON.stringify(RESPONSE).slice(0, -1), '{}'])
      assert.throws(() => read(place(context, text)), unusable);
  });

  it('has to be a file that nobody else could have written', (context) => {
    const damages: ((file: string) => void)[] = [
      (file) => chmodSync(file, 0o620),
      (file) => chmodSync(file, 0o602),
      (file) => chownSync(file, 65534, 0),
      (file) => chmodSync(join(file, '..'), 0o777),
    ];
    for (const damage of damages) {
      const file = place(context);
      damage(file);
      assert.throws(() => read(file), unusable);
    }
    const file = place(context);
    symlinkSync(file, `${file}.link`);
    mkdirSync(`${file}.directory`);
    for (const name of ['link', 'directory']) assert.throws(() => read(`${file}.${name}`), unusable);
  });
});

describe('the state directory', () => {
  it('of root lies in /run, which nobody else can write to and a reboot empties', () => {
    assert.equal(defaultStateDirectory(), '/run/jacamar');
  });
});
