// The command line of jacamar-auth. Apart from main.ts, which runs on import, so that manual page and completions
// can be made from it.

import { addStages, createProgram } from '../contract/command-line.ts';
import type { StageCall } from '../contract/runner-call.ts';

const DESCRIPTION =
  'Authorizes a GitLab CI job by its signed ID token and runs it as the local account of the person who ' +
  "triggered it. Called by GitLab Runner's custom executor.";

/** @param act gets the call of the stage that the runner named */
export function commandLine(act: (call: StageCall) => void) {
  return addStages(createProgram('jacamar-auth', DESCRIPTION), act).option(
    '-u, --unobfuscated',
    'show the reason of a refusal in the job log; for tests of a deployment',
  );
}
