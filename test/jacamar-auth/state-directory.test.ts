// Files that outlive one call: whole or not there, and out of other people's reach.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openLockFile, replaceFile, stateDirectory } from '../../src/jacamar-auth/state-directory.ts';
import { scratchDirectory } from '../support/scratch.ts';

const refused = { name: 'SystemFailure', code: 'ERR_STATE_DIRECTORY' };

describe('the state directory', () => {
  it('is made with all its parts, each for its owner alone, whatever the umask is', (context) => {
    const umask = process.umask(0);
    context.after(() => process.umask(umask));
    const root = join(scratchDirectory(context), 'a', 'b');
    assert.equal(stateDirectory(root, 'keys'), join(root, 'keys'));
    for (const path of [root, join(root, 'keys'), join(root, '..')]) assert.equal(statSync(path).mode & 0o7777, 0o700);
  });

  it('may exist already', (context) => {
    const root = scratchDirectory(context);
    stateDirectory(root, 'keys');
    assert.equal(stateDirectory(root, 'keys'), join(root, 'keys'));
  });

  it('is refused when somebody else could write to it or above it', (context) => {
    const root = scratchDirectory(context);
    const keys = stateDirectory(root, 'keys');
    chmodSync(keys, 0o770);
    assert.throws(() => stateDirectory(root, 'keys'), refused);
    chmodSync(keys, 0o700);
    chownSync(keys, 65534, 0);
    assert.throws(() => stateDirectory(root, 'keys'), refused);
    chownSync(keys, 0, 0);
    chmodSync(root, 0o777);
    assert.throws(() => stateDirectory(root, 'keys'), refused);
  });

  it('is refused when somebody else made it after it was looked for', (context) => {
    const root = join(scratchDirectory(context), 'root');
    mkdirSync(root);
    chownSync(root, 65534, 0);
    const module = join(import.meta.dirname, '../../src/jacamar-auth/state-directory.ts');
    const script = `import(${JSON.stringify(module)}).then((it) => it.stateDirectory(${JSON.stringify(root)}))`;
    // access(2) looks, and is made to find nothing.
    const look = ['-P', root, '-e', 'inject=access,faccessat,faccessat2:error=ENOENT'];
    const tracing = ['-f', '-qqq', '-o', '/dev/null', '-e', 'trace=access,faccessat,faccessat2', ...look];
    const { stderr } = spawnSync('strace', [...tracing, process.execPath, '-e', script], { encoding: 'utf8' });
    assert.match(stderr, new RegExp(`code: '${refused.code}'`));
  });

  it('is refused when something else stands in its place', (context) => {
    const root = scratchDirectory(context);
    writeFileSync(join(root, 'file'), '');
    mkdirSync(join(root, 'open'));
    chmodSync(join(root, 'open'), 0o777);
    symlinkSync('open', join(root, 'link'));
    for (const name of ['file', 'link']) assert.throws(() => stateDirectory(root, name), refused);
  });

  it('may be reached by a link, and is then judged by where that leads', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'elsewhere'), { mode: 0o700 });
    symlinkSync('elsewhere', join(root, 'link'));
    assert.equal(stateDirectory(root, 'link'), join(realpathSync(root), 'elsewhere'));
  });
});

describe('replacing a file', () => {
  it('leaves the new content, mode 0600, and no other file', (context) => {
    const root = scratchDirectory(context);
    const file = join(root, 'file');
    writeFileSync(file, 'old', { mode: 0o644 });
    replaceFile(file, 'new');
    assert.equal(readFileSync(file, 'utf8'), 'new');
    assert.equal(statSync(file).mode & 0o7777, 0o600);
    assert.deepEqual(readdirSync(root), ['file']);
  });

  it('replaces a link and leaves alone what it led to', (context) => {
    const root = scratchDirectory(context);
    writeFileSync(join(root, 'target'), 'untouched');
    symlinkSync('target', join(root, 'link'));
    replaceFile(join(root, 'link'), 'new');
    assert.ok(lstatSync(join(root, 'link')).isFile());
    assert.equal(readFileSync(join(root, 'target'), 'utf8'), 'untouched');
  });

  it('that fails leaves everything as it was', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'directory'));
    assert.throws(() => replaceFile(join(root, 'directory'), 'x'));
    assert.deepEqual(readdirSync(root), ['directory']);
  });
});

describe('a lock file', () => {
  it('is made for its owner alone and opened again by others of ours', (context) => {
    const file = join(scratchDirectory(context), 'lock');
    for (const descriptor of [openLockFile(file), openLockFile(file)]) closeSync(descriptor);
    assert.equal(statSync(file).mode & 0o7777, 0o600);
  });

  it('is a regular file, and no link to one', (context) => {
    const root = scratchDirectory(context);
    execFileSync('mkfifo', [join(root, 'fifo')]);
    symlinkSync('target', join(root, 'link'));
    mkdirSync(join(root, 'directory'));
    assert.throws(() => openLockFile(join(root, 'fifo')), { code: 'ERR_LOCK_FILE' });
    assert.throws(() => openLockFile(join(root, 'link')), { code: 'ELOOP' });
    assert.throws(() => openLockFile(join(root, 'directory')), { code: 'EISDIR' });
    assert.deepEqual(readdirSync(root).toSorted(), ['directory', 'fifo', 'link']);
  });
});
