// The options of Cobalt's qsub: an allow list. Source: qsub(1) of Cobalt.

import { option, ours, refused, told } from '../batch/option.ts';
import type { Grammar } from '../batch/scheduler.ts';

const OUTPUT = 'the output of the job goes to the job log.';
const NO_JOB = 'nothing would be submitted.';
const INTERACTIVE = 'a CI job has no terminal.';
const CONTROL = 'the job runs as you, and nobody else may control it.';

export const COBALT_GRAMMAR: Grammar = {
  options: [
    { ...option('-n --nodecount', 'value', 'nodes'), plain: '-n' },
    { ...option('-t --time', 'value', 'time'), plain: '-t' },
    { ...option('-q --queue', 'value', 'partition'), plain: '-q' },
    { ...option('-A --project', 'value', 'account'), plain: '-A' },
    option('--proccount', 'value', 'tasks'),
    option('--attrs', 'value'),
    option('--env', 'value'),
    option('--geometry', 'value'),
    { ...option('-M --notify', 'value'), plain: '-M' },
    option('--kernel', 'value'),
    { ...option('-K --kerneloptions', 'value'), plain: '-K' },
    option('--ion_kernel', 'value'),
    option('--ion_kerneloptions', 'value'),
    { ...option('-v --verbose', 'nothing'), plain: '-v' },
    { ...option('-d --debug', 'nothing'), plain: '-d' },
    {
      ...told(
        '-h --held',
        'nothing',
        'the job waits until "qrls" lets it go; the CI job waits with it, and its timeout goes on.',
      ),
      plain: '-h',
    },
    told('--dependencies', 'value', 'the CI job waits for the other job, and its timeout goes on.'),
    ours('-o --output', 'value', OUTPUT),
    ours('-e --error', 'value', OUTPUT),
    ours('-O --outputprefix', 'value', OUTPUT),
    ours('--debuglog', 'value', OUTPUT),
    ours('--jobname', 'value', 'the job is found by the name that it gets here; SCHEDULER_JOB_PREFIX goes in front.'),
    ours('--cwd', 'value', 'the script goes to its build directory by itself.'),
    ours('--umask', 'value', 'the script has the mask of your login shell.'),
    refused('--mode', 'value', INTERACTIVE, /^interactive$/i),
    refused('-i --inputfile', 'value', 'the script gets its input from GitLab.'),
    refused('-I --interactive', 'nothing', INTERACTIVE),
    refused('--help --version', 'nothing', NO_JOB),
    refused('--preemptable', 'nothing', 'a job that is begun again would be run twice.'),
    refused('--user_list', 'value', CONTROL),
    refused('--run_users', 'value', CONTROL),
    refused('--run_project', 'nothing', CONTROL),
  ],
  abbreviatesLongOptions: true,
  bundlesShortOptions: true,
  unknown: 'refuse',
  refusedWords: {},
};
