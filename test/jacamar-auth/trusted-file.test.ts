// Which files may decide about rights. Real owners and modes: these tests need root.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  openTrustedFile,
  readTrustedFile,
  resolveTrusted,
  UntrustedFileError,
} from '../../src/jacamar-auth/trusted-file.ts';
import { scratchDirectory } from '../support/scratch.ts';

const NOBODY = 65534;

/** A good file in a directory of its own. */
function place(context: TestContext, mode = 0o600) {
  const directory = join(scratchDirectory(context), 'inner');
  mkdirSync(directory, { mode: 0o755 });
  const file = join(directory, 'file');
  writeFileSync(file, 'content');
  chmodSync(file, mode);
  return { directory, file };
}

const untrusted = (rule: RegExp) => (error: unknown) => error instanceof UntrustedFileError && rule.test(error.message);

function assertRefused(file: string, rule: RegExp): void {
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  assert.throws(() => readTrustedFile(file, 1000), untrusted(rule));
  assert.throws(() => closeSync(openTrustedFile(file)), untrusted(rule));
  assert.equal(open(), before, 'a descriptor stayed open');
}

describe('a trusted file', () => {
  for (const mode of [0o400, 0o600, 0o640, 0o644, 0o755]) {
    it(`of root with mode ${mode.toString(8)} is read`, (context) => {
      assert.equal(readTrustedFile(place(context, mode).file, 1000).toString(), 'content');
    });
  }

  for (const mode of [0o620, 0o602, 0o660, 0o666, 0o777, 0o1620, 0o1602, 0o4622]) {
    it(`with mode ${mode.toString(8)} is none: others can write to it`, (context) => {
      assertRefused(place(context, mode).file, /can be written by group or others/);
    });
  }

  it('of another account is none', (context) => {
    const { file } = place(context);
    chownSync(file, NOBODY, 0);
    assertRefused(file, /is owned by uid 65534/);
  });

  it('may be of another group that only reads it', (context) => {
    const { file } = place(context, 0o640);
    chownSync(file, 0, NOBODY);
    assert.equal(readTrustedFile(file, 1000).toString(), 'content');
  });

  it('is not reached through a symbolic link as its last part', (context) => {
    const { directory, file } = place(context);
    symlinkSync(file, join(directory, 'link'));
    symlinkSync('/nonexistent', join(directory, 'dangling'));
    assertRefused(join(directory, 'link'), /is a symbolic link/);
    assertRefused(join(directory, 'dangling'), /is a symbolic link/);
  });

  it('may be reached through linked directories, which count as what they lead to', (context) => {
    const { directory, file } = place(context);
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    assert.equal(readTrustedFile(join(link, 'file'), 1000).toString(), 'content');
    chmodSync(directory, 0o777);
    assertRefused(join(link, 'file'), /inner: can be written by group or others/);
    assertRefused(file, /inner: can be written by group or others/);
  });

  it('is no FIFO, and nobody waits for a writer', (context) => {
    const { directory } = place(context);
    execFileSync('mkfifo', ['-m', '600', join(directory, 'fifo')]);
    assertRefused(join(directory, 'fifo'), /is not a regular file/);
  });

  it('is no directory and no device', (context) => {
    const { directory } = place(context);
    assertRefused(directory, /is not a regular file/);
    assertRefused('/dev/null', /is not a regular file/);
    assertRefused('/', /is not a regular file/);
  });

  it('is there, and named by an absolute path', (context) => {
    const { directory, file } = place(context);
    assertRefused(join(directory, 'missing'), /cannot be opened \(ENOENT\)/);
    assertRefused(join(directory, 'no', 'such', 'file'), /directory cannot be reached \(ENOENT\)/);
    assertRefused(join(file, 'below'), /cannot be (?:reached|opened) \(ENOTDIR\)|is not a directory/);
    for (const path of ['', 'file', './file', '../file', '~/file']) assertRefused(path, /is not an absolute path/);
    assertRefused(`${file}\0x`, /./);
  });

  it('lies where nobody else can put another one in its place', (context) => {
    for (const mode of [0o775, 0o757, 0o777]) {
      const { directory, file } = place(context);
      chmodSync(directory, mode);
      assertRefused(file, /inner: can be written by group or others/);
    }
    const { directory, file } = place(context);
    chownSync(directory, NOBODY, 0);
    assertRefused(file, /inner: is owned by uid 65534/);
  });

  it('is judged by all its directories, not only by the nearest', (context) => {
    const { directory, file } = place(context);
    chmodSync(join(directory, '..'), 0o777);
    assertRefused(file, /can be written by group or others/);
  });

  it('may lie in a shared directory that is sticky, as /tmp is', (context) => {
    const { directory, file } = place(context);
    chmodSync(directory, 0o1777);
    assert.equal(readTrustedFile(file, 1000).toString(), 'content');
    writeFileSync(join(directory, 'foreign'), 'x');
    chownSync(join(directory, 'foreign'), NOBODY, NOBODY);
    assertRefused(join(directory, 'foreign'), /is owned by uid 65534/);
  });

  it('is read up to its limit, and not a byte more', (context) => {
    const { directory } = place(context);
    const file = join(directory, 'large');
    writeFileSync(file, Buffer.alloc(200_000, 'x'), { mode: 0o600 });
    assert.equal(readTrustedFile(file, 200_000).length, 200_000);
    assert.throws(() => readTrustedFile(file, 199_999), untrusted(/is larger than 199999 bytes/));
  });

  it('counts under each of its hard links by the directory of that link', (context) => {
    const { directory, file } = place(context);
    const open = join(directory, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    linkSync(file, join(open, 'file'));
    assertRefused(join(open, 'file'), /open: can be written by group or others/);
  });
});

describe('trusted directories', () => {
  it('are real ones, whatever links lead there; a file is none', (context) => {
    const { directory, file } = place(context);
    assert.equal(resolveTrusted(directory), realpathSync(directory));
    symlinkSync(directory, `${directory}-link`);
    assert.throws(() => resolveTrusted(file), untrusted(/is not a directory/));
  });

  it('are judged level by level, also above the innermost', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'open/closed/inner'), { recursive: true });
    resolveTrusted(join(root, 'open/closed/inner'));
    chmodSync(join(root, 'open'), 0o777);
    assert.throws(() => resolveTrusted(join(root, 'open/closed/inner')), untrusted(/\/open: can be written by/));
  });
});

describe('a link on the way to a trusted directory', () => {
  it('counts where nobody else could have put it', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'real/below'), { recursive: true });
    symlinkSync('real', join(root, 'one'));
    symlinkSync(join(root, 'one'), join(root, 'two'));
    assert.equal(resolveTrusted(join(root, 'two/below')), join(realpathSync(root), 'real/below'));
  });

  it('counts for nothing in a directory that others can write to, sticky or not', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'ours'));
    for (const mode of [0o777, 0o1777, 0o770]) {
      const shared = join(root, `shared-${mode}`);
      mkdirSync(shared);
      symlinkSync('../ours', join(shared, 'link'));
      symlinkSync(join(shared, 'link'), join(root, `through-${mode}`));
      chmodSync(shared, mode);
      for (const path of [join(shared, 'link'), join(root, `through-${mode}`)]) {
        assert.throws(() => resolveTrusted(path), /is a symbolic link in a directory that others can write to/);
      }
    }
  });

  it('that leads round in a circle leads nowhere', (context) => {
    const root = scratchDirectory(context);
    symlinkSync('b', join(root, 'a'));
    symlinkSync('a', join(root, 'b'));
    assert.throws(() => resolveTrusted(join(root, 'a')), /too many symbolic links/);
  });
});
