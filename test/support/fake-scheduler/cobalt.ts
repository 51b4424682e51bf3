// Cobalt's commands over the engine, by its documents and public source: a table of jobs in which ended ones are
// missing, and a log for each job that says how it ended.

import { appendFileSync, chownSync } from 'node:fs';
import { isExecutable } from '../../../src/jacamar/subprocess.ts';
import { type Call, FakeCommands, type Reply } from './commands.ts';
import { BatchEngine, type FakeJob } from './engine.ts';
import { FrontEnd, nameOf } from './front-end.ts';
import { flag, type OptionShape, readCommandLine, value } from './options.ts';

const DOWN = 'Failed to connect to queue manager\n';

export class FakeCobalt extends FrontEnd {
  static async open(): Promise<FakeCobalt> {
    const engine = await BatchEngine.open({ firstId: 30_001, idOf: String, epitaph: () => '' });
    const cobalt = new FakeCobalt(engine, await FakeCommands.open());
    await cobalt.commands.offer({
      qsub: cobalt.whenUp({ stderr: DOWN, exitCode: 1 }, (call) => cobalt.#qsub(call)),
      qstat: cobalt.whenUp({ stderr: DOWN, exitCode: 2 }, (call) => cobalt.#qstat(call)),
      // These complain on standard output.
      qdel: cobalt.whenUp({ stdout: DOWN, exitCode: 1 }, (call) => cobalt.#qdel(call)),
      qrls: cobalt.whenUp({ stdout: DOWN, exitCode: 1 }, (call) => cobalt.#qrls(call)),
    });
    return cobalt;
  }

  #qsub(call: Call): Reply {
    const { options, words, unrecognized } = readCommandLine(call.argv, QSUB, false);
    const failed = (text: string) => ({ stderr: `${text}\n`, exitCode: 1 });
    const missing = ['time', 'nodecount'].filter((name) => !options.has(name));
    if (unrecognized !== undefined) return failed(`option ${unrecognized} not recognized`);
    if (missing.length > 0) return failed(`Not all required arguments provided: ${missing.join(',')} needed`);
    if (options.get('queue') === 'nowhere') return failed("Queue 'nowhere' does not exist");
    const path = words[0] ?? '';
    if (!isExecutable(path)) return failed(`Script ${path} is not executable`);
    const job = this.engine.submit({
      ...{ name: options.get('jobname') ?? '', uid: call.uid, gid: call.gid },
      script: Buffer.from(`#!/bin/sh\nexec '${path}'\n`),
      output: () => options.get('output') ?? '/dev/null',
      directory: options.get('cwd') ?? call.directory,
      environment: { PATH: '/usr/bin:/bin' },
      settings: (id) => ({ COBALT_JOBID: id, COBALT_NODEFILE: '/dev/null' }),
      held: options.has('held'),
    });
    void this.#writeLog(job, options.get('debuglog') ?? '/dev/null', options.get('error') ?? '/dev/null');
    return { stdout: `${job.id}\n`, stderr: `submitting walltime=${options.get('time')} minutes\n` };
  }

  /** Its server writes it, as the owner. */
  async #writeLog(job: FakeJob, log: string, errors: string): Promise<void> {
    const { uid, gid } = job.request;
    if (!(await this.untilEnded(job))) return;
    for (const [path, text] of [[log, `${endLine(job)}\n`] as const, [errors, 'launcher: end of job\n'] as const]) {
      try {
        appendFileSync(path, text);
        if (path !== '/dev/null') chownSync(path, uid, gid);
      } catch {
        // the job's directory is gone
      }
    }
  }

  #qstat(call: Call): Reply {
    const { options, words } = readCommandLine(call.argv, QSTAT, true);
    const columns = (options.get('header') ?? 'JobID:User:WallTime:Nodes:State:Location').split(':');
    const living = this.known().filter(({ phase }) => phase !== 'ended');
    const jobs = words.length === 0 ? living : living.filter(({ id }) => words.includes(id));
    if (jobs.length === 0) return { exitCode: words.length === 0 ? 0 : 1 };
    return { stdout: tableOf([columns, ...jobs.map((job) => columns.map((name) => cell(job, name)))]) };
  }

  #qdel({ argv, uid }: Call): Reply {
    const job = this.find(argv[0]);
    const isOwn = job !== undefined && (uid === 0 || job.request.uid === uid);
    if (job === undefined || !isOwn || job.phase === 'ended') return { stdout: `qdel: Job ${argv[0]} not found\n` };
    void this.engine.cancel(job, uid);
    return {
      stdout: `      Deleted Jobs\n${tableOf([
        ['JobID', 'User'],
        [job.id, nameOf(job.request.uid)],
      ])}`,
    };
  }

  #qrls({ argv }: Call): Reply {
    const job = this.find(argv[0]);
    if (job !== undefined) this.engine.start(job);
    return {};
  }
}

const QSUB: readonly OptionShape[] = [
  ...[value('nodecount', 'n'), value('time', 't'), value('queue', 'q'), value('project', 'A'), value('output', 'o')],
  ...[value('error', 'e'), value('debuglog'), value('jobname'), value('cwd'), value('mode'), value('env')],
  ...[value('attrs'), value('dependencies'), value('proccount'), flag('held', 'h'), flag('debug', 'd')],
];
const QSTAT: readonly OptionShape[] = [value('header'), flag('full', 'f'), flag('long', 'l')];

function cell(job: FakeJob, name: string): string {
  const cells: Readonly<Record<string, string>> = {
    JobID: job.id,
    JobName: job.request.name,
    User: nameOf(job.request.uid),
    State: stateOf(job),
    Queue: 'default',
    WallTime: '00:10:00',
    Nodes: '1',
    Location: job.phase === 'pending' ? 'None' : '3824-3825',
  };
  return cells[name] ?? '-';
}

function stateOf({ phase, isHeld, end, reason }: FakeJob): string {
  if (phase === 'pending') return isHeld ? 'user_hold' : reason === 'None' ? 'queued' : reason;
  return phase === 'running' ? 'running' : end === 'cancelled' ? 'killing' : 'exiting';
}

function tableOf([header = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = header.map((_, index) => Math.max(...[header, ...rows].map((row) => (row[index] ?? '').length)));
  const line = (row: readonly string[]) => row.map((each, index) => each.padEnd(widths[index] ?? 0)).join('  ');
  const rule = '='.repeat(line(header).length);
  return [line(header), rule, ...rows.map(line)].map((each) => `${each}\n`).join('');
}

/** The misspelling is Cobalt's. */
function endLine({ end, exitCode, signal, request, cancelledBy = 0 }: FakeJob): string {
  const at = 'Thu Nov 05 17:29:30 2026 +0000 (UTC) Info: ';
  if (end === 'cancelled') return `${at}user delete requested with signal SIGTERM by user ${nameOf(cancelledBy)}`;
  if (end === 'time-limit') return `${at}maximum execution time exceeded; initiating job terminiation`;
  if (end === 'exited' || end === 'signalled') {
    const code = end === 'exited' ? exitCode : 128 + (signal ?? 9);
    return `${at}task completed normally with an exit code of ${code}; initiating job cleanup and removal`;
  }
  return `${at}resource prologue failed for ${request.name}`;
}
