// The options of bsub: an allow list. Long ones have one dash, so none can be bundled. Source: bsub(1) of LSF 10.1.

import { option, ours, refused, told } from '../batch/option.ts';
import type { Grammar } from '../batch/scheduler.ts';

const OUTPUT = 'the output of the job goes to the job log.';
const ENVIRONMENT = 'the job has the environment of your login shell on the compute node.';
const STAYS = 'bsub would stay, or want a terminal, where the CI job waits for the job itself.';
const NO_JOB = 'nothing would be submitted.';
const REPLACES = 'it would take the place of the script.';

export const LSF_GRAMMAR: Grammar = {
  options: [
    option('-n', 'value', 'tasks'),
    option('-R', 'value'),
    option('-gpu', 'value', 'gpus'),
    option('-W', 'value', 'time'),
    option('-q', 'value', 'partition'),
    option('-P', 'value', 'account'),
    option('-U', 'value', 'reservation'),
    option('-x', 'nothing', 'exclusive'),
    ...[
      '-M',
      '-m',
      '-G',
      '-app',
      '-sla',
      '-Lp',
      '-c',
      '-v',
      '-We',
      '-sp',
      '-Jd',
      '-a',
      '-wt',
      '-wa',
      '-alloc_flags',
    ].map((name) => option(name, 'value')),
    ...['-nnodes', '-cn_cu', '-ln_slots', '-core_isolation', '-csm', '-step_cgroup'].map((name) =>
      option(name, 'value'),
    ),
    told(
      '-H',
      'nothing',
      'the job waits until "bresume" lets it go; the CI job waits with it, and its timeout goes on.',
    ),
    told('-b', 'value', 'the CI job waits for that time, and its timeout goes on.'),
    told('-w', 'value', 'the CI job waits for the other job, and its timeout goes on.'),
    ours('-rn', 'nothing', 'a CI job is never run a second time in any case.'),
    ours('-r', 'nothing', 'a CI job is never run a second time.'),
    ours('-cwd', 'value', 'the script goes to its build directory by itself.'),
    ours('-env', 'value', ENVIRONMENT),
    ours('-L', 'value', ENVIRONMENT),
    refused('-J', 'value', 'the job is found by the name that it gets here; SCHEDULER_JOB_PREFIX goes in front.'),
    ...['-o', '-oo', '-e', '-eo', '-outdir', '-f', '-u'].map((name) => refused(name, 'value', OUTPUT)),
    ...['-N', '-B'].map((name) => refused(name, 'nothing', OUTPUT)),
    ...['-i', '-is'].map((name) => refused(name, 'value', 'the script gets its input from GitLab.')),
    ...['-I', '-Ip', '-Is', '-IS', '-ISp', '-ISs', '-IX', '-K', '-XF', '-tty'].map((name) =>
      refused(name, 'nothing', STAYS),
    ),
    refused('-pack', 'value', 'it would make several jobs of one. One CI job is one job of LSF.'),
    ...['-h', '-V'].map((name) => refused(name, 'nothing', NO_JOB)),
    ...['-Zs', '-Zs3'].map((name) => refused(name, 'nothing', REPLACES)),
  ],
  abbreviatesLongOptions: false,
  bundlesShortOptions: false,
  longOptionsWithOneDash: true,
  unknown: 'refuse',
  refusedWords: {},
};
