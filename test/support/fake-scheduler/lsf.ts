// LSF's commands over the engine, by its documents: texts rather than exit codes, output at the end only, and a bkill
// that ends the last job of its caller when it is called without an id.

import { type Call, FakeCommands, type Reply } from './commands.ts';
import { BatchEngine, type FakeJob } from './engine.ts';
import { FrontEnd, neverRan } from './front-end.ts';

const DOWN: Reply = {
  stderr: 'Failed in an LSF library call: LIM is down; try later. Job not submitted.\n',
  exitCode: 255,
};

export class FakeLsf extends FrontEnd {
  /** Older ones do not have all fields. */
  hasAllFields = true;

  static async open(): Promise<FakeLsf> {
    const epitaph = (_: FakeJob, end: string) => (end === 'time-limit' ? 'TERM_RUNLIMIT: job killed\n' : '');
    const engine = await BatchEngine.open({ firstId: 501, idOf: String, epitaph });
    const lsf = new FakeLsf(engine, await FakeCommands.open());
    await lsf.commands.offer({
      bsub: lsf.whenUp(DOWN, (call) => lsf.#bsub(call)),
      bjobs: lsf.whenUp(DOWN, (call) => lsf.#bjobs(call)),
      bkill: lsf.whenUp(DOWN, (call) => lsf.#bkill(call)),
      bresume: lsf.whenUp(DOWN, (call) => lsf.#bresume(call)),
    });
    return lsf;
  }

  #bsub(call: Call): Reply {
    const line = readOptions(call.argv, BSUB);
    if (typeof line === 'string') return { stderr: `${line}: Illegal option. Job not submitted.\n`, exitCode: 255 };
    const { options, words } = line;
    if (options.get('-q') === 'nowhere')
      return { stderr: 'nowhere: No such queue. Job not submitted.\n', exitCode: 255 };
    const { id } = this.engine.submit({
      ...{ name: options.get('-J') ?? '', uid: call.uid, gid: call.gid },
      script: Buffer.from(`#!/bin/sh\n${words.join(' ')}\n`),
      output: () => options.get('-oo') ?? '/dev/null',
      directory: call.directory,
      environment: call.environment,
      settings: (own) => ({ LSB_JOBID: own, LSB_QUEUE: 'normal', LSB_HOSTS: 'fake1' }),
      held: options.has('-H'),
    });
    return { stdout: `Job <${id}> is submitted to default queue <normal>.\n` };
  }

  #bjobs(call: Call): Reply {
    const line = readOptions(call.argv, BJOBS);
    if (typeof line === 'string') return { stderr: `${line}: Illegal option.\nUsage: bjobs [-h]\n`, exitCode: 255 };
    const { options, words } = line;
    const [, names = '', delimiter = ' '] = /^(.*?)(?: delimiter='(.)')?$/.exec(options.get('-o') ?? 'jobid') ?? [];
    const fields = names.split(' ');
    const strange = fields.find((name) => !this.hasAllFields && NEW_FIELDS.includes(name));
    if (strange !== undefined)
      return { stderr: `${strange}: Invalid field name in the output format\n`, exitCode: 255 };
    const { found, missing } = this.#select(call, options, words);
    return {
      stdout: found.map((job) => `${fields.map((name) => field(job, name)).join(delimiter)}\n`).join(''),
      stderr: missing.map((text) => `${text}\n`).join(''),
      exitCode: missing.length > 0 ? 255 : 0,
    };
  }

  /** Those that are asked for, and complaints about others. */
  #select({ uid }: Call, options: ReadonlyMap<string, string>, ids: readonly string[]) {
    const unknown = (what: string) => `Job <${what}> is not found`;
    if (ids.length > 0) {
      const found = ids.flatMap((id) => this.find(id) ?? []);
      return { found, missing: ids.filter((id) => this.find(id) === undefined).map(unknown) };
    }
    const name = options.get('-J');
    const own = this.known().filter(({ request, phase }) => {
      return (
        request.uid === uid && (name === undefined || request.name === name) && (options.has('-a') || phase !== 'ended')
      );
    });
    const none = name === undefined ? 'No unfinished job found' : unknown(name);
    return { found: own, missing: own.length > 0 ? [] : [none] };
  }

  #bkill({ argv, uid }: Call): Reply {
    const last = [...this.engine.jobs.values()].filter(({ request }) => request.uid === uid).at(-1)?.id ?? '';
    const id = argv[0] ?? last;
    const job = this.find(id);
    const failed = (why: string) => ({ stderr: `Job <${id}>: ${why}\n`, exitCode: 255 });
    if (job === undefined) return failed('No matching job found');
    if (job.phase === 'ended') return failed('Job has already finished');
    if (uid !== 0 && uid !== job.request.uid) return failed('User permission denied');
    void this.engine.cancel(job, uid);
    return { stdout: `Job <${id}> is being terminated\n` };
  }

  #bresume({ argv: [id] }: Call): Reply {
    const job = this.find(id);
    if (job === undefined) return { stderr: `Job <${id}>: No matching job found\n`, exitCode: 255 };
    this.engine.start(job);
    return { stdout: `Job <${id}> is being resumed\n` };
  }
}

const NEW_FIELDS = ['pend_reason', 'exit_reason', 'runtimelimit'];
const BSUB = {
  values: ['-J', '-oo', '-o', '-e', '-q', '-P', '-n', '-R', '-W', '-U', '-gpu', '-M', '-w', '-b'],
  flags: ['-rn', '-r', '-x', '-H', '-K', '-I'],
};
const BJOBS = { values: ['-o', '-J', '-u'], flags: ['-noheader', '-a'] };

/** Options have one dash and long names; a word that is none ends them. The option that is not known comes back. */
function readOptions(argv: readonly string[], { values, flags }: typeof BSUB) {
  const options = new Map<string, string>();
  const rest = [...argv];
  for (let word = rest[0]; word?.startsWith('-'); word = rest[0]) {
    rest.shift();
    if (values.includes(word)) options.set(word, rest.shift() ?? '');
    else if (flags.includes(word)) options.set(word, '');
    else return word;
  }
  return { options, words: rest };
}

function field(job: FakeJob, name: string): string {
  const hasEnded = job.phase === 'ended';
  const fields: Readonly<Record<string, string>> = {
    jobid: job.id,
    stat: stateOf(job),
    exit_code: hasEnded ? codeOf(job) : '-',
    queue: 'normal',
    exec_host: neverRan(job) ? '-' : 'fake1',
    proj_name: 'default',
    nexec_host: neverRan(job) ? '-' : '1',
    run_time: neverRan(job) ? '0 second(s)' : '2 second(s)',
    cpu_used: '0.1 second(s)',
    max_mem: neverRan(job) ? '-' : '5 Mbytes',
    exit_reason: hasEnded ? reasonOf(job) : '-',
    pend_reason:
      job.phase === 'pending' ? (job.isHeld ? 'Job was suspended by the user while pending' : waits(job)) : '-',
  };
  return fields[name] ?? '-';
}

function waits({ reason }: FakeJob): string {
  return reason === 'None' ? 'New job is waiting for scheduling' : reason;
}

function stateOf({ phase, isHeld, end, exitCode }: FakeJob): string {
  if (phase === 'pending') return isHeld ? 'PSUSP' : 'PEND';
  if (phase !== 'ended') return 'RUN';
  return end === 'exited' && exitCode === 0 ? 'DONE' : 'EXIT';
}

function codeOf({ end, exitCode, signal }: FakeJob): string {
  if (end === 'exited') return exitCode === 0 ? '-' : String(exitCode);
  return signal === undefined ? '-' : String(128 + signal);
}

const REASONS: Readonly<Record<string, string>> = {
  cancelled: 'TERM_OWNER: job killed by owner',
  'time-limit': 'TERM_RUNLIMIT: job killed after reaching LSF run time limit',
  'out-of-memory': 'TERM_MEMLIMIT: job killed after reaching LSF memory usage limit',
  'node-failure': 'TERM_ZOMBIE: job exited while LSF is not available',
  'start-failure':
    'TERM_CWD_NOTEXIST: current working directory is not accessible or does not exist on the execution host',
};

function reasonOf({ end = 'exited', cancelledBy }: FakeJob): string {
  if (end === 'cancelled' && cancelledBy === 0) return 'TERM_ADMIN: job killed by root or LSF administrator';
  return REASONS[end] ?? '-';
}
