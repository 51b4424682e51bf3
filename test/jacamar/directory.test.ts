// A directory held by its descriptor: what is exchanged around it does not lead it astray.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Directory } from '../../src/jacamar/directory.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** Walks down to a directory of the test. */
function open(path: string): Directory {
  if (path === '/') return Directory.root();
  using above = open(dirname(path));
  return above.open(path.slice(path.lastIndexOf('/') + 1));
}

function scratch(context: TestContext): Directory {
  const directory = open(scratchDirectory(context));
  context.after(() => directory.close());
  return directory;
}

test('an entry is made with exactly the permissions asked for, whatever the umask', (context) => {
  const directory = scratch(context);
  const umask = process.umask(0o077);
  context.after(() => process.umask(umask));
  using made = directory.make('made', 0o750);
  assert.equal(statSync(join(directory.path, 'made')).mode & 0o777, 0o750);
  assert.equal(made.path, join(directory.path, 'made'));
});

test('an entry that is there already is opened and left as it is', (context) => {
  const directory = scratch(context);
  mkdirSync(join(directory.path, 'old'), { mode: 0o711 });
  using old = directory.make('old', 0o700);
  assert.equal(old.stats.mode & 0o777, 0o711);
});

test('a symbolic link is no entry to open or to make', (context) => {
  const directory = scratch(context);
  mkdirSync(join(directory.path, 'target'));
  symlinkSync('target', join(directory.path, 'link'));
  assert.throws(() => directory.open('link'), { code: 'ENOTDIR' });
  assert.throws(() => directory.make('link', 0o700), { code: 'ENOTDIR' });
});

test('neither is a file', (context) => {
  const directory = scratch(context);
  writeFileSync(join(directory.path, 'file'), '');
  assert.throws(() => directory.make('file', 0o700), { code: 'ENOTDIR' });
});

for (const name of ['', '.', '..', 'a/b', '/', 'a\0b']) {
  test(`${JSON.stringify(name)} is no name of an entry`, (context) => {
    const directory = scratch(context);
    assert.throws(() => directory.make(name, 0o700), TypeError);
    assert.throws(() => directory.open(Buffer.from(name)), TypeError);
  });
}

for (const name of ['-rf', '~', '$HOME', '*', 'ü', '…\n', 'n'.repeat(200)]) {
  test(`${JSON.stringify(name)} is a name like any other`, (context) => {
    const directory = scratch(context);
    directory.make(name, 0o700).close();
    assert.deepEqual(directory.names().map(String), [name]);
  });
}

test('a name that is no UTF-8 is taken as bytes', (context) => {
  const directory = scratch(context);
  const name = Buffer.from([0x61, 0xff]);
  mkdirSync(Buffer.concat([Buffer.from(`${directory.path}/`), name]));
  assert.deepEqual(directory.names(), [name]);
  directory.open(name).close();
});

test('it stays with its directory when another takes the path', (context) => {
  const directory = scratch(context);
  using held = directory.make('held', 0o700);
  renameSync(join(directory.path, 'held'), join(directory.path, 'moved'));
  symlinkSync('/', join(directory.path, 'held'));
  held.make('below', 0o700).close();
  writeFileSync(held.at('file'), 'here');
  assert.ok(existsSync(join(directory.path, 'moved/below')));
  assert.equal(readFileSync(join(directory.path, 'moved/file'), 'utf8'), 'here');
});

test('after it was closed it leads nowhere', (context) => {
  const closed = scratch(context).make('closed', 0o700);
  closed.close();
  closed.close();
  assert.throws(() => closed.at('entry'), /was closed/);
  assert.throws(() => closed.stats, /was closed/);
});
