import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { makeDirectories } from '../../src/contract/make-directories.ts';

describe('makeDirectories', () => {
  let place = '';
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'jacamar-directories-'));
  });
  afterEach(() => rmSync(place, { recursive: true }));

  it('makes every missing level with the mode asked for', () => {
    makeDirectories(join(place, 'a/b/c'), 0o700);
    for (const level of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(place, level)).mode & 0o777, 0o700);
  });

  it('leaves what is there alone, links to directories included', () => {
    symlinkSync('/usr', join(place, 'link'));
    makeDirectories(join(place, 'link'), 0o700);
    makeDirectories('/', 0o700);
  });

  it('fails on a file in the way', () => {
    writeFileSync(join(place, 'file'), '');
    assert.throws(() => makeDirectories(join(place, 'file/below'), 0o700), { code: 'EEXIST' });
  });

  it('comes to an end where a file system takes no directories', () => {
    assert.throws(() => makeDirectories('/proc/none/below', 0o700), { code: 'ENOENT' });
  });
});
