// The handoff of a batch job, for unit tests.

import { parseConfiguration } from '../../src/contract/config.ts';
import { type Handoff, settingsOf } from '../../src/contract/handoff.ts';
import { identityOf } from '../../src/contract/process-identity.ts';
import { type Entry, entryFor } from '../../src/jacamar/executors/batch/submissions.ts';

const GENERAL = '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n';

/** @param batch lines of `[batch]` */
export function batchSettings(batch = ''): Handoff['settings'] {
  return settingsOf(parseConfiguration(`${GENERAL}[batch]\n${batch}`, 'custom.toml'), {});
}

export function batchHandoff(base: string, changes: Partial<Handoff> = {}): Handoff {
  const job = { id: 1, server: 'https://gitlab.example', projectPath: 'g/p', runner: 'r', concurrent: 0 };
  return {
    protocol: 1,
    stage: 'run',
    runStage: 'build_script',
    job: { ...job, timeoutSeconds: 3600, startedAt: Date.now() },
    account: { name: 'jt', home: base, shell: '/bin/bash' },
    runnerProcess: identityOf(process.pid),
    base,
    settings: batchSettings(),
    variables: {},
    ...changes,
  };
}

export function submissionEntry(
  base: string,
  name: string,
  id: string,
  submittedAt = Date.now(),
): Entry & { id: string } {
  return { ...entryFor(batchHandoff(base), { name, submittedAt }), id };
}
