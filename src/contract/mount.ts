// Which mount an open file lies on: the kernel numbers mounts, proc_pid_fdinfo(5), and lists them by that number,
// proc_pid_mountinfo(5). Device numbers would not do: a subvolume of Btrfs has one that stands in no list.

import { readFileSync } from 'node:fs';

export interface Mount {
  /** `ext4`, `nfs4`, `lustre`, … */
  readonly type: string;
  /** What was mounted: a device, `server:/path`. */
  readonly source: string;
  /** Of this mount and of its file system. */
  readonly options: readonly string[];
}

/** The number of the mount of an open file; empty where the kernel does not tell. */
export function mountNumberOf(descriptor: number): string {
  const information = read(`/proc/self/fdinfo/${descriptor}`);
  return /^mnt_id:\s+([0-9]+)$/m.exec(information)?.[1] ?? '';
}

/** The mount of an open file; undefined for one that is not below our root, as in another mount namespace. */
export function mountOf(descriptor: number, mountinfo = read('/proc/self/mountinfo')): Mount | undefined {
  return parseMountinfo(mountinfo).get(mountNumberOf(descriptor));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** By their numbers. */
export function parseMountinfo(text: string): Map<string, Mount> {
  const mounts = new Map<string, Mount>();
  for (const line of text.split('\n')) {
    const [mount = '', fileSystem = ''] = line.split(' - ', 2);
    const [number = '', , , , , options] = mount.split(' ');
    const [type, source = '', more] = fileSystem.split(' ');
    if (options === undefined || type === undefined || more === undefined) continue;
    mounts.set(number, { type, source, options: [...options.split(','), ...more.split(',')] });
  }
  return mounts;
}
