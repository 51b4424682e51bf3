// Opens a directory by its path, as a test may: nobody exchanges anything meanwhile.

import { basename, dirname } from 'node:path';
import { Directory } from '../../src/jacamar/directory.ts';

export function openDirectory(path: string): Directory {
  if (path === '/') return Directory.root();
  using above = openDirectory(dirname(path));
  return above.open(basename(path));
}
