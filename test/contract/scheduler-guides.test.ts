// The guide of each scheduler: its sample configuration works, its table names every typed key.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseConfiguration } from '../../src/contract/config.ts';

const DIRECTORY = join(import.meta.dirname, '../../docs/schedulers');
const EXECUTORS = ['cobalt', 'flux', 'lsf', 'pbs', 'slurm'];

it('there is a guide for every scheduler', () => {
  assert.deepEqual(
    readdirSync(DIRECTORY).map((name) => name.replace(/\.md$/, '')),
    EXECUTORS,
  );
});

for (const executor of EXECUTORS) {
  describe(`the guide to ${executor}`, () => {
    const text = readFileSync(join(DIRECTORY, `${executor}.md`), 'utf8');

    it('has a configuration that is taken', () => {
      const samples = [...text.matchAll(/^```toml\n(.*?)^```$/gms)].map(([, sample = '']) => sample);
      assert.equal(samples.length, 1);
      for (const sample of samples) assert.equal(parseConfiguration(sample, 'custom.toml').general.executor, executor);
    });

    it('says what was tried', () => assert.match(text, /^\*\*What was tried\.\*\*/m));
  });
}
