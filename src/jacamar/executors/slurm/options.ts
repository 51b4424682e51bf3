// The options of sbatch: an allow list, since sbatch takes abbreviations and grows options with every release. What
// would break a CI job is here as well, with the reason. Source: `sbatch --help` of 22.05, documents up to 25.11.

import { option, ours, refused, told } from '../batch/option.ts';
import type { Grammar, Option } from '../batch/scheduler.ts';

const RESOURCES: readonly Option[] = [
  option('-N --nodes', 'value', 'nodes'),
  option('-n --ntasks', 'value', 'tasks'),
  option('-c --cpus-per-task', 'value', 'cpusPerTask'),
  option('-G --gpus', 'value', 'gpus'),
  option('--gpus-per-node', 'value', 'gpus'),
  option('--gpus-per-socket', 'value', 'gpus'),
  option('--gpus-per-task', 'value', 'gpus'),
  option('--mem', 'value', 'memory'),
  option('--mem-per-cpu', 'value', 'memory'),
  option('--mem-per-gpu', 'value', 'memory'),
  option('-t --time', 'value', 'time'),
  option('-p --partition', 'value', 'partition'),
  option('-A --account', 'value', 'account'),
  option('-q --qos', 'value', 'qos'),
  option('-C --constraint', 'value', 'constraint'),
  option('--reservation', 'value', 'reservation'),
  option('--exclusive', 'optional', 'exclusive'),
];

const ALLOWED: readonly Option[] = [
  ...(
    '--acctg-freq --batch --comment --core-spec,-S --cores-per-socket --cpu-freq --cpus-per-gpu --delay-boot ' +
    '--distribution,-m --exclude,-x --extra --extra-node-info,-B --gpu-bind --gpu-freq --gres --gres-flags --hint ' +
    '--licenses,-L --mail-type --mail-user --mcs-label --mem-bind --mincpus --network --nodefile,-F --nodelist,-w ' +
    '--ntasks-per-core --ntasks-per-gpu --ntasks-per-node --ntasks-per-socket --oom-kill-step --power --prefer ' +
    '--priority --profile --segment --signal --sockets-per-node --switches --thread-spec --threads-per-core ' +
    '--time-min --tmp --tres-bind --tres-per-task --wait-all-nodes --wckey'
  )
    .split(' ')
    .map((names) => option(names.replace(',', ' '), 'value')),
  ...'--contiguous --ignore-pbs --overcommit,-O --oversubscribe,-s --reboot --spread-job --stepmgr --use-min-nodes --verbose,-v'
    .split(' ')
    .map((names) => option(names.replace(',', ' '), 'nothing')),
  option('--nice', 'optional'),
  option('--propagate', 'optional'),
  option('--resv-ports', 'optional'),
];

const WAITS = 'the CI job waits for that, and its timeout goes on.';
const DELAYING: readonly Option[] = [
  told('-H --hold', 'nothing', `the job waits until "scontrol release" lets it go; ${WAITS}`),
  told('-b --begin', 'value', WAITS),
  told('-d --dependency', 'value', WAITS),
  told('--deadline', 'value', 'Slurm removes the job when it cannot end before that.'),
];

const OUTPUT = 'the output of the job is followed into the job log, and kept in a file of ours.';
const ENVIRONMENT = 'the job gets the environment of a login shell, and its CI variables.';
const OURS: readonly Option[] = [
  ours('-o --output', 'value', OUTPUT),
  ours('--open-mode', 'value', OUTPUT),
  ours('-J --job-name', 'value', 'the job is found by its name. SCHEDULER_JOB_PREFIX goes in front of it.'),
  ours('--parsable', 'nothing', 'the answer of sbatch is read by us.'),
  ours('--requeue', 'nothing', 'a CI job is never run a second time by Slurm; see "retry" of GitLab.'),
  ours('--no-requeue', 'nothing', 'that is always so.'),
  ours('--kill-on-invalid-dep', 'value', 'that is always so.'),
  ours('-D --chdir', 'value', "the script starts in the job's own directory; use cd in the script."),
  ours('--export', 'value', ENVIRONMENT),
  ours('--export-file', 'value', ENVIRONMENT),
  ours('--get-user-env', 'optional', ENVIRONMENT),
];

const NO_JOB = 'sbatch would submit nothing.';
const CLUSTERS = 'the job is looked for on the cluster of this host only.';
const ROOT = 'a job runs as its own account.';
const BURST_BUFFER = 'it would put a file into the script of the job.';
const REFUSED: readonly Option[] = [
  refused('-e --error', 'value', 'both outputs of the job go into the job log. Use 2>file in the script.'),
  refused('-i --input', 'value', 'standard input is empty in CI. Use <file in the script.'),
  refused('-W --wait', 'nothing', 'sbatch would wait in our place. The end of the job is waited for anyway.'),
  refused('-a --array', 'value', 'one CI job is one job of Slurm. Use "parallel" of GitLab.'),
  refused('--test-only', 'nothing', NO_JOB),
  refused('-h --help', 'nothing', NO_JOB),
  refused('-u --usage', 'nothing', NO_JOB),
  refused('-V --version', 'nothing', NO_JOB),
  refused('-Q --quiet', 'nothing', 'sbatch would not tell the number of the job.'),
  refused('-M --clusters --cluster', 'value', CLUSTERS),
  refused('--cluster-constraint', 'value', CLUSTERS),
  refused('--wrap', 'value', "it would replace the job's script. Write the command into the script."),
  refused('--bb', 'value', BURST_BUFFER),
  refused('--bbf', 'value', BURST_BUFFER),
  refused(
    '--container',
    'value',
    'it would start our side of the job in the container. Use srun --container in the script.',
  ),
  refused('--container-id', 'value', 'it would start our side of the job in the container.'),
  refused('-k --no-kill', 'optional', 'a job that has lost a node could go on for ever.'),
  refused('--uid', 'value', ROOT),
  refused('--gid', 'value', ROOT),
];

export const SLURM_GRAMMAR: Grammar = {
  options: [...RESOURCES, ...ALLOWED, ...DELAYING, ...OURS, ...REFUSED],
  abbreviatesLongOptions: true,
  bundlesShortOptions: true,
  unknown: 'refuse',
  refusedWords: { ':': 'it would make several jobs of one (a heterogeneous job). One CI job is one job of Slurm.' },
};
