// Every scheduler as a test sees it: what its users type, how it answers when it is away or knows no such job, and
// where one comes from: the real commands, or their imitation.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TestAccount } from './accounts.ts';
import { FakeCobalt } from './fake-scheduler/cobalt.ts';
import type { Call, FakeCommands, Reply } from './fake-scheduler/commands.ts';
import { FakeFlux } from './fake-scheduler/flux.ts';
import type { FrontEnd } from './fake-scheduler/front-end.ts';
import { FakeLsf } from './fake-scheduler/lsf.ts';
import { FakePbs } from './fake-scheduler/pbs.ts';
import { Relay } from './fake-scheduler/relay.ts';
import type { SlurmLab } from './slurm/lab.ts';

/** What users and administrators of one scheduler say to it. */
export interface Dialect {
  readonly title: string;
  readonly executor: string;
  readonly programs: readonly string[];
  /** CI variables that every job needs. */
  readonly variables?: Readonly<Record<string, string>>;
  /** SCHEDULER_PARAMETERS of a job that waits until it is released. */
  readonly held: string;
  readonly release: (id: string) => readonly string[];
  readonly cancel: (id: string) => readonly string[];
  /** Lists the jobs of an account that have not ended: their ids, among other words. */
  readonly living: (account: string) => readonly string[];
  readonly isSubmission: (call: Call) => boolean;
  /** Asks about jobs: what is disturbed so that it knows none, or says nothing. */
  readonly isQuestion: (call: Call) => boolean;
  readonly knowsNone: Reply;
  readonly isAway: Reply;
  /** To a submission that may have arrived; default: as when it is away. */
  readonly unanswered?: Reply;
  /** Something that it refuses in a submission, and its word for it. */
  readonly refused: { readonly parameters: string; readonly reply: Reply; readonly says: RegExp };
}

const calls =
  (...programs: string[]) =>
  ({ program }: Call) =>
    programs.includes(program);
const callsFlux =
  (...verbs: string[]) =>
  ({ argv }: Call) =>
    verbs.includes(argv[0] === 'job' ? `job ${argv[1]}` : (argv[0] ?? ''));

const SLURM: Dialect = {
  title: 'Slurm',
  executor: 'slurm',
  programs: ['sbatch', 'squeue', 'scontrol', 'sacct', 'scancel'],
  held: '--hold',
  release: (id) => ['scontrol', 'release', id],
  cancel: (id) => ['scancel', id],
  living: (account) => ['squeue', '--noheader', '--format=%A', `--user=${account}`],
  isSubmission: calls('sbatch'),
  isQuestion: calls('squeue', 'scontrol', 'sacct'),
  knowsNone: { stderr: 'slurm_load_jobs error: Invalid job id specified\n', exitCode: 1 },
  isAway: { stderr: 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n', exitCode: 1 },
  unanswered: { stderr: 'sbatch: error: Batch job submission failed: Socket timed out\n', exitCode: 1 },
  refused: {
    parameters: '--partition=nowhere',
    reply: { stderr: 'sbatch: error: invalid partition specified: nowhere\n', exitCode: 1 },
    says: /invalid partition/i,
  },
};

const FLUX: Dialect = {
  title: 'Flux',
  executor: 'flux',
  programs: ['flux'],
  held: '--urgency=0',
  release: (id) => ['flux', 'job', 'urgency', id, 'default'],
  cancel: (id) => ['flux', 'cancel', id],
  living: () => ['flux', 'jobs', '-n', '--format={id.f58plain}'],
  isSubmission: callsFlux('submit', 'batch'),
  isQuestion: callsFlux('jobs', 'job status'),
  knowsNone: { stderr: 'JobID f1 unknown\n', exitCode: 1 },
  isAway: { stderr: 'flux-jobs: ERROR: Unable to connect to Flux: broker socket is gone\n', exitCode: 1 },
  refused: {
    parameters: '--queue=nowhere',
    reply: { stderr: "flux-submit: ERROR: [Errno 22] Invalid queue 'nowhere' specified\n", exitCode: 1 },
    says: /queue/i,
  },
};

const PBS: Dialect = {
  title: 'PBS',
  executor: 'pbs',
  programs: ['qsub', 'qstat', 'qdel', 'qselect', 'qrls'],
  held: '-h',
  release: (id) => ['qrls', id],
  cancel: (id) => ['qdel', id],
  living: (account) => ['qselect', '-u', account],
  isSubmission: calls('qsub'),
  isQuestion: calls('qstat', 'qselect'),
  knowsNone: { stderr: 'qstat: Unknown Job Id 1.fake\n', exitCode: 153 },
  isAway: { stderr: 'Connection refused\nqstat: cannot connect to server fake (errno=15010)\n', exitCode: 255 },
  refused: {
    parameters: '-q nowhere',
    reply: { stderr: 'qsub: Unknown queue\n', exitCode: 170 },
    says: /unknown queue/i,
  },
};

const LSF: Dialect = {
  title: 'LSF',
  executor: 'lsf',
  programs: ['bsub', 'bjobs', 'bkill', 'bresume'],
  held: '-H',
  release: (id) => ['bresume', id],
  cancel: (id) => ['bkill', id],
  living: () => ['bjobs', '-noheader', '-o', 'jobid'],
  isSubmission: calls('bsub'),
  isQuestion: calls('bjobs'),
  knowsNone: { stderr: 'Job <1> is not found\n', exitCode: 255 },
  isAway: { stderr: 'LSF is down. Please wait ...\n', exitCode: 255 },
  refused: {
    parameters: '-q nowhere',
    reply: { stderr: 'nowhere: No such queue. Job not submitted.\n', exitCode: 255 },
    says: /no such queue/i,
  },
};

const COBALT: Dialect = {
  title: 'Cobalt',
  executor: 'cobalt',
  programs: ['qsub', 'qstat', 'qdel', 'qrls'],
  variables: { SCHEDULER_TIME: '10m' },
  held: '-h',
  release: (id) => ['qrls', id],
  cancel: (id) => ['qdel', id],
  living: () => ['qstat', '--header', 'JobID:User'],
  isSubmission: calls('qsub'),
  isQuestion: calls('qstat'),
  knowsNone: { exitCode: 1 },
  isAway: { stderr: 'Failed to connect to queue manager\n', exitCode: 2 },
  refused: {
    parameters: '-q nowhere',
    reply: { stderr: "Queue 'nowhere' does not exist\n", exitCode: 1 },
    says: /nowhere' does not exist/,
  },
};

/** A scheduler that takes jobs. */
export interface Subject {
  readonly dialect: Dialect;
  readonly commands: FakeCommands;
  /** For `[batch]`. */
  readonly batch: Readonly<Record<string, unknown>>;
  /** CI variables of a job that shall run into its time limit. */
  readonly limited: Readonly<Record<string, string>>;
  /** Lets a running job reach its time limit, where its own request does not suffice. */
  reachLimit(id: string): Promise<void>;
  close(): Promise<void>;
}

/** Where subjects come from; each test has its own. */
export interface Source {
  readonly name: string;
  readonly dialect: Dialect;
  /** It knows nothing of a job that has ended. */
  readonly forgets?: boolean;
  open(): Promise<Subject>;
}

/** Standard output of a command, as an account calls it. */
export async function say({ commands, batch }: Subject, by: TestAccount, argv: readonly string[]): Promise<string> {
  const [program = '', ...rest] = argv;
  const added = ((batch['env_vars'] ?? []) as string[]).map((entry) => entry.split(/=(.*)/s, 2));
  const env = { PATH: `${commands.bin}:/usr/bin:/bin`, HOME: by.home, USER: by.name, ...Object.fromEntries(added) };
  const options = { uid: by.uid, gid: by.gid, cwd: '/', env };
  return new Promise((resolve) => {
    execFile(`${commands.bin}/${program}`, rest, options, (_, stdout) => resolve(stdout));
  });
}

/** Ids among the jobs of the account that have not ended. */
export async function isLiving(subject: Subject, by: TestAccount, id: string): Promise<boolean> {
  const words = (await say(subject, by, subject.dialect.living(by.name))).split(/\s+/);
  return words.map((word) => word.replace(/^ƒ/, 'f')).includes(id);
}

type Imitation = FrontEnd & { readonly close: () => Promise<void> };

function imitated(dialect: Dialect, openOne: () => Promise<Imitation>): Source {
  return {
    name: `${dialect.title} (the imitation)`,
    dialect,
    open: async () => {
      const fake = await openOne();
      return {
        ...{ dialect, commands: fake.commands, batch: { scheduler_bin: fake.commands.bin }, limited: {} },
        reachLimit: async () => fake.engine.end(fake.job, 'time-limit'),
        close: () => fake.close(),
      };
    },
  };
}

/** Settings that decide which of several installations is meant. */
const SITE_VARIABLES = ['FLUX_URI', 'PBS_CONF_FILE', 'PBS_SERVER', 'PBS_EXEC'];

function real(dialect: Dialect, limited: Readonly<Record<string, string>>): Source {
  const given = SITE_VARIABLES.flatMap((name) =>
    process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
  );
  return {
    name: `${dialect.title} (real)`,
    dialect,
    open: async () => {
      const relay = await Relay.open(dialect.programs);
      return {
        ...{ dialect, commands: relay.commands, limited },
        batch: { scheduler_bin: relay.commands.bin, ...(given.length === 0 ? {} : { env_vars: given }) },
        reachLimit: async () => {},
        close: () => relay.close(),
      };
    },
  };
}

export function realSlurm(lab: SlurmLab): Source {
  return {
    name: 'Slurm (real)',
    dialect: SLURM,
    open: async () => {
      const relay = await Relay.open(SLURM.programs, { SLURM_CONF: lab.configuration });
      return {
        ...{ dialect: SLURM, commands: relay.commands, limited: {}, batch: { scheduler_bin: relay.commands.bin } },
        reachLimit: async (id) => {
          await lab.command('scontrol', 'update', `JobId=${id}`, 'EndTime=now+1');
        },
        close: () => relay.close(),
      };
    },
  };
}

/**
 * A scheduler of this machine.
 * @throws {Error} it is none that can be tried, or its commands are not on the path
 */
export async function realScheduler(name: string): Promise<Source> {
  // Small limits: Flux keeps them to the second, PBS looks every ten.
  const limited = { SCHEDULER_TIME: '3s' };
  if (name === 'flux') return real(FLUX, limited);
  if (name === 'pbs') return { ...real(PBS, limited), forgets: await hasNoHistory() };
  throw new Error(`there is no scheduler "${name}" to try`);
}

/** Off unless a site wants it. */
async function hasNoHistory(): Promise<boolean> {
  const { stderr } = await promisify(execFile)('qselect', ['-x']);
  return stderr.includes('not configured to maintain job history');
}

export const IMITATIONS: readonly Source[] = [
  imitated(FLUX, FakeFlux.open),
  imitated(PBS, FakePbs.open),
  { ...imitated(PBS, poorPbs), name: 'PBS (the imitation, without history and JSON)', forgets: true },
  imitated(LSF, FakeLsf.open),
  imitated(COBALT, FakeCobalt.open),
];

async function poorPbs(): Promise<FakePbs> {
  const pbs = await FakePbs.open();
  pbs.hasHistory = false;
  pbs.hasJson = false;
  return pbs;
}
