// Without jacamar-auth: the handoff says the same as one of jacamar-auth would.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { handoffByHand } from '../../src/jacamar/by-hand.ts';
import { scratchDirectory } from '../support/scratch.ts';

const RESPONSE = {
  id: 302,
  token: 'glcbt-secret',
  job_info: { name: 'build', stage: 'test', pipeline_id: 88, project_id: 7, user_id: 42, scoped_user_id: 0 },
  git_info: { repo_url: 'https://gitlab-ci-token:glcbt-secret@gitlab.example.com/group/project.git', sha: 'abc' },
  runner_info: { timeout: 3600 },
  variables: [],
  steps: [{ script: ['x'] }],
};

function handoff(context: TestContext, environment: Record<string, string>) {
  const directory = scratchDirectory(context);
  const configurationPath = join(directory, 'custom.toml');
  const batch = '[batch]\narguments_variable = ["SITE_PARAMETERS"]\n';
  writeFileSync(configurationPath, `[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n${batch}`);
  writeFileSync(join(directory, 'job.json'), JSON.stringify(RESPONSE));
  const runner = {
    JOB_RESPONSE_FILE: join(directory, 'job.json'),
    CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN: 'abcdefgh',
    CUSTOM_ENV_CI_CONCURRENT_ID: '0',
    CUSTOM_ENV_CI_CONCURRENT_PROJECT_ID: '0',
  };
  return handoffByHand({ stage: 'prepare', configurationPath }, { ...runner, ...environment }).handoff;
}

describe('a handoff made by hand', () => {
  it('knows when the config stage began', (context) => {
    assert.equal(handoff(context, { JACAMAR_CI_STARTED: '1795645877000' }).job.startedAt, 1_795_645_877_000);
  });

  it('takes the moment for that where nothing, or nonsense, is said', (context) => {
    const before = Date.now();
    for (const environment of [{}, { JACAMAR_CI_STARTED: 'x' }, { JACAMAR_CI_STARTED: '-1' }]) {
      assert.ok(handoff(context, environment).job.startedAt >= before);
    }
  });

  it('has the variables of submissions, and those that the site names', (context) => {
    const { variables } = handoff(context, {
      CUSTOM_ENV_SCHEDULER_TIME: '10m',
      CUSTOM_ENV_SITE_PARAMETERS: '-n 1',
      CUSTOM_ENV_OTHER: 'x',
      SCHEDULER_NODES: '2',
    });
    assert.deepEqual(variables, { SCHEDULER_TIME: '10m', SITE_PARAMETERS: '-n 1' });
  });
});
