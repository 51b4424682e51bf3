// The mount of an open file, found by its number.

import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { type Mount, mountNumberOf, mountOf, parseMountinfo } from '../../src/contract/mount.ts';

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
    assert.deepEqual([...mounts.keys()], ['22', '36', '40']);
    assert.deepEqual(mounts.get('40'), { type: 'nfs4', source: 'server:/home', options: ['rw', 'rw', 'vers=4.2'] });
    assert.equal(mounts.get('36')?.type, 'ext3');
  });
});

describe('the mount of an open file', () => {
  function opened(context: TestContext, path: string): number {
    const descriptor = openSync(path, 'r');
    context.after(() => closeSync(descriptor));
    return descriptor;
  }

  it('is found on this system', (t) => assert.equal(mountOf(opened(t, '/proc/self'))?.type, 'proc'));

  it('is one of several of a file system that is mounted with other options elsewhere', (t) => {
    const descriptor = opened(t, '/proc/self');
    const number = mountNumberOf(descriptor);
    const lines = [`${number}1 1 0:5 / /b rw - nfs4 s:/ rw`, `${number} 1 0:5 / /a ro - nfs4 s:/ rw,local_lock=all`];
    const expected: Mount = { type: 'nfs4', source: 's:/', options: ['ro', 'rw', 'local_lock=all'] };
    for (const text of [lines, lines.toReversed()]) assert.deepEqual(mountOf(descriptor, text.join('\n')), expected);
  });

  it('is unknown where the kernel lists none of its number', (t) => {
    for (const text of ['', '0 1 0:0 / / rw - ext4 x rw']) {
      assert.equal(mountOf(opened(t, '/proc'), text), undefined);
    }
  });
});
