// A small site for whole stages: the installed executables, a GitLab stand-in, real accounts, a configuration of
// root's own, and a runner that plays jobs or makes single calls. Everything a test may look at afterwards (records,
// log, the runner's directories) lies in one directory of the world; `close` removes all of it. Needs root.

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { chown, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach } from 'node:test';
import { stringify } from 'smol-toml';
import { type GitLab, startGitLab } from '../../src/jacamar-admin/gitlab.ts';
import { createRepository } from '../../src/jacamar-admin/repository.ts';
import { driverStages, type RunnerSettings, runnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import { type AccountWishes, createAccount, type TestAccount } from './accounts.ts';
import { type Installation, install } from './installation.ts';
import { type JobWishes, type Played, type PreparedJob, prepareJob } from './job-wishes.ts';
import { LiveJob } from './live-job.ts';
import { StagedJob } from './staged-job.ts';

/** One line of the log of jacamar-auth. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly job: number;
  readonly runner: string;
  readonly stage: string;
  readonly processID: number;
  readonly hostname: string;
  readonly name?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

type Table = Readonly<Record<string, unknown>>;

/** Tables of custom.toml, laid over those of the tutorial; a value of undefined removes a key. */
export interface ConfigurationWishes {
  readonly general?: Table;
  readonly auth?: Table & { readonly logging?: Table; readonly runas?: Table };
  readonly batch?: Table;
}

export interface WorldWishes {
  /** Accounts to make; the first is the one that jobs run as. */
  readonly accounts?: readonly AccountWishes[];
  /** What to test, for the service account if there is one; default: the build, as script/install installs it. */
  readonly installation?: (service: TestAccount | undefined) => Promise<Installation>;
  /** The deployment; default: the runner is root's, and jobs are started by setuid. */
  readonly deployment?: Deployment;
}

/** Who runs the runner, and what it calls. */
export interface Deployment {
  readonly downscope: 'setuid' | 'sudo' | 'su' | 'none';
  /** A service account runs the runner. */
  readonly service: boolean;
  /** jacamar-auth has file capabilities. */
  readonly capable?: boolean;
  /** Jobs run as the service account itself. */
  readonly ownAccount?: boolean;
  /** The runner calls `jacamar --no-auth` instead. */
  readonly byHand?: boolean;
}

const DEPLOYMENT_OF_ROOT: Deployment = { downscope: 'setuid', service: false };

/** Opens a world for a test file and closes it after the last test. */
export async function openWorld(wishes: WorldWishes = {}): Promise<World> {
  const world = new World(await mkdtemp(join(tmpdir(), 'jt_world_')));
  after(() => world.close());
  // Stopped from outside, the test runner's children get a SIGTERM and no hook is called.
  process.once('SIGTERM', () => void world.close().finally(() => process.exit(1)));
  // Nor is one when a file fails before its first test: Node's test runner ends the process on the spot.
  let hasTests = false;
  beforeEach(() => {
    hasTests = true;
  });
  process.prependListener('uncaughtException', () => {
    if (!hasTests) world.removeAtOnce();
  });
  await world.furnish(wishes);
  return world;
}

export class World {
  /** Root's own, 0700. */
  readonly directory: string;
  readonly accounts: TestAccount[] = [];
  deployment = DEPLOYMENT_OF_ROOT;
  /** Runs the runner; undefined: root does. */
  service: TestAccount | undefined;
  readonly #closers: (() => Promise<unknown>)[] = [];
  #gitlab: GitLab | undefined;
  #installation: Installation | undefined;
  #configurations = 0;
  #isClosed = false;

  constructor(directory: string) {
    this.directory = directory;
    this.#closers.push(() => rm(directory, { recursive: true, force: true }));
  }

  /** Makes everything that `close` removes. */
  async furnish({ accounts = [{}], deployment = DEPLOYMENT_OF_ROOT, installation }: WorldWishes): Promise<void> {
    this.deployment = deployment;
    if (deployment.service) this.service = await this.addAccount();
    if (deployment.ownAccount !== true) this.accounts.length = 0;
    for (const name of ['runner', 'state', 'repositories']) await mkdir(this.at(name), { mode: 0o700 });
    for (const name of ['', 'runner', 'state']) await this.#give(this.at(name));
    this.#installation = (await installation?.(this.service)) ?? (await install(this.service?.gid, deployment.capable));
    this.#closers.push(this.#installation.remove);
    this.#gitlab = await startGitLab({ repositoryRoot: this.at('repositories') });
    this.#closers.push(() => this.gitlab.close());
    await createRepository(this.at('repositories'), 'demo/hello');
    if (deployment.ownAccount !== true) for (const wishes of accounts) await this.addAccount(wishes);
  }

  /** What root made for the runner belongs to the account that runs it. */
  async #give(path: string): Promise<void> {
    if (this.service !== undefined) await chown(path, this.service.uid, this.service.gid);
  }

  get gitlab(): GitLab {
    return required(this.#gitlab);
  }

  get installation(): Installation {
    return required(this.#installation);
  }

  /** The first account. */
  get account(): TestAccount {
    return required(this.accounts[0]);
  }

  get logFile(): string {
    return this.at('log');
  }

  /** A path in the world's directory. */
  at(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  async addAccount(wishes: AccountWishes = {}): Promise<TestAccount> {
    const account = await createAccount(wishes);
    this.accounts.push(account);
    this.#closers.push(account.remove);
    return account;
  }

  /** Called when the world is closed, the last one first. */
  onClose(act: () => Promise<unknown>): void {
    this.#closers.push(act);
  }

  /** Writes a configuration as root has it, 0600, and returns its path. */
  async configure({ general, auth, batch }: ConfigurationWishes = {}): Promise<string> {
    const { logging, ...rest } = auth ?? {};
    return this.writeConfiguration(
      stringify({
        general: defined({ executor: 'shell', data_dir: '$HOME', limit_build_dir: true, ...general }),
        auth: {
          ...defined({ downscope: this.deployment.downscope, state_dir: this.at('state'), ...rest }),
          logging: defined({ location: this.logFile, level: 'debug', ...logging }),
        },
        ...(batch === undefined ? {} : { batch: defined(batch) }),
      }),
    );
  }

  /** The same with a text of any kind. */
  async writeConfiguration(text: string): Promise<string> {
    this.#configurations += 1;
    const path = this.at(`custom-${this.#configurations}.toml`);
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    await this.#give(path);
    return path;
  }

  /** The runner of this world, apart from what the job wants. */
  async settings(wishes: Pick<JobWishes, 'options' | 'configuration' | 'driverOptions' | 'settings'>) {
    const driver = {
      executable: this.installation.program(this.deployment.byHand === true ? 'jacamar' : 'jacamar-auth'),
      configuration: wishes.configuration ?? (await this.configure(wishes.options)),
      options: [...(this.deployment.byHand === true ? ['--no-auth'] : []), ...(wishes.driverOptions ?? [])],
    };
    const impatient: Partial<RunnerSettings> = { retryPauseMs: 10, stageRetryPauseMs: 10, gracefulKillMs: 120_000 };
    return runnerSettings({
      stages: driverStages(driver),
      temporaryRoot: this.at('runner'),
      ...(this.service === undefined ? {} : { account: this.service }),
      ...impatient,
      ...wishes.settings,
    });
  }

  /** Plays a whole job to its end. */
  async play(wishes: JobWishes = {}): Promise<Played> {
    return (await this.start(wishes)).ended;
  }

  /** Starts a job that the test wants to interfere with. */
  async start(wishes: JobWishes = {}): Promise<LiveJob> {
    const job = new LiveJob(this, await this.#prepare(wishes));
    this.onClose(() => job.abandon());
    return job;
  }

  /** A job whose driver calls the test makes one by one. */
  async stages(wishes: JobWishes = {}): Promise<StagedJob> {
    const job = await StagedJob.open(this, await this.#prepare(wishes));
    this.onClose(() => job.close());
    return job;
  }

  async #prepare(wishes: JobWishes): Promise<PreparedJob> {
    return prepareJob(this.gitlab, this.account.name, wishes, await this.settings(wishes));
  }

  /** Parsed lines of the log, of one job or of all. */
  async log(job?: number): Promise<LogLine[]> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as LogLine).filter((line) => job === undefined || line.job === job);
  }

  /** Names of what is on record of a job; empty when nothing is. */
  async recordOf(job: number): Promise<string[]> {
    const jobs = this.at('state/jobs');
    const name = (await readdir(jobs).catch(() => [])).find((each) => each.endsWith(`-${job}`));
    return name === undefined ? [] : readdir(join(jobs, name));
  }

  /** Puts a file of the account into its home. */
  async writeHome(name: string, text: string, account = this.account): Promise<void> {
    // A job that waits for the file may remove it at once.
    await using file = await open(join(account.home, name), 'a', 0o644);
    await file.appendFile(text);
    await file.chown(account.uid, account.gid);
  }

  /** Safe to call twice. One part that cannot be removed keeps none of the others. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const failures: unknown[] = [];
    for (let act = this.#closers.pop(); act !== undefined; act = this.#closers.pop()) {
      await act().catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, 'the world could not be removed whole');
  }

  /** The last resort of a process that cannot wait any more; does nothing after `close`. */
  removeAtOnce(): void {
    if (this.#isClosed) return;
    const { service } = this;
    for (const { name, uid } of [...this.accounts, ...(service === undefined ? [] : [service])]) {
      if (uid > 0) spawnSync('pkill', ['-KILL', '-U', String(uid)]);
      spawnSync('/usr/sbin/userdel', ['--remove', '--force', name]);
    }
    for (const directory of [this.directory, this.#installation?.prefix]) {
      if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    }
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the world is not furnished yet');
  return value;
}

function defined(table: Table): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).filter(([, value]) => value !== undefined));
}
