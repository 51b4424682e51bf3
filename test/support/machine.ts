// A machine for one script: this one as it is, with a layer above it that takes what the script writes and is gone with
// it. Accounts, packages and files under /etc can be made there as an administrator would, and nobody else sees them.
// Processes are its own too. Needs root, and overlayfs.

import { spawn } from 'node:child_process';

export interface MachineResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Below /mnt of a mount namespace of our own. User ids are far from those of the accounts that other tests make. */
const SET_UP = `set -e
mount -t tmpfs -o mode=0755 none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 none run
mount -t tmpfs -o mode=1777 none tmp
for directory in $SHOW; do mkdir -p ".$directory" && mount --bind "$directory" ".$directory"; done
sed -i 's/^UID_MIN.*/UID_MIN 700000/; s/^UID_MAX.*/UID_MAX 700999/; s/^GID_MIN.*/GID_MIN 700000/; s/^GID_MAX.*/GID_MAX 700999/' etc/login.defs
exec chroot . bash -euo pipefail -c "cd /root
$SCRIPT"`;

/**
 * Runs a script of bash as root of such a machine, in /root of it.
 * @param show directories of this machine that are otherwise hidden there (/tmp, /run)
 */
export function onMachine(script: string, show: readonly string[] = []): Promise<MachineResult> {
  const args = ['--mount', '--pid', '--fork', '--kill-child', 'bash', '-c', SET_UP];
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };
  const child = spawn('unshare', args, {
    env: { ...env, SHOW: show.join(' '), SCRIPT: script, HOME: '/root' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result = { status: null as number | null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (result.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (result.stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (status) => resolve({ ...result, status }));
  });
}
