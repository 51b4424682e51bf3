// The one directory that root gives to a user: made or checked, never taken from anybody. Needs root.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createRootDirectory } from '../../src/jacamar-auth/root-directory.ts';
import { scratchDirectory } from '../support/scratch.ts';

const ALICE = { name: 'alice', uid: 61_001, gid: 61_002 };

function parent(context: TestContext): string {
  const path = scratchDirectory(context);
  chmodSync(path, 0o755);
  return path;
}

const create = (path: string, permissions = 0o700) => createRootDirectory({ path, permissions }, ALICE);

const ownership = (path: string) => {
  const { uid, gid, mode } = statSync(path);
  return [uid, gid, mode & 0o7777];
};

describe('a directory made by root', () => {
  it('belongs to the account, mode 0700, whatever the umask is', (context) => {
    for (const mask of [0, 0o077, 0o777]) {
      const umask = process.umask(mask);
      context.after(() => process.umask(umask));
      const path = join(parent(context), 'alice');
      create(path);
      process.umask(umask);
      assert.deepEqual(ownership(path), [61_001, 61_002, 0o700]);
    }
  });

  it('is open to reading by its group where the site wants that', (context) => {
    const path = join(parent(context), 'alice');
    create(path, 0o750);
    assert.deepEqual(ownership(path), [61_001, 61_002, 0o750]);
  });

  it("is left to the account below a directory of the account's own", (context) => {
    const home = parent(context);
    chownSync(home, ALICE.uid, ALICE.gid);
    create(join(home, 'alice'));
    assert.deepEqual(readdirSync(home), []);
  });

  it("may exist if it is the account's, and then stays as it is", (context) => {
    const path = join(parent(context), 'alice');
    mkdirSync(path);
    chownSync(path, ALICE.uid, 7);
    chmodSync(path, 0o750);
    create(path);
    assert.deepEqual(ownership(path), [61_001, 7, 0o750]);
  });

  it('leaves nothing in the way of the next call when it cannot be given to the account', (context) => {
    const path = join(parent(context), 'alice');
    const nobody = { ...ALICE, gid: 2 ** 32 };
    assert.throws(() => createRootDirectory({ path, permissions: 0o700 }, nobody), { code: 'ERR_CONFIG_ROOT_DIR' });
    create(path);
    assert.deepEqual(ownership(path), [61_001, 61_002, 0o700]);
    assert.deepEqual(readdirSync(join(path, '..')), ['alice']);
  });

  it('is the one that another call has made meanwhile', (context) => {
    const path = join(parent(context), 'alice');
    // What `lstat` does not see yet: the moment before the rename.
    const late = { path, permissions: 0o700 };
    const account = {
      ...ALICE,
      get gid() {
        if (!readdirSync(join(path, '..')).includes('alice')) {
          create(path);
          writeFileSync(join(path, 'of-its-job'), '');
        }
        return ALICE.gid;
      },
    };
    createRootDirectory(late, account);
    assert.deepEqual(readdirSync(join(path, '..')), ['alice']);
    assert.deepEqual(readdirSync(path), ['of-its-job']);
  });

  it("is not given away when it exists and is somebody else's", (context) => {
    for (const uid of [0, 61_009]) {
      const path = join(parent(context), 'alice');
      mkdirSync(path);
      chownSync(path, uid, 0);
      assert.throws(() => create(path), { name: 'SystemFailure', code: 'ERR_DIRECTORY_OWNER' });
      assert.equal(statSync(path).uid, uid);
    }
  });

  it('is not made through links or in place of files, and what they lead to is left alone', (context) => {
    const above = parent(context);
    const target = join(above, 'target');
    mkdirSync(target, { mode: 0o755 });
    writeFileSync(join(above, 'file'), '');
    symlinkSync(target, join(above, 'link'));
    symlinkSync(join(above, 'nothing'), join(above, 'dangling'));
    for (const name of ['file', 'link', 'dangling']) {
      assert.throws(() => create(join(above, name)), { code: 'ERR_CONFIG_ROOT_DIR' }, name);
    }
    assert.deepEqual(ownership(target), [0, 0, 0o755]);
    assert.deepEqual(readdirSync(above).toSorted(), ['dangling', 'file', 'link', 'target']);
  });

  it('is not made below a directory that others can write to or own, or that is a link', (context) => {
    const above = parent(context);
    for (const [name, uid, mode] of [
      ['writable', 0, 0o777],
      ['group', 0, 0o775],
      ['foreign', 61_009, 0o755],
    ] as const) {
      const between = join(above, name);
      mkdirSync(between);
      chownSync(between, uid, 0);
      chmodSync(between, mode);
      assert.throws(() => create(join(between, 'alice')), { code: 'ERR_CONFIG_ROOT_DIR' }, name);
      assert.deepEqual(readdirSync(between), []);
    }
    symlinkSync('/tmp', join(above, 'link'));
    assert.throws(() => create(join(above, 'link', 'jt_alice')), { code: 'ERR_CONFIG_ROOT_DIR' });
    assert.throws(() => create(join(above, 'missing', 'alice')), { code: 'ERR_CONFIG_ROOT_DIR' });
  });

  it('is one level, never more', (context) => {
    const above = parent(context);
    assert.throws(() => create(join(above, 'a', 'b', 'alice')), { code: 'ERR_CONFIG_ROOT_DIR' });
    assert.deepEqual(readdirSync(above), []);
  });
});
