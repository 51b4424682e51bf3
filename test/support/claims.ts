// The claims of an account on its build directories, as files.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestAccount } from './accounts.ts';

/** What stands in one claim. */
export interface ClaimFile {
  /** `shared/000`, or `runner-…/000`. */
  readonly slot: string;
  readonly path: string;
  readonly content: { readonly jobId: number; readonly until: number; readonly owner: { readonly process: object } };
}

/** Those that were not given back; the last of each number counts. */
export async function claimsOf(account: TestAccount): Promise<ClaimFile[]> {
  const root = join(account.home, '.jacamar-ci/claims');
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.json'));
  const turns = new Map<string, number>();
  for (const name of names) {
    const [slot, turn] = split(name);
    turns.set(slot, Math.max(turn, turns.get(slot) ?? 0));
  }
  const files = [...turns].map(async ([slot, turn]) => {
    const path = join(root, `${slot}.${turn}.json`);
    return { slot, path, content: JSON.parse(await readFile(path, 'utf8')) };
  });
  const all = await Promise.all(files);
  return all.filter(({ content }) => content.jobId !== undefined).toSorted((a, b) => (a.slot < b.slot ? -1 : 1));
}

/** Writes over a claim, which stays its owner's. */
export async function changeClaim({ path, content }: ClaimFile, change: object): Promise<void> {
  await writeFile(path, JSON.stringify({ ...content, ...change }));
}

function split(name: string): [string, number] {
  const [, slot = '', turn = ''] = /^(.*)\.([0-9]+)\.json$/.exec(name) ?? [];
  return [slot, Number(turn)];
}
