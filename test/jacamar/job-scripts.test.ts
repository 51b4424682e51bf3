// Jobs of one account note down their scripts in one directory, also from several hosts and containers.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { scratchDirectory } from '../support/scratch.ts';

test("two jobs whose processes have one number, in two containers, do not take each other's note", async (context) => {
  const base = scratchDirectory(context);
  const racer = join(import.meta.dirname, '../support/scripts-racer.ts');
  const run = promisify(execFile);
  const container = ['--pid', '--fork', '--mount-proc', '--kill-child', process.execPath, racer, base];
  await Promise.all(['1', '2'].map((job) => run('unshare', [...container, job, '1000'], { timeout: 600_000 })));
});
