// The one thing that the config stage prints.

import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, it } from 'node:test';
import { describeConfig } from '../../src/contract/config-output.ts';

const PARTS = {
  layout: {
    base: '/home/alice/.jacamar-ci',
    job: { id: 7, runner: 'abc' },
    settings: { limitBuildDir: false, staticBuildsDir: false },
  },
  slot: 2,
  jobEnvironment: { A: '/x' },
};

describe('the output of the config stage', () => {
  it('has the members that the runner reads, and no others', () => {
    const { driver, hostname, ...rest } = describeConfig(PARTS);
    assert.equal(driver.name, 'Jacamar CI');
    assert.match(driver.version, /^\S+$/);
    assert.match(hostname, /^[A-Za-z0-9.-]+$/);
    assert.deepEqual(rest, {
      job_env: { A: '/x' },
      builds_dir: '/home/alice/.jacamar-ci/builds/abc/002',
      cache_dir: '/home/alice/.jacamar-ci/cache',
      builds_dir_is_shared: false,
      shell: 'bash',
    });
  });

  it('is valid for the host it is made on', () =>
    assert.ok(describeConfig(PARTS).hostname.length === os.hostname().length));
});
