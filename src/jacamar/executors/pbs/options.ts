// The options of qsub: an allow list. Short ones only, which getopt bundles. Source: qsub(1B) of OpenPBS 23.06; what
// Torque has besides is from its documents.

import { option, ours, refused, told } from '../batch/option.ts';
import type { Grammar } from '../batch/scheduler.ts';

const OUTPUT = 'the output of the job goes to the job log.';
const ENVIRONMENT = 'the job has the environment of your login shell on the compute node.';
const SEVERAL = 'it would make several jobs of one. One CI job is one job of PBS.';
const INTERACTIVE = 'a CI job has no terminal.';
/** Attributes by which -W would break the job, or say again what options of their own say. */
const NOT_ADDITIONAL = [
  ...['array', 'block', 'checkpoint', 'create_resv_from_job', 'interactive', 'release_nodes', 'run_count', 'sandbox'],
  ...['stagein', 'stageout', 'umask', 'user_list', 'shell_path_list', 'variable_list'],
  ...['account_name', 'destination', 'project', 'queue', 'job_name', 'error_path', 'output_path', 'join_path'],
  ...['keep_files', 'remove_files', 'rerunable', 'no_stdio_sockets'],
] as const;

export const PBS_GRAMMAR: Grammar = {
  options: [
    option('-l', 'value'),
    option('-q', 'value', 'partition'),
    option('-A', 'value', 'account'),
    option('-P', 'value'),
    option('-p', 'value'),
    option('-m', 'value'),
    option('-M', 'value'),
    refused(
      '-W',
      'value',
      'of -W only depend, group_list and site attributes can be used in a CI job.',
      new RegExp(`(?:^|,)\\s*(?:${NOT_ADDITIONAL.join('|')})`, 'i'),
    ),
    told('-h', 'nothing', 'the job waits until "qrls" lets it go; the CI job waits for that, and its timeout goes on.'),
    told('-a', 'value', 'the CI job waits for that time, and its timeout goes on.'),
    ours('-N', 'value', 'the job is found by the name that it gets here; SCHEDULER_JOB_PREFIX goes in front.'),
    ours('-o', 'value', OUTPUT),
    ours('-e', 'value', OUTPUT),
    ours('-j', 'value', OUTPUT),
    ours('-k', 'value', OUTPUT),
    ours('-r', 'value', 'a CI job is never run a second time.'),
    ours('-f', 'nothing', 'qsub stays in the foreground in any case.'),
    ours('-C', 'value', 'directives in a script are not read here.'),
    ours('-V', 'nothing', ENVIRONMENT),
    ours('-v', 'value', ENVIRONMENT),
    refused('-I', 'nothing', INTERACTIVE),
    refused('-X', 'nothing', INTERACTIVE),
    refused('-G', 'optional', INTERACTIVE),
    refused('-J', 'value', SEVERAL),
    refused('-t', 'value', SEVERAL),
    refused('-z', 'nothing', 'it hides the number of the job, so that nobody could watch it.'),
    refused('-R', 'value', 'it removes the output before it can be read.'),
    refused('-S', 'value', 'it takes the place of the shell that runs the job.'),
    refused('-u', 'value', 'the job runs as you, and as nobody else.'),
    refused('-c', 'value', 'a job that is begun again from a checkpoint would be run twice.'),
    refused('--version', 'nothing', 'nothing would be submitted.'),
  ],
  abbreviatesLongOptions: false,
  bundlesShortOptions: true,
  unknown: 'refuse',
  refusedWords: {},
};
