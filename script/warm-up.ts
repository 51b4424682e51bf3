// Build step: plays a job against the bundles, so that their code caches hold what the stages of a job use, and not
// only what every start does. Started in a session of its own, since jacamar-auth refuses to work on a terminal.
//   node warm-up.ts BUNDLES ADDONS NODE OPTIONS…

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExecutorAttempt, type StageRecord } from '../src/jacamar-admin/attempt.ts';
import { parseConfigOutput } from '../src/jacamar-admin/config-output.ts';
import { startGitLab } from '../src/jacamar-admin/gitlab.ts';
import { jobFacts, jobResponse } from '../src/jacamar-admin/job.ts';
import { driverStages, runnerSettings } from '../src/jacamar-admin/runner-settings.ts';

const [bundles = '', addons = '', ...node] = process.argv.slice(2);

/** More than once: functions that are used often are worth being kept. */
const RUN_STAGES = ['prepare_script', 'get_sources', 'step_script', 'step_script', 'cleanup_file_variables'];

/** An installation of the bundles, with Node itself in place of the runtime. */
function install(prefix: string): void {
  for (const directory of ['bin', 'libexec', 'home', 'runner']) mkdirSync(join(prefix, directory), { mode: 0o700 });
  symlinkSync(addons, join(prefix, 'lib'));
  const maker = join(import.meta.dirname, 'make-code-cache.cjs');
  for (const program of ['jacamar-auth', 'jacamar']) {
    const words = [...node, maker, bundles, prefix, program].map((word) => `'${word}'`);
    const text = `#!/bin/sh\nJACAMAR_OPEN_FILES=$(ulimit -n) exec ${words.join(' ')} "$@"\n`;
    writeFileSync(join(prefix, 'bin', program), text, { mode: 0o700 });
  }
  const configuration = [
    '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\nlimit_build_dir = true',
    `[auth]\ndownscope = "setuid"\nstate_dir = "${prefix}/state"`,
    `[auth.logging]\nlocation = "${prefix}/log"\nlevel = "info"\n`,
  ].join('\n');
  writeFileSync(join(prefix, 'custom.toml'), configuration, { mode: 0o600 });
}

async function playJob(prefix: string): Promise<void> {
  const gitlab = await startGitLab();
  try {
    const stages = driverStages({
      executable: join(prefix, 'bin/jacamar-auth'),
      configuration: join(prefix, 'custom.toml'),
    });
    const settings = runnerSettings({ stages, temporaryRoot: join(prefix, 'runner') });
    const facts = jobFacts({ serverUrl: gitlab.url, login: 'builder' });
    gitlab.addJob(facts);
    const idTokens = { CI_JOB_JWT: gitlab.tokenFor(facts, { aud: gitlab.url }) };
    const attempt = await ExecutorAttempt.open(settings, jobResponse(facts, { script: ['true'], idTokens }));
    const parsed = parseConfigOutput(wellDone(await attempt.call('config')).stdout);
    if (parsed.kind === 'parsed') attempt.adopt(parsed.result);
    wellDone(await attempt.call('prepare'));
    for (const stage of RUN_STAGES) wellDone(await attempt.runStage(stage, { script: 'echo done\n' }));
    wellDone(await attempt.call('cleanup'));
  } finally {
    await gitlab.close();
  }
}

function wellDone(record: StageRecord): StageRecord {
  if (record.outcome.kind === 'success') return record;
  throw new Error(`${record.name}: ${record.outcome.text}\n${record.stderr}`);
}

const prefix = mkdtempSync(join(tmpdir(), 'jacamar-warm-up.'));
try {
  install(prefix);
  await playJob(prefix);
} finally {
  rmSync(prefix, { recursive: true, force: true });
}
