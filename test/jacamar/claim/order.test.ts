// Locks that other hosts do not see are known by the options of the mount.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMountinfo } from '../../../src/contract/mount.ts';
import { localOnly } from '../../../src/jacamar/claim/order.ts';

const mount = (type: string, options: string) =>
  parseMountinfo(`36 25 0:44 / /home rw,relatime shared:1 - ${type} server:/home ${options}\n`).get('36');

describe('a lock', () => {
  for (const [type, options] of [
    ['nfs', 'rw,vers=3,hard,nolock,proto=tcp,local_lock=all,addr=10.0.0.1'],
    ['nfs', 'rw,vers=3,local_lock=flock'],
    ['nfs4', 'rw,vers=4.2,local_lock=flock,addr=10.0.0.1'],
    ['nfs4', 'rw,vers=4.2,local_lock=all'],
    ['lustre', 'rw,checksum,localflock,nouser_xattr'],
  ] as const) {
    it(`stays on one host with ${type} ${options}`, () => {
      assert.equal(localOnly(mount(type, options))?.code, 'ERR_LOCK_LOCAL');
    });
  }

  for (const [type, options] of [
    ['nfs', 'rw,vers=3,local_lock=none'],
    ['nfs4', 'rw,vers=4.2,local_lock=posix'],
    ['lustre', 'rw,checksum,flock'],
    ['ext4', 'rw,errors=remount-ro'],
  ] as const) {
    it(`is seen wherever the file system is with ${type} ${options}`, () => {
      assert.equal(localOnly(mount(type, options)), undefined);
    });
  }

  it('of an unknown mount is not spoken of', () => {
    assert.equal(localOnly(undefined), undefined);
  });
});
