// The commands of PBS over the engine, by what was measured with OpenPBS 23.06: exit codes (PBSE modulo 256), both forms
// of qstat, sites without history and without JSON, a job that is held for good because its output cannot be opened.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Call, FakeCommands, type Reply } from './commands.ts';
import { BatchEngine, type FakeJob } from './engine.ts';
import { FrontEnd, homeOf, nameOf, neverRan } from './front-end.ts';
import { type CommandLine, type OptionShape, readCommandLine } from './options.ts';

const NO_HISTORY = 'PBS is not configured to maintain job history\n';
const DELETED = 91;
const FINISHED = 92;

export class FakePbs extends FrontEnd {
  /** `job_history_enable`, which is off unless a site wants it. */
  hasHistory = true;
  /** Older ones write no JSON. */
  hasJson = true;
  /** As its documents say: no direct writing, XML for -x, ended jobs in state C, a qselect without -x. */
  isTorque = false;

  static async open(): Promise<FakePbs> {
    const epitaph = ({ id }: FakeJob, end: string) =>
      end === 'time-limit' ? `=>> PBS: job killed: walltime 10 exceeded limit 3 (${id})\n` : '';
    const engine = await BatchEngine.open({ firstId: 12, idOf: (number) => `${number}.fake`, epitaph });
    const pbs = new FakePbs(engine, await FakeCommands.open());
    const down = (name: string, exitCode: number) => {
      return { stderr: `Connection refused\n${name}: cannot connect to server fake (errno=15010)\n`, exitCode };
    };
    await pbs.commands.offer({
      qsub: pbs.whenUp(down('qsub', 162), (call) => pbs.#qsub(call)),
      qstat: pbs.whenUp(down('qstat', 255), (call) => pbs.#qstat(call)),
      qdel: pbs.whenUp(down('qdel', 162), (call) => pbs.#qdel(call)),
      qrls: pbs.whenUp(down('qrls', 162), (call) => pbs.#qrls(call)),
      qselect: pbs.whenUp(down('qselect', 162), (call) => pbs.#qselect(call)),
    });
    return pbs;
  }

  #qsub(call: Call): Reply {
    const { options, words, unrecognized } = readCommandLine(call.argv, QSUB, false);
    if (unrecognized !== undefined || words.length !== 1)
      return { stderr: 'usage: qsub [-a date_time] ...\n', exitCode: 2 };
    if (this.isTorque && options.get('k')?.includes('d')) return { stderr: 'qsub: illegal -k value\n', exitCode: 1 };
    if (options.get('q') === 'nowhere') return { stderr: 'qsub: Unknown queue\n', exitCode: 170 };
    if (options.has('I')) return { stderr: 'qsub: standard input and output must be a terminal\n', exitCode: 1 };
    const script = readFileSync(resolve(call.directory, words[0] ?? ''));
    const { id } = this.engine.submit(requestOf(call, options, script));
    if (options.has('z')) return {};
    return { stdout: `${options.has('J') ? id.replace('.', '[].') : id}\n` };
  }

  #qstat(call: Call): Reply {
    const { options, words, unrecognized } = readCommandLine(call.argv, QSTAT, false);
    const isStrange = unrecognized !== undefined || (options.has('F') && (this.isTorque || !this.hasJson));
    if (isStrange) return { stderr: "qstat: invalid option -- 'F'\nusage: qstat [-f] ...\n", exitCode: 2 };
    if (options.has('x') && !this.hasHistory) return { stderr: NO_HISTORY };
    const complaints = words.map((id) => this.#complaintAbout(id, options.has('x'))).filter(({ text }) => text !== '');
    const jobs = words.flatMap((id) =>
      this.#complaintAbout(id, options.has('x')).text === '' ? (this.find(id) ?? []) : [],
    );
    return {
      stdout: options.has('F') ? asJson(jobs) : jobs.map(asText).join(''),
      stderr: complaints.map(({ text }) => `qstat: ${text}\n`).join(''),
      exitCode: complaints.at(-1)?.exitCode ?? 0,
    };
  }

  #complaintAbout(id: string, withHistory: boolean): { text: string; exitCode: number } {
    const job = this.find(id);
    const hasLeft = job?.phase === 'ended' && !isHeldForGood(job);
    if (job === undefined || (hasLeft && !this.hasHistory)) return { text: `Unknown Job Id ${id}`, exitCode: 153 };
    if (!hasLeft || withHistory) return { text: '', exitCode: 0 };
    return { text: `${id} Job has finished, use -x or -H to obtain historical job information`, exitCode: 35 };
  }

  async #qdel({ argv, uid }: Call): Promise<Reply> {
    const [id = ''] = argv;
    const { text, exitCode } = this.#complaintAbout(id, false);
    const job = this.find(id);
    if (job === undefined || text !== '') return { stderr: `qdel: ${text}\n`, exitCode };
    if (uid !== 0 && uid !== job.request.uid) return { stderr: `qdel: Unauthorized Request  ${id}\n`, exitCode: 159 };
    job.cancelledBy = uid;
    void this.engine.cancel(job, uid);
    return {};
  }

  #qrls({ argv }: Call): Reply {
    const job = this.find(argv.at(-1));
    if (job === undefined) return { stderr: `qrls: Unknown Job Id ${argv.at(-1)}\n`, exitCode: 153 };
    this.engine.start(job);
    return {};
  }

  #qselect(call: Call): Reply {
    const { options } = readCommandLine(call.argv, QSELECT, false);
    if (options.has('x') && this.isTorque) return { stderr: 'usage: qselect [-a [op]date_time] ...\n', exitCode: 2 };
    if (options.has('x') && !this.hasHistory) return { stderr: `qselect: ${NO_HISTORY}` };
    const [name, user] = [options.get('N'), options.get('u')];
    const jobs = this.known().filter(
      (job) =>
        (name === undefined || job.request.name === name) &&
        (user === undefined || nameOf(job.request.uid) === user) &&
        (job.phase !== 'ended' || isHeldForGood(job) || options.has('x')),
    );
    return { stdout: jobs.map(({ id }) => `${id}\n`).join('') };
  }
}

const shapes = (values: string, flags: string): OptionShape[] => [
  ...[...values].map((letter) => ({ long: letter, short: letter, takes: 'value' as const })),
  ...[...flags].map((letter) => ({ long: letter, short: letter, takes: 'nothing' as const })),
];
const QSUB = shapes('aAcCeJjklmMNopPqrRSuvW', 'fhIVXz');
const QSTAT = shapes('F', 'fx');
const QSELECT = shapes('Nsu', 'x');

function requestOf(call: Call, options: CommandLine['options'], script: Buffer) {
  const isDirect = options.get('k')?.includes('d') === true;
  return {
    ...{ name: options.get('N') ?? 'STDIN', uid: call.uid, gid: call.gid, script },
    // Without direct writing it would come at the end.
    output: () => (isDirect ? (options.get('o') ?? '/dev/null') : '/dev/null'),
    appends: true,
    directory: homeOf(call.uid),
    environment: environmentOf(call, options.has('V')),
    settings: (id: string) => ({ PBS_JOBID: id, PBS_JOBNAME: options.get('N') ?? '', PBS_ENVIRONMENT: 'PBS_BATCH' }),
    held: options.has('h'),
  };
}

/** A login, and next to nothing of where it was submitted. */
function environmentOf({ uid, environment, directory }: Call, all: boolean): Record<string, string> {
  const login = {
    PATH: '/bin:/usr/bin',
    HOME: homeOf(uid),
    USER: nameOf(uid),
    LOGNAME: nameOf(uid),
    SHELL: '/bin/bash',
  };
  return { ...(all ? environment : {}), ...login, PBS_O_WORKDIR: directory, PBS_O_HOST: 'submit1' };
}

/** It was begun 21 times within seconds. */
function isHeldForGood({ end, cancelledBy }: FakeJob): boolean {
  return end === 'unopened' && cancelledBy === undefined;
}

function letterOf(job: FakeJob): string {
  if (isHeldForGood(job) || (job.isHeld && job.phase === 'pending')) return 'H';
  return { pending: 'Q', running: 'R', completing: 'E', ended: 'F' }[job.phase];
}

const STATUSES: Readonly<Record<string, number>> = { 'time-limit': -29, 'out-of-memory': -27, 'start-failure': -1 };

/** Between the script and PBS is a login shell, so that a signal to the script alone is 128 and its number. */
function statusOf(job: FakeJob): number | undefined {
  const { end = '', exitCode, signal = 15 } = job;
  if (job.phase !== 'ended' && job.phase !== 'completing') return undefined;
  if (end === 'cancelled') return neverRan(job) ? undefined : 256 + signal;
  if (end === 'unopened') return -3;
  return STATUSES[end] ?? (end === 'signalled' ? 128 + signal : exitCode);
}

function commentOf(job: FakeJob): string | undefined {
  if (isHeldForGood(job)) return 'job held, too many failed attempts to run';
  if (job.phase === 'pending') return job.reason === 'None' ? undefined : job.reason;
  if (job.end === 'node-failure') return 'Job requeued, execution node fake1 down';
  return `Job run at ${stamp(job.startedAt ?? job.submittedAt)} on (fake1:ncpus=1)`;
}

type Attributes = Record<string, string | number | Record<string, string | number>>;

function attributesOf(job: FakeJob): Attributes {
  const status = statusOf(job);
  const comment = commentOf(job);
  return {
    Job_Name: job.request.name,
    Job_Owner: `${nameOf(job.request.uid)}@fake`,
    ...(job.phase === 'ended' ? { resources_used: { cput: '00:00:01', mem: '2048kb', walltime: '00:00:02' } } : {}),
    job_state: letterOf(job),
    queue: 'workq',
    ...(neverRan(job) ? {} : { exec_host: 'fake1/0*1', stime: stamp(job.startedAt ?? job.submittedAt) }),
    Resource_List: { ncpus: 1, nodect: 1, walltime: '01:00:00' },
    substate: job.phase === 'ended' ? (neverRan(job) ? DELETED : FINISHED) : 42,
    Variable_List: {
      PBS_O_HOME: homeOf(job.request.uid),
      PBS_O_PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
    },
    ...(comment === undefined ? {} : { comment }),
    ...(neverRan(job) ? {} : { run_count: job.restarts + 1 }),
    ...(status === undefined ? {} : { Exit_status: status }),
  };
}

function asJson(jobs: readonly FakeJob[]): string {
  if (jobs.length === 0) return '';
  const all = Object.fromEntries(jobs.map((job) => [job.id, attributesOf(job)]));
  return `${JSON.stringify({ timestamp: Math.floor(Date.now() / 1000), pbs_version: '23.06.06', pbs_server: 'fake', Jobs: all }, null, 4)}\n`;
}

/** Longer values go on in the next line, behind a tab. */
function asText(job: FakeJob): string {
  const lines = Object.entries(attributesOf(job)).flatMap(([name, value]) => {
    if (typeof value !== 'object') return [`    ${name} = ${value}`];
    if (name !== 'Variable_List') return Object.entries(value).map(([inner, each]) => `    ${name}.${inner} = ${each}`);
    const list = Object.entries(value).map(([inner, each]) => `${inner}=${each}`);
    return [`    ${name} = ${list.join(',\n\t')}`];
  });
  return `Job Id: ${job.id}\n${lines.join('\n')}\n\n`;
}

/** As ctime(3) writes it. */
function stamp(time: number): string {
  const [day = '', month = '', date = '', year = '', clock = ''] = new Date(time).toString().split(' ');
  return `${day} ${month} ${date} ${clock} ${year}`;
}
