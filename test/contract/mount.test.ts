// The mount of a path, found by the number of its device.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mountOf, parseMountinfo } from '../../src/contract/mount.ts';

describe('mountinfo', () => {
  it('is read with optional fields, without, and with blanks in names', () => {
    const mounts = parseMountinfo(
      [
        '22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw,errors=remount-ro',
        '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue',
        '40 22 0:52 / /home\\040directories rw shared:7 - nfs4 server:/home rw,vers=4.2',
        'nonsense',
        '',
      ].join('\n'),
    );
    assert.deepEqual([...mounts.keys()], ['8:2', '98:0', '0:52']);
    assert.deepEqual(mounts.get('0:52'), { type: 'nfs4', source: 'server:/home', options: ['rw', 'rw', 'vers=4.2'] });
    assert.equal(mounts.get('98:0')?.type, 'ext3');
  });
});

describe('the mount of a path', () => {
  it('is found on this system', () => {
    assert.equal(mountOf('/proc/self')?.type, 'proc');
  });

  it('is unknown where the kernel lists none with its device', () => {
    for (const text of ['', '1 1 0:0 / / rw - ext4 x rw']) assert.equal(mountOf('/proc', text), undefined);
  });
});
