// Asks the npm registry about known weaknesses of the packages in package-lock.json, those that are bundled and those
// that only build and test. Ends with 0 when it knows of none, 1 when it does, 3 when it cannot be asked.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** What counts of the answer of `npm audit --json`; `message` is there when the registry gave none. */
interface Answer {
  readonly message?: string;
  readonly metadata?: {
    readonly vulnerabilities: { readonly total: number };
    readonly dependencies: { readonly total: number };
  };
}

const { stdout } = spawnSync('npm', ['audit', '--json'], { cwd: join(import.meta.dirname, '..'), encoding: 'utf8' });
const { message, metadata } = JSON.parse(stdout) as Answer;
if (metadata === undefined) {
  process.stderr.write(`audit: NOT CHECKED, the registry cannot be asked: ${message ?? stdout}\n`);
  process.exitCode = 3;
} else if (metadata.vulnerabilities.total > 0) {
  process.stderr.write(`audit: ${stdout}\n`);
  process.exitCode = 1;
} else {
  process.stdout.write(`audit: no weakness is known of ${metadata.dependencies.total} npm packages\n`);
}
