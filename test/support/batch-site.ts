// A world whose jobs go to a scheduler: each test gets an account of its own, so that many can run beside each other
// and everything that is left can be told apart.

import type { VariableParts } from '../../src/jacamar-admin/job.ts';
import type { RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import { createAccount, type TestAccount } from './accounts.ts';
import { signal, treeOf } from './processes.ts';
import type { LiveCall, StagedJob } from './staged-job.ts';
import { openWorld, type World } from './world.ts';

type Table = Readonly<Record<string, unknown>>;

export interface BatchWishes {
  /** CI variables. */
  readonly variables?: Readonly<Record<string, string>>;
  readonly batch?: Table;
  readonly general?: Table;
  /** Default: a new one. */
  readonly account?: TestAccount;
  /** Of the CI job. */
  readonly timeoutSeconds?: number;
  readonly settings?: Partial<RunnerSettings>;
}

export interface BatchJob {
  readonly account: TestAccount;
  readonly job: StagedJob;
}

export class BatchSite {
  readonly world: World;
  readonly #batch: Table;

  private constructor(world: World, batch: Table) {
    this.world = world;
    this.#batch = batch;
    // There are many; one after the other takes too long.
    world.onClose(() => Promise.all(world.accounts.map(({ remove }) => remove())));
  }

  async addAccount(): Promise<TestAccount> {
    const account = await createAccount();
    this.world.accounts.push(account);
    return account;
  }

  /** @param batch how the scheduler is reached, as `[batch]` says it */
  static async open(batch: Table): Promise<BatchSite> {
    return new BatchSite(await openWorld({ accounts: [] }), batch);
  }

  /** What `world.play` and `world.start` want of such a job. */
  async wishes({ variables = {}, batch, general, account, timeoutSeconds, settings }: BatchWishes = {}) {
    const owner = account ?? (await this.addAccount());
    const entries: VariableParts[] = Object.entries(variables).map(([key, value]) => ({ key, value }));
    return {
      account: owner,
      login: owner.name,
      variables: entries,
      ...(settings === undefined ? {} : { settings }),
      ...(timeoutSeconds === undefined ? {} : { facts: { timeoutSeconds } }),
      options: {
        general: { executor: 'slurm', ...general },
        // Quicker than a site would have it.
        batch: { poll_interval_min: '1s', poll_interval_max: '2s', nfs_timeout: '1s', ...this.#batch, ...batch },
      },
    };
  }

  /** A job that is ready for its run stages. */
  async job(parts: BatchWishes = {}): Promise<BatchJob> {
    const { account, ...wishes } = await this.wishes(parts);
    return { account, job: await (await this.world.stages(wishes)).configured() };
  }

  /** What jacamar-auth logged as the fault of this job. */
  async fault({ job }: BatchJob): Promise<unknown> {
    return (await job.log()).find(({ level }) => level === 'ERROR')?.details?.['code'];
  }
}

/** Kills jacamar-auth and jacamar so that neither can do anything about the death of the other. */
export async function killBoth(call: LiveCall): Promise<void> {
  const [auth, jacamar] = await treeOf(await call.pid());
  signal(jacamar?.pid, 'SIGSTOP');
  signal(auth?.pid, 'SIGKILL');
  signal(jacamar?.pid, 'SIGKILL');
}
