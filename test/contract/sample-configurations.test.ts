// The sample configurations of the packages are ones that the programs take.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseConfiguration, requireAuth } from '../../src/contract/config.ts';

const SAMPLES = join(import.meta.dirname, '../../packaging/samples');

describe('the sample configuration', () => {
  for (const file of globSync('*.toml', { cwd: SAMPLES }).toSorted()) {
    it(`${file} is taken as it is`, () => {
      const text = readFileSync(join(SAMPLES, file), 'utf8');
      const [, executor] = /^ {2}executor = "(.*)"$/m.exec(text) ?? [];
      const { general, auth } = requireAuth(parseConfiguration(text, file));
      assert.equal(general.executor, executor);
      assert.deepEqual(auth.groupsAllowlist, ['ci-users']);
    });
  }
});
