// A directory with everything below it, as lstat sees it.

import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface FileView {
  readonly path: string;
  readonly stats: Stats;
}

/** Empty when the directory does not exist. */
export async function filesBelow(directory: string): Promise<FileView[]> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const paths = names.map((name) => join(directory, name)).toSorted();
  return Promise.all(paths.map(async (path) => ({ path, stats: await lstat(path) })));
}
