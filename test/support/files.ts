// A directory with everything below it, as lstat sees it.

import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface FileView {
  readonly path: string;
  readonly stats: Stats;
}

/** Empty when the directory does not exist; without what is removed while it is looked at. */
export async function filesBelow(directory: string): Promise<FileView[]> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const paths = names.map((name) => join(directory, name)).toSorted();
  const views = await Promise.all(
    paths.map((path) =>
      lstat(path).then(
        (stats) => ({ path, stats }),
        () => undefined,
      ),
    ),
  );
  return views.filter((view) => view !== undefined);
}
