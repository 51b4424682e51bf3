// mkdir -p that ends. Node's own goes round for ever where a file system answers ENOENT for a directory whose
// parent exists, as /proc does.

import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and whatever is missing above it.
 * @throws {NodeJS.ErrnoException} the error of the first mkdir(2) that failed
 */
export function makeDirectories(path: string, mode: number): void {
  if (isDirectory(path)) return;
  if (dirname(path) !== path) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isDirectory(path)) throw error;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
