// One of several programs that note down a job and make the directory of its scripts, again and again. Arguments: base,
// number of the job and of its build directory, rounds. Ends with status 1 when that failed.

import type { Handoff } from '../../src/contract/handoff.ts';
import { openScripts } from '../../src/jacamar/job-scripts.ts';

const [base = '', number = '0', rounds = '0'] = process.argv.slice(2);
const handoff = {
  base,
  account: { home: base },
  job: { server: 's', id: Number(number), projectPath: 'group/project', runner: 'runner', timeoutSeconds: 60 },
  runnerProcess: { pid: process.pid, startTime: '' },
  settings: { groupPermissions: false, sharedParents: true },
} as Handoff;

for (let round = 0; round < Number(rounds); round++) openScripts(handoff, Number(number));
