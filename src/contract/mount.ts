// Which file system a path lies on, and how it is mounted: mountinfo, proc_pid_mountinfo(5).

import { readFileSync, statSync } from 'node:fs';

export interface Mount {
  /** `ext4`, `nfs4`, `lustre`, … */
  readonly type: string;
  /** What was mounted: a device, `server:/path`. */
  readonly source: string;
  /** Of this mount and of its file system. */
  readonly options: readonly string[];
}

/** The mount that `path` lies on; undefined where the kernel counts devices otherwise, as for subvolumes of Btrfs. */
export function mountOf(path: string, mountinfo = readMountinfo()): Mount | undefined {
  const device = deviceName(statSync(path, { bigint: true }).dev);
  return parseMountinfo(mountinfo).get(device);
}

function readMountinfo(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return '';
  }
}

/** By device, as `major:minor`. All mounts of one device are the same file system. */
export function parseMountinfo(text: string): Map<string, Mount> {
  const mounts = new Map<string, Mount>();
  for (const line of text.split('\n')) {
    const [mount = '', fileSystem = ''] = line.split(' - ', 2);
    const [, , device, , , options] = mount.split(' ');
    const [type, source = '', more] = fileSystem.split(' ');
    if (device === undefined || options === undefined || type === undefined || more === undefined) continue;
    mounts.set(device, { type, source, options: [...options.split(','), ...more.split(',')] });
  }
  return mounts;
}

/** makedev(3) backwards, for the numbers that glibc gives. */
function deviceName(device: bigint): string {
  const major = ((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn);
  const minor = ((device >> 12n) & 0xffffff00n) | (device & 0xffn);
  return `${major}:${minor}`;
}
