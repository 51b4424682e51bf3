// The output of a job that was too long for its log.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { keepLog } from '../../../../src/jacamar/executors/batch/kept-log.ts';
import { batchHandoff } from '../../../support/batch-handoff.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

it('is kept under the name of the batch job', (t) => {
  const base = scratchDirectory(t);
  const output = join(base, 'output.log');
  writeFileSync(output, 'much');
  const kept = keepLog(batchHandoff(base), output, 'ci-1');
  assert.equal(kept, join(base, 'logs', 'ci-1.log'));
  assert.equal(readFileSync(kept, 'utf8'), 'much');
});

it('that cannot be kept does not change how the job ended', (t) => {
  const base = scratchDirectory(t);
  mkdirSync(join(base, 'logs'), { mode: 0o700 });
  assert.equal(keepLog(batchHandoff(base), join(base, 'removed-by-the-job'), 'ci-1'), undefined);
});
