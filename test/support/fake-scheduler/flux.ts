// Flux's commands over the engine, by what was measured with Flux 0.88 and its documents: exit codes, the template of
// `flux jobs`, a job that is purged.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Call, FakeCommands, type Program, type Reply } from './commands.ts';
import { BatchEngine, type FakeJob } from './engine.ts';
import { FrontEnd, neverRan } from './front-end.ts';
import { type CommandLine, flag, type OptionShape, readCommandLine, value } from './options.ts';

const UNREACHABLE: Reply = {
  stderr: 'flux: ERROR: Unable to connect to Flux: broker socket /run/flux/local was not found\n',
  exitCode: 1,
};
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const NO_TASK_RAN = 1;

export class FakeFlux extends FrontEnd {
  static async open(): Promise<FakeFlux> {
    const engine = await BatchEngine.open({
      firstId: 7_150_000_000_000,
      idOf: (number) => `f${base58(number)}`,
      epitaph,
    });
    const flux = new FakeFlux(engine, await FakeCommands.open());
    await flux.commands.offer({ flux: flux.whenUp(UNREACHABLE, flux.#flux()) });
    return flux;
  }

  #flux(): Program {
    const programs: Readonly<Record<string, (call: Call) => Reply | Promise<Reply>>> = {
      submit: (call) => this.#submit(call, 'submit'),
      batch: (call) => this.#submit(call, 'batch'),
      jobs: (call) => this.#jobs(call),
      job: (call) => this.#job(call),
      cancel: (call) => this.#cancel(call),
    };
    return (call) => {
      const [name = '', ...argv] = call.argv;
      const program = programs[name];
      const unknown = { stderr: `flux: \`${name}' is not a flux command. See 'flux --help'\n`, exitCode: 1 };
      return program === undefined ? unknown : program({ ...call, argv });
    };
  }

  #submit(call: Call, form: 'submit' | 'batch'): Reply {
    const line = readCommandLine(call.argv, SUBMIT, false, false);
    const complaint = complaintAbout(line, form, call);
    if (typeof complaint !== 'string') return complaint;
    const { options, words } = line;
    const path = resolve(options.get('cwd') ?? call.directory, words[0] ?? '');
    const script = form === 'batch' ? complaint : `#!/bin/sh\nexec '${path}'\n`;
    const output = options.get('output') ?? '/dev/null';
    const { id } = this.engine.submit({
      name: options.get('job-name') ?? words[0] ?? '',
      ...{ uid: call.uid, gid: call.gid, script: Buffer.from(script) },
      output: (own) => output.replaceAll('{{id}}', own),
      appends: options.get('setopt') === 'output.mode=append',
      directory: options.get('cwd') ?? call.directory,
      environment: call.environment,
      settings: (own) => ({ FLUX_JOB_ID: own, FLUX_URI: 'local:///run/flux/nested', FLUX_JOB_NNODES: '1' }),
      held: ['0', 'hold'].includes(options.get('urgency') ?? ''),
    });
    return { stdout: `${call.environment['FLUX_F58_FORCE_ASCII'] === '1' ? id : id.replace(/^f/, 'ƒ')}\n` };
  }

  #jobs(call: Call): Reply {
    const { options, words } = readCommandLine(call.argv, JOBS, true, false);
    const format = options.get('format') ?? '{id.f58} {state}';
    const ids = words.map((id) => id.replace(/^ƒ/, 'f'));
    const found = ids.length > 0 ? ids.flatMap((id) => this.find(id) ?? []) : this.#own(call, options);
    const unknown = ids.filter((id) => this.find(id) === undefined);
    return {
      stdout: found
        .map((job) => `${format.replace(/\{([\w.]+)\}/g, (_, name: string) => field(job, name))}\n`)
        .join(''),
      stderr: unknown.map((id) => `JobID ${id} unknown\n`).join(''),
      exitCode: unknown.length > 0 ? 1 : 0,
    };
  }

  #own({ uid }: Call, options: CommandLine['options']): FakeJob[] {
    const name = options.get('name');
    return this.known().filter(
      ({ request, phase }) =>
        request.uid === uid && (name === undefined || request.name === name) && (options.has('a') || phase !== 'ended'),
    );
  }

  async #job({ argv: [verb, id = '', urgency], uid }: Call): Promise<Reply> {
    const job = this.find(id.replace(/^ƒ/, 'f'));
    if (job === undefined) return { stderr: `flux-job: ${id}: No such job\n`, exitCode: 1 };
    if (verb === 'urgency' && job.request.uid === uid) {
      if (urgency !== '0' && urgency !== 'hold') this.engine.start(job);
      return {};
    }
    if (verb !== 'status') return { stderr: `flux-job: unknown command ${verb}\n`, exitCode: 2 };
    if (!(await this.untilEnded(job))) return { stderr: 'flux-job: Broken pipe\n', exitCode: 1 };
    return { exitCode: neverRan(job) ? NO_TASK_RAN : returnCode(job) };
  }

  async #cancel({ argv, uid }: Call): Promise<Reply> {
    const [id = ''] = argv;
    const job = this.find(id.replace(/^ƒ/, 'f'));
    const failed = (why: string) => ({ stderr: `flux-cancel: ERROR: ${id}: ${why}\n`, exitCode: 1 });
    if (job === undefined) return failed('unknown job id');
    if (job.phase === 'ended') return failed('job is inactive');
    if (uid !== 0 && uid !== job.request.uid) return failed('guests can only raise exceptions on their own jobs');
    void this.engine.cancel(job, uid);
    return {};
  }
}

const SUBMIT: readonly OptionShape[] = [
  ...[value('nodes', 'N'), value('cores-per-task', 'c'), value('gpus-per-task', 'g'), value('time-limit', 't')],
  ...[value('queue', 'q'), value('bank', 'B'), value('requires'), value('urgency'), value('job-name'), value('output')],
  ...[value('cwd'), value('setopt', 'o'), value('setattr', 'S'), value('dependency'), value('begin-time')],
  ...[value('ntasks', 'n'), flag('exclusive', 'x'), flag('unbuffered', 'u')],
];
const JOBS: readonly OptionShape[] = [
  ...[value('format', 'o'), value('name'), value('filter', 'f'), value('user', 'u'), value('count', 'c')],
  ...[flag('suppress-header', 'n'), flag('a', 'a'), flag('A', 'A')],
];

/** The text of the script, or why it is refused. */
function complaintAbout({ options, words, unrecognized }: CommandLine, form: string, call: Call): Reply | string {
  const error = (text: string, exitCode = 1) => ({ stderr: `flux-${form}: ERROR: ${text}\n`, exitCode });
  if (unrecognized !== undefined) return error(`unrecognized arguments: ${unrecognized}`, 2);
  if (options.has('exclusive') && !options.has('nodes')) return error('--exclusive can only be set with a node count');
  if (form === 'batch' && !options.has('ntasks') && !options.has('nodes')) {
    return error('Number of slots to allocate must be specified');
  }
  let script: string;
  try {
    script = readFileSync(resolve(call.directory, words[0] ?? ''), 'utf8');
  } catch {
    return error(`${words[0]}: No such file or directory`);
  }
  if (form === 'batch' && !script.startsWith('#!')) return error(`${words[0]} does not appear to be a script`);
  if (form === 'batch' && /^[^A-Za-z0-9\n]*(?:flux|FLUX):/m.test(script))
    return error('error in a submission directive');
  return script;
}

function field(job: FakeJob, name: string): string {
  const { id, request, phase } = job;
  const hasEnded = phase === 'ended';
  const seconds = (time: number | undefined) => (time === undefined ? '' : String(time / 1000));
  const fields: Readonly<Record<string, string>> = {
    'id.f58plain': id,
    'id.f58': id.replace(/^f/, 'ƒ'),
    name: request.name,
    state: stateOf(job),
    result: hasEnded ? resultOf(job) : '',
    returncode: hasEnded ? String(neverRan(job) ? -128 : returnCode(job)) : '',
    'exception.type': exceptionOf(job)[0],
    'exception.note': exceptionOf(job)[1],
    queue: 'batch',
    duration: '0.0',
    t_run: neverRan(job) ? '' : seconds(job.startedAt),
    t_inactive: seconds(job.endedAt),
    nodelist: neverRan(job) ? '' : 'fake1',
    nnodes: neverRan(job) ? '' : '1',
    'sched.reason_pending': phase === 'pending' && job.reason !== 'None' ? job.reason : '',
  };
  return fields[name] ?? '';
}

function stateOf({ phase, isHeld }: FakeJob): string {
  if (phase === 'pending') return isHeld ? 'PRIORITY' : 'SCHED';
  return { running: 'RUN', completing: 'CLEANUP', ended: 'INACTIVE' }[phase];
}

function resultOf(job: FakeJob): string {
  if (job.end === 'cancelled') return 'CANCELED';
  if (job.end === 'time-limit') return 'TIMEOUT';
  return job.end === 'exited' && job.exitCode === 0 ? 'COMPLETED' : 'FAILED';
}

function returnCode(job: FakeJob): number {
  const { end, exitCode, signal } = job;
  if (end === 'time-limit') return 142;
  if (end === 'unopened' || end === 'start-failure') return 1;
  return end === 'exited' ? (exitCode ?? 0) : 128 + (signal ?? 15);
}

function exceptionOf({ end }: FakeJob): readonly [string, string] {
  if (end === 'cancelled') return ['cancel', ''];
  if (end === 'time-limit') return ['timeout', 'resource allocation expired'];
  if (end === 'unopened') return ['exec', 'shell_init: No such file or directory'];
  if (end === 'start-failure') return ['exec', 'task could not be started'];
  return end === 'node-failure' ? ['node-failure', 'lost contact with job shell on broker fake1 (rank 1)'] : ['', ''];
}

function epitaph(_: FakeJob, end: string): string {
  return end === 'time-limit' ? 'flux-shell: job.exception type=timeout severity=0 resource allocation expired\n' : '';
}

function base58(number: number): string {
  const rest = Math.floor(number / 58);
  return (rest === 0 ? '' : base58(rest)) + ALPHABET[number % 58];
}
