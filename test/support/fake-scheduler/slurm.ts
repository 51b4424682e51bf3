// Slurm's commands over the engine, as Slurm 22.05 was seen to answer: texts, exit codes, what is forgotten when, an
// accounting that is late and subtracts 128. The faults that a real one does not have on demand are members here.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Call, FakeCommands, type Program, type Reply } from './commands.ts';
import { BatchEngine, type FakeJob } from './engine.ts';
import { FrontEnd, homeOf, nameOf } from './front-end.ts';
import { type CommandLine, flag, type OptionShape, readCommandLine, value } from './options.ts';
import { type Form, NODE, PARTITION, sacctLine, scontrolRecord, squeueLine, stamp } from './slurm-words.ts';

const UNREACHABLE = 'Unable to contact slurm controller (connect failure)';
const UNKNOWN_JOB: Reply = { stderr: 'slurm_load_jobs error: Invalid job id specified\n', exitCode: 1 };
const OK: Reply = {};

export class FakeSlurm extends FrontEnd {
  /** Undefined: the site has none. */
  accounting: { lagMs: number } | undefined = { lagMs: 200 };
  static async open(): Promise<FakeSlurm> {
    const epitaph = ({ id }: FakeJob, why: string) => {
      const cause = why === 'time-limit' ? ' DUE TO TIME LIMIT' : '';
      return `slurmstepd: error: *** JOB ${id} ON ${NODE} CANCELLED AT ${stamp(Date.now())}${cause} ***\n`;
    };
    const engine = await BatchEngine.open({ firstId: 1001, idOf: String, epitaph });
    const slurm = new FakeSlurm(engine, await FakeCommands.open());
    await slurm.commands.offer(slurm.#programs());
    return slurm;
  }

  #programs(): Record<string, Program> {
    return {
      sbatch: this.#whenUp('sbatch: error: Batch job submission failed', 1, (call) => this.#sbatch(call)),
      squeue: this.#whenUp('slurm_load_jobs error', 1, (call) => this.#squeue(call)),
      scontrol: this.#whenUp('slurm_load_jobs error', 1, (call) => this.#scontrol(call)),
      scancel: this.#whenUp('scancel: error: Kill job error on job id', 8, (call) => this.#scancel(call)),
      sacct: (call) => this.#sacct(call),
    };
  }

  #whenUp(complaint: string, exitCode: number, program: Program): Program {
    return this.whenUp({ stderr: `${complaint}: ${UNREACHABLE}\n`, exitCode }, program);
  }

  #sbatch(call: Call): Reply {
    const line = readCommandLine(call.argv, SBATCH, false);
    if (line.unrecognized !== undefined) {
      const hint = 'Try "sbatch --help" for more information';
      return { stderr: `sbatch: unrecognized option '${line.unrecognized}'\n${hint}\n`, exitCode: 255 };
    }
    const [path = ''] = line.words;
    const script = readScript(resolve(call.directory, path));
    if (typeof script === 'string') return { stderr: `sbatch: error: ${script}\n`, exitCode: 1 };
    const { id } = this.engine.submit(requestOf(call, line, script));
    if (line.options.has('quiet') && line.options.has('parsable')) return OK;
    return { stdout: line.options.has('parsable') ? `${id}\n` : `Submitted batch job ${id}\n` };
  }

  #squeue(call: Call): Reply {
    const { options } = readCommandLine(call.argv, SQUEUE, true);
    const wanted = options.get('jobs')?.split(',');
    const known = [...this.engine.jobs.values()].filter(({ isForgotten }) => !isForgotten);
    if (wanted?.length === 1 && !known.some(({ id }) => id === wanted[0])) return UNKNOWN_JOB;
    const names = options.get('name')?.split(',');
    const showsEnded = options.get('states') === 'all';
    const listed = known.filter(
      ({ id, phase, request }) =>
        (wanted === undefined || wanted.includes(id)) &&
        (names === undefined || names.includes(request.name)) &&
        (showsEnded || phase !== 'ended'),
    );
    const format = options.get('format') ?? '%i %P %j %u %T %M %D %R';
    return { stdout: listed.map((job) => `${squeueLine(format, job, formFor(job, call))}\n`).join('') };
  }

  async #scontrol(call: Call): Promise<Reply> {
    const [verb = '', ...rest] = readCommandLine(call.argv, SCONTROL, true).words;
    const id = rest.at(-1)?.replace(/^JobId=/i, '') ?? '';
    const job = this.engine.jobs.get(id);
    if (job === undefined || job.isForgotten) return UNKNOWN_JOB;
    if (verb === 'show') return { stdout: scontrolRecord(job, formFor(job, call)) };
    if (verb === 'hold') job.isHeld = true;
    else if (verb === 'release') this.engine.start(job);
    else if (verb === 'requeue' && job.request.mayRequeue === true) await this.engine.requeue(job);
    else return { stderr: `Requested operation is presently disabled for job ${id}\n`, exitCode: 1 };
    return OK;
  }

  #sacct(call: Call): Reply {
    const { accounting } = this;
    if (accounting === undefined) return { stderr: 'Slurm accounting storage is disabled\n', exitCode: 1 };
    const { options } = readCommandLine(call.argv, SACCT, true);
    const ids = options.get('jobs')?.split(',');
    const names = options.get('name')?.split(',');
    const seen = [...this.engine.jobs.values()].filter(({ isUnrecorded }) => !isUnrecorded);
    const jobs = seen
      .flatMap((job) => asRecorded(job, Date.now() - accounting.lagMs))
      .filter(({ id, request }) => (ids?.includes(id) ?? true) && (names?.includes(request.name) ?? true));
    const format = options.get('format') ?? 'jobid,state,exitcode';
    const delimiter = options.get('delimiter') ?? '|';
    const steps = options.has('allocations') ? [false] : [false, true];
    const lines = jobs.flatMap((job) =>
      steps
        .filter((isStep) => !isStep || job.phase !== 'pending')
        .map((isStep) => `${sacctLine(format, delimiter, job, { ...formFor(job, call), isStep })}\n`),
    );
    return { stdout: lines.join('') };
  }

  async #scancel(call: Call): Promise<Reply> {
    const { options, words } = readCommandLine(call.argv, SCANCEL, true);
    const name = options.get('name');
    const jobs = [...this.engine.jobs.values()].filter(
      ({ id, request, phase }) => phase !== 'ended' && (words.includes(id) || request.name === name),
    );
    const foreign = jobs.find(({ request }) => call.uid !== 0 && request.uid !== call.uid);
    if (foreign !== undefined) {
      const text = `Kill job error on job id ${foreign.id}: Access/permission denied`;
      return { stderr: `scancel: error: ${text}\n`, exitCode: 210 };
    }
    const signal = options.get('signal');
    for (const job of jobs) {
      if (signal === undefined) await this.engine.cancel(job, call.uid);
      else await this.engine.signal(job, `SIG${signal.replace(/^SIG/, '')}` as NodeJS.Signals);
    }
    return OK;
  }
}

const SBATCH: readonly OptionShape[] = [
  ...[value('output', 'o'), value('error', 'e'), value('input', 'i'), value('job-name', 'J'), value('chdir', 'D')],
  ...[value('time', 't'), value('partition', 'p'), value('account', 'A'), value('qos', 'q'), value('nodes', 'N')],
  ...[value('ntasks', 'n'), value('cpus-per-task', 'c'), value('gpus', 'G'), value('mem'), value('constraint', 'C')],
  ...[value('dependency', 'd'), value('begin', 'b'), value('comment'), value('export'), value('export-file')],
  ...[value('open-mode'), value('kill-on-invalid-dep'), value('array', 'a'), value('reservation'), value('signal')],
  ...[value('gres'), value('licenses', 'L'), value('ntasks-per-node'), value('mem-per-cpu'), value('deadline')],
  ...[flag('parsable'), flag('no-requeue'), flag('requeue'), flag('hold', 'H'), flag('quiet', 'Q'), flag('wait', 'W')],
  ...[value('wckey'), value('nice'), flag('verbose', 'v')],
  { long: 'exclusive', takes: 'optional' },
  { long: 'get-user-env', takes: 'optional' },
];
const SQUEUE: readonly OptionShape[] = [
  ...[value('jobs', 'j'), value('states', 't'), value('format', 'o'), value('name', 'n'), value('user', 'u')],
  ...[value('clusters', 'M'), flag('noheader', 'h'), flag('me'), flag('all', 'a')],
];
const SCONTROL: readonly OptionShape[] = [flag('oneliner', 'o'), flag('details', 'd'), value('clusters', 'M')];
const SACCT: readonly OptionShape[] = [
  ...[value('jobs', 'j'), value('format', 'o'), value('name'), value('starttime', 'S'), value('endtime', 'E')],
  ...[
    value('user', 'u'),
    value('clusters', 'M'),
    value('units'),
    value('delimiter'),
    flag('noheader', 'n'),
    flag('parsable2', 'P'),
  ],
  ...[flag('allocations', 'X'), flag('duplicates', 'D'), flag('noconvert')],
];
const SCANCEL: readonly OptionShape[] = [
  ...[value('name', 'n'), value('user', 'u'), value('signal', 's'), value('clusters', 'M'), value('state', 't')],
  ...[flag('batch', 'b'), flag('full', 'f'), flag('verbose', 'v'), flag('quiet', 'Q'), flag('me')],
];

/** The script, or why it is refused. */
function readScript(path: string): Buffer | string {
  let script: Buffer;
  try {
    script = readFileSync(path);
  } catch {
    return `Unable to open file ${path}`;
  }
  if (script.length === 0) return 'Batch script is empty!';
  if (!script.toString('latin1').startsWith('#!')) return 'This does not look like a batch script.';
  return script.includes(0) ? 'Script contains NULL characters (\\0).' : script;
}

function requestOf(call: Call, { options }: CommandLine, script: Buffer) {
  const name = options.get('job-name') ?? 'sbatch';
  const pattern = options.get('output') ?? 'slurm-%j.out';
  const time = options.get('time');
  const expansions: Readonly<Record<string, string>> = { u: nameOf(call.uid), x: name, N: NODE, '%': '%' };
  const output = (id: string) =>
    resolve(
      call.directory,
      pattern.replace(/%(.)/g, (whole, letter) => ({ j: id, A: id, ...expansions })[letter as string] ?? whole),
    );
  return {
    ...{ name, script, output, uid: call.uid, gid: call.gid },
    directory: options.get('chdir') ?? call.directory,
    environment: exported(call, options.get('export')),
    settings: (id: string) => ({
      ...{ SLURM_JOB_ID: id, SLURM_JOBID: id, SLURM_JOB_NAME: name, SLURM_JOB_PARTITION: PARTITION },
      ...{ SLURM_JOB_NODELIST: NODE, SLURM_SUBMIT_DIR: call.directory, SLURMD_NODENAME: NODE, ENVIRONMENT: 'BATCH' },
    }),
    held: options.has('hold'),
    mayRequeue: !options.has('no-requeue'),
    appends: options.get('open-mode') === 'append',
    ...(time === undefined ? {} : { timeLimit: secondsOf(time) }),
  };
}

/** `--export`: all, or next to nothing and what is listed. */
function exported({ environment, uid }: Call, wish = 'ALL'): Record<string, string> {
  const words = wish.split(',');
  if (words.includes('ALL')) return { ...environment, ...listed(words, environment) };
  const user = nameOf(uid);
  const login = { PATH: '/usr/bin:/bin', HOME: homeOf(uid), USER: user, LOGNAME: user, SHELL: '/bin/bash' };
  return { ...login, ...listed(words, environment), SLURM_EXPORT_ENV: wish };
}

function listed(words: readonly string[], environment: Readonly<Record<string, string>>): Record<string, string> {
  const entries = words
    .filter((word) => !['ALL', 'NONE', 'NIL'].includes(word))
    .map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? [word, environment[word] ?? ''] : [word.slice(0, at), word.slice(at + 1)];
    });
  return Object.fromEntries(entries);
}

/** Whole minutes, rounded up; 0 is no limit. */
function secondsOf(text: string): number {
  if (/^(?:unlimited|infinite)$/i.test(text)) return Number.POSITIVE_INFINITY;
  const [, days, rest = ''] = /^(?:(\d+)-)?(.*)$/.exec(text) ?? [];
  const parts = rest.split(':').map(Number);
  const [a = 0, b = 0, c = 0] = parts;
  const small = days === undefined && parts.length < 3;
  const seconds = small ? a * 60 + b : Number(days ?? 0) * 86_400 + a * 3600 + b * 60 + c;
  return seconds === 0 ? Number.POSITIVE_INFINITY : Math.ceil(seconds / 60) * 60;
}

/** The accounting sees everything late: the job as it was at a time. */
function asRecorded(job: FakeJob, time: number): FakeJob[] {
  if (job.submittedAt > time) return [];
  const { endedAt, startedAt, ...waiting } = job;
  if (endedAt !== undefined && endedAt <= time) return [job];
  if (startedAt !== undefined && startedAt <= time) return [{ ...waiting, startedAt, phase: 'running' }];
  return [{ ...waiting, phase: 'pending' }];
}

function formFor({ request }: FakeJob, { environment }: Call): Form {
  return { owner: nameOf(request.uid), timeFormat: environment['SLURM_TIME_FORMAT'] };
}
