// The options of flux submit and flux batch: an allow list. The two call the same things by different long names
// (tasks here, slots there), so the short ones are written out. Source: flux-submit(1) and flux-batch(1) of 0.88.

import { option, ours, refused, told } from '../batch/option.ts';
import type { Grammar, Option } from '../batch/scheduler.ts';

const ONE_JOB = 'it would make several jobs of one. One CI job is one job of Flux.';
const NO_JOB = 'nothing would be submitted.';
const NO_ID = 'it changes what flux prints, and the number of the job would not be found.';
const OUTPUT = 'the output of the job goes to the job log.';
const STAYS = 'flux would stay, or go, where the CI job waits for the job itself.';
const ENVIRONMENT = 'the job has the environment of your login shell on the compute node.';

/** Both long names, written out by the short one. */
const either = (names: string, takes: Option['takes'], means: NonNullable<Option['means']>): Option => ({
  ...option(names, takes, means),
  plain: names.split(' ')[0] ?? names,
});

const RESOURCES: readonly Option[] = [
  either('-n --ntasks --nslots', 'value', 'tasks'),
  either('-N --nodes', 'value', 'nodes'),
  either('-c --cores-per-task --cores-per-slot', 'value', 'cpusPerTask'),
  either('-g --gpus-per-task --gpus-per-slot', 'value', 'gpus'),
  either('-t --time-limit', 'value', 'time'),
  either('-q --queue', 'value', 'partition'),
  either('-B --bank', 'value', 'account'),
  either('-x --exclusive', 'nothing', 'exclusive'),
  option('--requires', 'value', 'constraint'),
];

const OTHERS: readonly Option[] = [
  // flux applies them behind its own options, whose place some of them take: -B is short for bank.
  refused(
    '--setattr -S',
    'value',
    'it would go past the option that is made for this (-q, -B, -t, --requires), or change what the job needs here.',
    /^\^?\.?(?:attributes\.)?(?:system\.)?(?:(?:attributes|system)(?![.\w])|(?:bank|constraints|cwd|duration|environment|files|job|project|queue|shell)\b)/,
  ),
  option('--signal', 'value'),
  option('--unbuffered -u', 'nothing'),
  told('--urgency', 'value', 'with 0 or "hold" the job waits until somebody raises it; the CI job waits with it.'),
  told('--begin-time', 'value', 'the CI job waits for that time, and its timeout goes on.'),
  told('--dependency', 'value', 'the CI job waits for the other job, and its timeout goes on.'),
  refused('--setopt -o', 'value', OUTPUT, /^(?:output|input)\b/),
  refused('--flags', 'value', 'only the owner of the instance may do that.', /waitable|debug/),
  ours('--job-name', 'value', 'the job is found by the name that it gets here; SCHEDULER_JOB_PREFIX goes in front.'),
  ours('--output', 'value', OUTPUT),
  ours('--cwd', 'value', 'the script goes to its build directory by itself.'),
  ours('--env --env-remove --env-file', 'value', ENVIRONMENT),
  ours('--rlimit', 'value', 'the job has the limits of your login shell on the compute node.'),
  refused('--error', 'value', OUTPUT),
  refused('--label-io', 'nothing', OUTPUT),
  refused('--input', 'value', 'the script gets its input from GitLab.'),
  refused('--wait --watch --bg', 'nothing', STAYS),
  refused('--wait-event', 'value', STAYS),
  refused('--cc --bcc', 'value', ONE_JOB),
  refused('--dry-run --help -h', 'nothing', NO_JOB),
  refused('--quiet --jps --progress', 'nothing', NO_ID),
  refused('--verbose -v', 'nothing', NO_ID),
  refused('--log --log-stderr', 'value', NO_ID),
  refused('--wrap', 'nothing', 'it would take the place of the script.'),
  refused('--conf --broker-opts --dump', 'value', 'it would change the Flux instance that the job runs in.'),
];

export const FLUX_GRAMMAR: Grammar = {
  options: [...RESOURCES, ...OTHERS],
  abbreviatesLongOptions: false,
  bundlesShortOptions: true,
  unknown: 'refuse',
  refusedWords: {},
};
