// `jacamar lock`: for people who want to know which job has which of their build directories, and to free some.
// Needs no configuration, which is often readable by the administrator alone.

import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { createProgram } from '../../contract/command-line.ts';
import { slotName } from '../../contract/directories.ts';
import { identityOf } from '../../contract/process-identity.ts';
import { writeFully } from '../../contract/program.ts';
import { printable } from '../../contract/text.ts';
import { usualBase } from '../by-hand.ts';
import { claimStores } from '../claim.ts';
import { journalFoundIn } from './journal.ts';
import { judge, localOwner, type Verdict } from './owner.ts';
import type { Claim, ClaimStore, Turn } from './store.ts';

type Program = ReturnType<typeof createProgram>;

/** Adds the command and its two sub-commands. */
export function addLock(program: Program): void {
  const lock = program
    .command('lock')
    .description('show which job has which of your build directories; release claims of jobs that are over');
  const base = ['--base <directory>', 'where your CI files are; default: ~/.jacamar-ci'] as const;
  lock
    .command('list', { isDefault: true })
    .description(
      'show all claims: directory, whether its job is alive, since when, job, host and process of its runner',
    )
    .option(...base)
    .action((options) => writeFully(1, listClaims(resolve(options.base ?? usualBase()))));
  lock
    .command('release')
    .description('release claims; the directories themselves stay as they are')
    .argument('[directory...]', 'as `jacamar lock` lists them, such as builds/003')
    .option(...base)
    .option('--dead', 'release all whose job is surely over, which the next job would do anyway')
    .option('--force', 'release what is named even if its job may be alive; another job can get its directory then')
    .action((directories: string[], { base: where, dead = false, force = false }) => {
      if (directories.length === 0 && !dead) program.error('error: name a directory, or use --dead');
      const { done, complaints } = releaseByHand(resolve(where ?? usualBase()), { directories, dead, force });
      writeFully(1, done);
      if (complaints.length > 0) program.error(complaints.map((each) => `error: ${each}`).join('\n'));
    });
}

/** One claim, with everything that is known of it. */
interface Listed {
  /** Its build directory, below the base. */
  readonly directory: string;
  readonly store: ClaimStore;
  readonly turn: Turn;
  readonly claim: Claim;
  readonly verdict: Verdict;
}

/** A table of all claims below `base`. */
function listClaims(base: string): string {
  const rows = claimsBelow(base).map(({ directory, claim, verdict }) => [
    directory,
    verdict.isAlive ? 'alive' : 'dead',
    age(Date.now() - claim.since),
    `${claim.jobId} of ${printable(claim.project)} (${printable(claim.server)})`,
    `${printable(claim.owner.host)}:${claim.owner.process.pid}`,
    printable(verdict.why),
  ]);
  if (rows.length === 0) return `No build directory below ${base} is claimed.\n`;
  return asTable([['DIRECTORY', 'STATE', 'AGE', 'JOB', 'RUNNER', 'BECAUSE'], ...rows]);
}

/** Which claims to release. */
interface Wanted {
  /** As the list shows them, or absolute. */
  readonly directories: readonly string[];
  /** All whose job is surely over. */
  readonly dead: boolean;
  /** Those of living jobs, too, as far as they are named. */
  readonly force: boolean;
}

/** What was done, and what is wrong, if anything is. */
interface Released {
  readonly done: string;
  readonly complaints: readonly string[];
}

function releaseByHand(base: string, { directories, dead, force }: Wanted): Released {
  const all = claimsBelow(base);
  const named = directories.map((path) => [path, isAbsolute(path) ? relative(base, path) : path] as const);
  const missing = named.filter(([, wanted]) => !all.some(({ directory }) => directory === wanted));
  const isNamed = ({ directory }: Listed) => named.some(([, wanted]) => wanted === directory);
  const chosen = all.filter((listed) => isNamed(listed) || (dead && !listed.verdict.isAlive));
  const refused = chosen.filter(({ verdict }) => verdict.isAlive && !force);
  const journal = journalFoundIn(base);
  const lines = chosen
    .filter((listed) => !refused.includes(listed))
    .map(({ store, turn, claim, directory }) => {
      store.free(turn);
      journal(`released ${directory} of job ${claim.jobId} by hand`);
      return `released ${directory}, which job ${claim.jobId} had\n`;
    });
  return {
    done: lines.join(''),
    complaints: [
      ...missing.map(([path]) => `${printable(path)} is not claimed`),
      ...refused.map(
        ({ directory, verdict }) => `${directory} is in use: ${verdict.why} (--force releases it all the same)`,
      ),
    ],
  };
}

/** In the order of their directories. */
function claimsBelow(base: string): Listed[] {
  const here = localOwner(identityOf(process.pid));
  const all = claimStores(base).flatMap((store) => store.turns().map((turn) => ({ store, turn })));
  const listed = all.flatMap(({ store, turn }) => {
    const { claim } = turn;
    if (claim === undefined) return [];
    const verdict = judge(claim, here);
    return [{ directory: directoryOf(base, store, turn), store, turn, claim, verdict }];
  });
  return listed.toSorted((one, other) => (one.directory < other.directory ? -1 : 1));
}

function directoryOf(base: string, store: ClaimStore, { slot }: Turn): string {
  const [, runner = ''] = basename(store.directory).match(/^runner-(.*)$/) ?? [];
  const builds = dirname(store.directory) === join(base, 'claims') ? 'builds' : '';
  return join(builds, runner, slotName(slot));
}

function age(milliseconds: number): string {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  const [hours, days] = [Math.floor(minutes / 60), Math.floor(minutes / 1440)];
  if (days > 0) return `${days}d${hours % 24}h`;
  return hours > 0 ? `${hours}h${minutes % 60}m` : `${minutes}m`;
}

/** Columns as wide as they must be, two blanks apart. */
function asTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}
