// A directory of a test's own, mode 0700, gone with the test.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export function scratchDirectory(context: Pick<TestContext, 'after'>): string {
  const path = mkdtempSync(join(tmpdir(), 'jt_'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
