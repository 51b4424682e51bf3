// Directories of a job are made while other jobs of the account remove theirs.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { scratchDirectory } from '../support/scratch.ts';

test('a job gets its directories while others remove what they leave empty on the same way', async (context) => {
  const base = scratchDirectory(context);
  const racer = join(import.meta.dirname, '../support/way-racer.ts');
  const run = promisify(execFile);
  const races = ['000', '001', '002'].map((own) =>
    run(process.execPath, [racer, base, own, '400'], { timeout: 600_000 }),
  );
  await Promise.all(races);
});
