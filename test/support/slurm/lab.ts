// A real Slurm for tests: two nodes on this machine, from the system's packages (script/prepare --for-tests). It needs
// no service manager and no control groups, listens on loopback only, keeps everything in one directory, and changes
// nothing outside of it: several labs can live beside each other, and beside a Slurm of the machine. Needs root, and in a
// container the right to make namespaces (CAP_SYS_ADMIN).

import { execFile, execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, stat, writeFile } from 'node:fs/promises';
import { createServer, type ListenOptions, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '../eventually.ts';
import {
  HOST,
  HOSTS,
  type LabPorts,
  type LabWishes,
  prologIn,
  SPARE_NODE,
  slurmConf,
  slurmdbdConf,
} from './configuration.ts';
import { Daemon, type DaemonParts } from './daemon.ts';

const run = promisify(execFile);

/** mariadbd lies in the last one with the RHEL family. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec';
const START_LIMIT_MS = 120_000;

export class SlurmLab {
  /** Readable by all, since users' commands need the configuration and the socket in it. */
  readonly directory: string;
  readonly wishes: LabWishes;
  readonly #ports: LabPorts;
  readonly #daemons: Daemon[] = [];
  readonly #onExit = () => this.#removeAtOnce();
  #controller: Daemon | undefined;
  #isClosed = false;

  private constructor(directory: string, ports: LabPorts, wishes: LabWishes) {
    this.directory = directory;
    this.#ports = ports;
    this.wishes = wishes;
    process.on('exit', this.#onExit);
  }

  /** Starts it, and waits until jobs can run. Takes one or two seconds. */
  static async open(wishes: LabWishes = {}): Promise<SlurmLab> {
    const lab = new SlurmLab(await mkdtemp(join(tmpdir(), 'jt_slurm_')), await freePorts(), wishes);
    try {
      await lab.#furnish();
      await lab.#start();
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  /** Path of slurm.conf. */
  get configuration(): string {
    return join(this.directory, 'etc/slurm.conf');
  }

  /** What users' commands need in their environment. */
  get environment(): Readonly<Record<string, string>> {
    return { PATH, SLURM_CONF: this.configuration };
  }

  /** Standard output of a command of the administrator. */
  async command(program: string, ...argv: readonly string[]): Promise<string> {
    const { stdout } = await run(program, argv, { env: this.environment, maxBuffer: 2 ** 26 });
    return stdout;
  }

  /** Fields of `scontrol show job`; empty when the controller does not know the job. */
  async job(id: string): Promise<ReadonlyMap<string, string>> {
    const text = await this.command('scontrol', '-o', 'show', 'job', id).catch(() => '');
    return new Map([...text.matchAll(/(\w+(?::\w+)?)=(\S*)/g)].map(([, key = '', value = '']) => [key, value]));
  }

  /** Ids of jobs that have not ended, of one account or of all. */
  async living(account?: string): Promise<string[]> {
    const of = account === undefined ? [] : ['--user', account];
    const text = await this.command('squeue', '--noheader', '--format=%A', ...of);
    return text.split('\n').filter((id) => id !== '');
  }

  /** Number of requests that the controller has had of an account, by kind of request. */
  async requests(uid: number): Promise<ReadonlyMap<string, number>> {
    const text = await this.command('sdiag');
    const [, perUser = ''] = text.split('Remote Procedure Call statistics by user');
    const counts = [...perUser.matchAll(/\(\s*(\d+)\)\s+count:(\d+)/g)].map(([, id = '', count = '']) => [id, count]);
    return new Map(counts.filter(([id]) => id === String(uid)).map(([id = '', count]) => [id, Number(count)]));
  }

  async stopController(): Promise<void> {
    await this.#controller?.stop();
  }

  /** Kills it at a moment at which its files know what it knows; it writes them some seconds late. */
  async killController(job: string): Promise<void> {
    const before = Date.now();
    await this.command('scontrol', 'update', `JobId=${job}`, 'Comment=save');
    const isSaved = async () => (await stat(join(this.directory, 'state/job_state'))).mtimeMs > before;
    await eventually('the controller saves its state', () => isSaved().catch(() => false));
    await this.#controller?.stop('SIGKILL');
  }

  /** Goes on with the state that the stopped one left. Nodes may take some seconds more to report. */
  async startController(): Promise<void> {
    await this.#until(this.#startController(), () => this.living());
  }

  /** Ends jobs and daemons and removes the directory. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#controller?.isRunning === true) await this.#endJobs().catch(() => {});
    for (const daemon of this.#daemons.toReversed()) await daemon.stop();
    this.#removeAtOnce();
    process.off('exit', this.#onExit);
  }

  /** Otherwise each job's own daemon and its processes would live on. */
  async #endJobs(): Promise<void> {
    const ids = await this.living();
    if (ids.length > 0) await this.command('scancel', ...ids);
    await eventually('the jobs of the lab end', async () => (await this.living()).length === 0);
  }

  #removeAtOnce(): void {
    this.#isClosed = true;
    for (const daemon of this.#daemons) daemon.kill();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  async #furnish(): Promise<void> {
    await chmod(this.directory, 0o755);
    const owned = { munge: 'munge', 'munge/private': 'munge', state: 'slurm', run: 'slurm', db: 'slurm' };
    for (const name of ['etc', 'log', 'spool', ...Object.keys(owned)]) await mkdir(join(this.directory, name));
    for (const [name, account] of Object.entries(owned)) await give(join(this.directory, name), account);
    for (const name of ['munge/private', 'db']) await chmod(join(this.directory, name), 0o700);
    await writeFile(join(this.directory, 'etc/hosts'), HOSTS);
    await writeFile(this.configuration, slurmConf(this.directory, this.#ports, this.wishes));
    const { prolog } = this.wishes;
    if (prolog !== undefined) await writeFile(prologIn(this.directory), prolog, { mode: 0o755 });
    const key = join(this.directory, 'munge/private/key');
    await writeFile(key, randomBytes(1024), { mode: 0o600 });
    await give(key, 'munge');
  }

  async #start(): Promise<void> {
    await this.#startMunge();
    if (this.wishes.accounting === true) await this.#startAccounting();
    const controller = this.#startController('-c');
    const nodes = [HOST, SPARE_NODE].map((host) =>
      this.#daemon({ name: `slurmd-${host}`, argv: ['slurmd', '-D'], host }),
    );
    for (const daemon of [controller, ...nodes]) await this.#until(daemon, () => this.#areNodesUp());
  }

  async #startMunge(): Promise<void> {
    const at = (name: string) => join(this.directory, 'munge', name);
    const files = [`--socket=${at('socket')}`, `--key-file=${at('private/key')}`, `--pid-file=${at('private/pid')}`];
    const rest = [`--log-file=${at('private/log')}`, `--seed-file=${at('private/seed')}`];
    const argv = ['munged', '--foreground', ...files, ...rest];
    const munged = this.#daemon({ name: 'munged', argv, account: 'munge' });
    await this.#until(munged, () => this.command('munge', '--socket', at('socket'), '--no-input'));
  }

  async #startAccounting(): Promise<void> {
    const password = randomBytes(18).toString('hex');
    await this.#startDatabase(password);
    const path = join(this.directory, 'etc/slurmdbd.conf');
    await writeFile(path, slurmdbdConf(this.directory, this.#ports, password), { mode: 0o600 });
    await give(path, 'slurm');
    const slurmdbd = this.#daemon({ name: 'slurmdbd', argv: ['slurmdbd', '-D'], account: 'slurm', host: HOST });
    await this.#until(slurmdbd, () => this.command('sacctmgr', '--noheader', 'list', 'cluster'));
  }

  async #startDatabase(password: string): Promise<void> {
    const data = join(this.directory, 'db');
    const quick = ['--no-defaults', `--datadir=${data}`, '--skip-name-resolve', '--innodb-buffer-pool-size=64M'];
    const install = ['--user=slurm', '--auth-root-authentication-method=normal', '--skip-test-db'];
    await this.command('mariadb-install-db', ...quick, ...install);
    const socket = join(data, 'socket');
    const listen = [`--socket=${socket}`, `--port=${this.#ports.database}`, '--bind-address=127.0.0.1'];
    const argv = ['mariadbd', ...quick, ...listen, '--innodb-flush-log-at-trx-commit=0'];
    const mariadbd = this.#daemon({ name: 'mariadbd', argv, account: 'slurm' });
    const sql = [
      'CREATE DATABASE slurm_acct_db',
      `CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '${password}'`,
      "GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1'",
    ];
    await this.#until(mariadbd, () => this.#sql(socket, 'SELECT 1'));
    await this.#sql(socket, sql.join(';'));
  }

  /** On standard input, since there is a password in it. */
  async #sql(socket: string, text: string): Promise<void> {
    const client = run('mariadb', ['--no-defaults', `--socket=${socket}`, '--user=root'], { env: this.environment });
    // A client that finds no server ends before it has read.
    client.child.stdin?.on('error', () => {});
    client.child.stdin?.end(text);
    await client;
  }

  #startController(...argv: readonly string[]): Daemon {
    const parts = { name: 'slurmctld', argv: ['slurmctld', '-D', ...argv], account: 'slurm', host: HOST };
    this.#controller = this.#daemon(parts);
    return this.#controller;
  }

  #daemon(parts: DaemonParts): Daemon {
    const daemon = new Daemon({ directory: this.directory, environment: this.environment }, parts);
    this.#daemons.push(daemon);
    return daemon;
  }

  async #areNodesUp(): Promise<boolean> {
    const states = await this.command('sinfo', '--noheader', '--format=%T');
    return states.split('\n').every((state) => /^(idle|)$/.test(state));
  }

  /** Waits for an answer that is not false, as long as the daemon lives. */
  async #until(daemon: Daemon, ask: () => Promise<unknown>): Promise<void> {
    const answers = async () => {
      if (!daemon.isRunning) throw new Error(`${daemon.name} ended:\n${daemon.lastWords}`);
      return ask().then(
        (answer) => answer !== false,
        () => false,
      );
    };
    await eventually(`${daemon.name} answers:\n${daemon.lastWords}`, answers, START_LIMIT_MS);
  }
}

async function give(path: string, account: string): Promise<void> {
  const id = (option: string) => Number(execFileSync('id', [option, account]));
  await chown(path, id('-u'), id('-g'));
}

/**
 * Below the range that the system gives to outgoing connections, so that none of them takes it meanwhile. Nor does
 * another lab: daemons listen some seconds later only, and this process holds an abstract socket for each port.
 */
async function freePorts(): Promise<LabPorts> {
  const held: Server[] = [];
  const next = async (): Promise<number> => {
    for (;;) {
      const port = randomInt(20_000, 32_000);
      const claim = await listening({ path: `\0jt_slurm_port_${port}` });
      const server = claim && (await listening({ port, host: '127.0.0.1' }));
      if (server === undefined) continue;
      claim?.unref();
      held.push(server);
      return port;
    }
  };
  const ports = {
    controller: await next(),
    firstNode: await next(),
    secondNode: await next(),
    accounting: await next(),
    database: await next(),
  };
  for (const server of held) server.close();
  return ports;
}

async function listening(at: ListenOptions): Promise<Server | undefined> {
  const { promise, resolve } = Promise.withResolvers<Server | undefined>();
  const server = createServer();
  server.once('error', () => resolve(undefined));
  server.listen(at, () => resolve(server));
  return promise;
}
