// Build step: plays a job against the bundles, so that their code caches hold what the stages of a job use, and not
// only what every start does. Started in a session of its own, since jacamar-auth refuses to work on a terminal.
//   node warm-up.ts BUNDLES ADDONS NODE OPTIONS…

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Playground, wellDone } from './playground.ts';

const [bundles = '', addons = '', ...node] = process.argv.slice(2);

const RUN_STAGES = ['prepare_script', 'get_sources', 'step_script', 'after_script', 'cleanup_file_variables'];

/** An installation of the bundles, with Node itself in place of the runtime. */
function install(prefix: string): void {
  for (const directory of ['bin', 'libexec', 'home']) mkdirSync(join(prefix, directory), { mode: 0o700 });
  symlinkSync(addons, join(prefix, 'lib'));
  const maker = join(import.meta.dirname, 'make-code-cache.cjs');
  for (const program of ['jacamar-auth', 'jacamar']) {
    const words = [...node, maker, bundles, prefix, program].map((word) => `'${word}'`);
    const text = `#!/bin/sh\nJACAMAR_OPEN_FILES=$(ulimit -n) exec ${words.join(' ')} "$@"\n`;
    writeFileSync(join(prefix, 'bin', program), text, { mode: 0o700 });
  }
}

async function playJob(prefix: string): Promise<void> {
  const playground = await Playground.open({ directory: prefix, stateDirectory: join(prefix, 'state'), prefix });
  try {
    const attempt = await playground.configured('builder');
    wellDone(await attempt.call('prepare'));
    for (const stage of RUN_STAGES) wellDone(await attempt.runStage(stage, { script: 'echo done\n' }));
    wellDone(await attempt.call('cleanup'));
  } finally {
    await playground.close();
  }
}

const prefix = mkdtempSync(join(tmpdir(), 'jacamar-warm-up.'));
try {
  install(prefix);
  await playJob(prefix);
} finally {
  rmSync(prefix, { recursive: true, force: true });
}
