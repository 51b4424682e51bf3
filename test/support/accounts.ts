// Local accounts for tests that need real ones. Each is new, has a name that no person has (`jt_…`), and is removed by
// the test that made it. Needs root.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from './eventually.ts';

const run = promisify(execFile);

/** What a test wants of its account; everything has a default. */
export interface AccountWishes {
  /** How many supplementary groups; they are the account's alone, since others may go while it is looked at. */
  readonly groups?: number;
  readonly shell?: string;
  /** Home directory; created with mode 0700. */
  readonly home?: string;
  /** Fixed user id; the group gets an own one. */
  readonly uid?: number;
}

export interface TestAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  /** Names of the supplementary groups. */
  readonly groups: readonly string[];
  /** Ends the account's processes and removes it, its home and its own groups. Safe to call twice. */
  remove(): Promise<void>;
}

/** Makes an account with a primary group of the same name and a home directory of its own. */
export async function createAccount(wishes: AccountWishes = {}): Promise<TestAccount> {
  const name = `jt_${randomBytes(5).toString('hex')}`;
  const home = wishes.home ?? `/home/${name}`;
  const groups = Array.from({ length: wishes.groups ?? 0 }, (_, index) => `${name}_${index}`);
  for (const group of groups) await changeAccounts('groupadd', [group]);
  await changeAccounts('useradd', [
    ...['--create-home', '--home-dir', home, '--key', 'HOME_MODE=0700', '--user-group'],
    ...['--shell', wishes.shell ?? '/bin/bash'],
    ...(groups.length === 0 ? [] : ['--groups', groups.join(',')]),
    ...(wishes.uid === undefined ? [] : ['--uid', String(wishes.uid)]),
    name,
  ]);
  const [uid = 0, gid = 0] = await idsOf(name);
  let removal: Promise<void> | undefined;
  const remove = () => {
    // Once only: after the first removal the user id can belong to the account of another test.
    removal ??= removeAccount(name, uid, groups);
    return removal;
  };
  return { name, uid, gid, home, groups, remove };
}

/** Ends everything that runs with this user id, in whatever session it is. */
export async function endProcessesOf(uid: number): Promise<void> {
  for (let round = 0; round < 50; round += 1) {
    const pids = await processesOf(uid);
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid);
    // A killed process is gone for us once it is a zombie; until then we look again.
    await sleep(20);
  }
}

/** Processes that run with this user id; zombies do not count. */
export async function processesOf(uid: number): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '');
    const ids = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
    if (ids.includes(String(uid)) && !/^State:\s+[ZX]/m.test(status)) found.push(Number(entry));
  }
  return found;
}

async function removeAccount(name: string, uid: number, ownGroups: readonly string[]): Promise<void> {
  // Whatever went wrong before: a uid of 0 here would mean every process of the host.
  if (uid > 0) await endProcessesOf(uid);
  // 6: no such user. 8: still in use; the record goes away with --force.
  await changeAccounts('userdel', ['--remove', '--force', name], [6, 12]);
  // userdel leaves a primary group in place when --force meets other members.
  for (const group of [name, ...ownGroups]) await changeAccounts('groupdel', [group], [6, 8]);
}

async function idsOf(name: string): Promise<number[]> {
  const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
  return [Number(uid.stdout), Number(gid.stdout)];
}

const TURN_LIMIT_MS = 300_000;

/** Of this process: the next change waits for the last one. */
let lastChange: Promise<void> = Promise.resolve();

/**
 * Calls a tool of shadow, such as groupadd, as often as that takes: test files run beside each other, and the tools give
 * up at once when another one holds the lock of /etc/passwd (status 1 or 10).
 * @param accepted statuses besides 0 that are as good
 */
export function changeAccounts(tool: string, args: readonly string[], accepted: readonly number[] = []): Promise<void> {
  const change = lastChange.then(() =>
    eventually(`${tool} ${args.join(' ')} gets its turn`, () => tryChange(tool, args, accepted), TURN_LIMIT_MS).then(
      () => {},
    ),
  );
  lastChange = change.catch(() => {});
  return change;
}

/** False when another one holds the lock. */
async function tryChange(tool: string, args: readonly string[], accepted: readonly number[]): Promise<boolean> {
  try {
    await run(`/usr/sbin/${tool}`, args);
    return true;
  } catch (error) {
    const { code, stderr } = error as { code?: number; stderr?: string };
    if (accepted.includes(Number(code))) return true;
    if (code === 10 || /lock/i.test(stderr ?? '')) return false;
    throw error;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself in the meantime
  }
}
