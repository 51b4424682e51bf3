// The imitation of Slurm against Slurm: the same commands must get the same answers from both. Otherwise what the tests
// with the imitation say would be worth nothing.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createAccount, type TestAccount } from '../support/accounts.ts';
import { eventually } from '../support/eventually.ts';
import { FakeSlurm } from '../support/fake-scheduler/slurm.ts';
import { SlurmLab } from '../support/slurm/lab.ts';

interface Heard {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Slurm, or the imitation, as one account uses it. */
interface Cluster {
  readonly account: TestAccount;
  readonly other: TestAccount;
  readonly environment: Readonly<Record<string, string>>;
}

const lab = await SlurmLab.open({ accounting: true });
const fake = await FakeSlurm.open();
const scripts = await mkdtemp(join(tmpdir(), 'jt_scripts_'));
await chmod(scripts, 0o755);
const [account, other] = [await createAccount(), await createAccount()];
after(async () => {
  await lab.close();
  await fake.close();
  await Promise.all([account.remove(), other.remove(), rm(scripts, { recursive: true })]);
});
fake.engine.killWaitMs = 3_000;

const real: Cluster = { account, other, environment: { ...lab.environment, SLURM_TIME_FORMAT: '%s' } };
const imitation: Cluster = {
  account,
  other,
  environment: { PATH: `${fake.commands.bin}:/usr/bin:/bin`, SLURM_TIME_FORMAT: '%s' },
};

async function hear(cluster: Cluster, argv: readonly string[], by = cluster.account): Promise<Heard> {
  const [program = '', ...args] = argv;
  const options = { cwd: '/tmp', env: { ...cluster.environment }, uid: by.uid, gid: by.gid };
  return new Promise((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

/** Submits commands and returns the number of the job. */
async function submit(cluster: Cluster, commands: string, ...options: string[]): Promise<string> {
  const script = join(scripts, randomBytes(8).toString('hex'));
  await writeFile(script, `#!/bin/bash\n${commands}\n`);
  const { stdout, stderr } = await hear(cluster, ['sbatch', '--parsable', '--output=/dev/null', ...options, script]);
  assert.match(stdout, /^\d+\n$/, stderr);
  return stdout.trim();
}

async function fields(cluster: Cluster, id: string): Promise<Record<string, string | undefined>> {
  const { stdout } = await hear(cluster, ['scontrol', '--oneliner', 'show', 'job', id]);
  const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(stdout)?.[1];
  const names = ['JobState', 'Reason', 'ExitCode', 'Restarts', 'Requeue', 'TimeLimit', 'JobName'];
  return Object.fromEntries(names.map((name) => [name, field(name)]));
}

async function until(cluster: Cluster, id: string, state: RegExp): Promise<Record<string, string | undefined>> {
  return eventually(`job ${id} is ${state}`, async () => {
    const all = await fields(cluster, id);
    return state.test(all['JobState'] ?? '') && all;
  });
}

const ENDED = /^(?!PENDING|RUNNING|COMPLETING)/;

/** Without what differs by nature: numbers of jobs. */
async function recorded(cluster: Cluster, id: string): Promise<string> {
  const argv = ['sacct', '--noheader', '--parsable2', '--allocations', `--jobs=${id}`, '--format=State,ExitCode'];
  return eventually('the accounting knows the end', async () => {
    const { stdout } = await hear(cluster, argv);
    return !/^(|PENDING.*|RUNNING.*|COMPLETING.*)\n?$/.test(stdout) && stdout;
  });
}

function without(id: string, { code, stdout, stderr }: Heard): Heard {
  return { code, stdout: stdout.replaceAll(id, 'ID'), stderr: stderr.replaceAll(id, 'ID') };
}

const SAME: Readonly<Record<string, (cluster: Cluster) => Promise<unknown>>> = {
  'how a job ends, in the queue and in the accounting': async (cluster) => {
    const endings = ['exit 0', 'exit 7', 'exit 137', 'exit 255', 'exit 300', 'kill -TERM $$', 'kill -KILL $$'];
    const ids = await Promise.all(endings.map((commands) => submit(cluster, commands, '--job-name=same')));
    return Promise.all(ids.map(async (id) => [await until(cluster, id, ENDED), await recorded(cluster, id)]));
  },
  'a job whose output cannot be opened': async (cluster) => {
    const id = await submit(cluster, 'exit 0', '--output=/nonexistent/x', '--job-name=same');
    return [await until(cluster, id, ENDED), await recorded(cluster, id)];
  },
  'a job that is cancelled while it runs': async (cluster) => {
    // One process: of two either may be the first to end.
    const id = await submit(cluster, 'exec sleep 100', '--no-requeue', '--time=7', '--job-name=same');
    await until(cluster, id, /RUNNING/);
    const cancelled = await hear(cluster, ['scancel', id]);
    await until(cluster, id, ENDED);
    // The real one may need another moment for the code.
    const end = await eventually('its code is known', async () => {
      const all = await fields(cluster, id);
      return all['ExitCode'] !== '0:0' && all;
    });
    return [cancelled, end, await recorded(cluster, id)];
  },
  'a job that is cancelled while it is held': async (cluster) => {
    const id = await submit(cluster, 'exit 0', '--hold', '--job-name=same');
    const before = await fields(cluster, id);
    await hear(cluster, ['scancel', id]);
    return [before, await until(cluster, id, ENDED), await recorded(cluster, id)];
  },
  'a job that is held and released': async (cluster) => {
    const id = await submit(cluster, 'exit 0', '-H', '--job-name=same');
    const released = await hear(cluster, ['scontrol', 'release', id]);
    return [released, await until(cluster, id, ENDED)];
  },
  'which jobs squeue lists': async (cluster) => {
    const held = await submit(cluster, 'exit 0', '--hold', '--job-name=same-held');
    const ended = await submit(cluster, 'exit 0', '--job-name=same-ended');
    await until(cluster, ended, ENDED);
    const list = async (...options: string[]) => {
      const { code, stdout, stderr } = await hear(cluster, [
        'squeue',
        '--noheader',
        '--format=%T|%r|%j|%l',
        ...options,
      ]);
      return { code, lines: stdout.split('\n').toSorted(), stderr };
    };
    const both = `--jobs=${held},${ended}`;
    const answers = [
      ...[
        await list(both),
        await list(both, '--states=all'),
        await list(`--jobs=${ended}`),
        await list('--jobs=99999'),
      ],
      ...[
        await list(`--jobs=${held},99999`),
        await list('--states=all', '--name=same-held'),
        await list('--name=none'),
      ],
    ];
    await hear(cluster, ['scancel', held]);
    return answers;
  },
  'what there is to say about unknown jobs': async (cluster) => [
    await hear(cluster, ['scontrol', 'show', 'job', '99999']),
    await hear(cluster, ['scancel', '99999']),
    await hear(cluster, ['sacct', '--noheader', '--parsable2', '--jobs=99999', '--format=State']),
  ],
  'a job of somebody else': async (cluster) => {
    const id = await submit(cluster, 'sleep 100', '--job-name=same');
    await until(cluster, id, /RUNNING/);
    const denied = without(id, await hear(cluster, ['scancel', id], cluster.other));
    await hear(cluster, ['scancel', id]);
    await until(cluster, id, ENDED);
    return denied;
  },
  'a requeue by the owner that is forbidden': async (cluster) => {
    const id = await submit(cluster, 'sleep 100', '--no-requeue', '--job-name=same');
    await until(cluster, id, /RUNNING/);
    const denied = without(id, await hear(cluster, ['scontrol', 'requeue', id]));
    await hear(cluster, ['scancel', id]);
    return [denied.code, denied.stderr.trim()];
  },
  'how sbatch reads its options': async (cluster) => {
    const limits = await Promise.all(
      ['5', '0:20', '1:00:00', '1-0', '2'].map(async (time) => {
        const id = await submit(cluster, 'exit 0', '-H', '--time=9', `-t${time}`, '--job-n=same');
        const { TimeLimit, JobName } = await fields(cluster, id);
        await hear(cluster, ['scancel', id]);
        return { TimeLimit, JobName };
      }),
    );
    const bad = await hear(cluster, ['sbatch', '--parsable', '--bogus']);
    const missing = await hear(cluster, ['sbatch', '--parsable', '/nonexistent']);
    return [limits, bad, missing];
  },
};

describe('Slurm and its imitation agree on', { concurrency: 4 }, () => {
  for (const [title, act] of Object.entries(SAME)) {
    it(title, async () => {
      assert.deepEqual(await act(imitation), await act(real));
    });
  }
});
