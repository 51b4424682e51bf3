// The sample configurations of the packages are ones that the programs take.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { general } from '../../src/contract/config/general.ts';
import { parseConfiguration, requireAuth } from '../../src/contract/config.ts';

const SAMPLES = join(import.meta.dirname, '../../packaging/samples');
const status = general.keys['executor']?.notes.status ?? 'works';
const isBuilt = (executor: string) =>
  status === 'works' || ('works' in status && (status.works ?? []).includes(executor));

describe('the sample configuration', () => {
  for (const file of globSync('*.toml', { cwd: SAMPLES }).toSorted()) {
    const text = readFileSync(join(SAMPLES, file), 'utf8');
    const [, executor = ''] = /^ {2}executor = "(.*)"$/m.exec(text) ?? [];

    if (isBuilt(executor)) {
      it(`${file} is taken as it is`, () => {
        const { general: read, auth } = requireAuth(parseConfiguration(text, file));
        assert.equal(read.executor, executor);
        assert.deepEqual(auth.groupsAllowlist, ['ci-users']);
      });
    } else {
      it(`${file} is refused for what is not built yet, and for nothing else`, () => {
        const problems = complaint(text, file).split('\n');
        assert.deepEqual(
          problems.filter((problem) => !problem.includes('not implemented yet')),
          [],
        );
      });
    }
  }
});

function complaint(text: string, file: string): string {
  try {
    parseConfiguration(text, file);
    return 'taken';
  } catch (error) {
    return (error as Error).message;
  }
}
