// Removal of a tree: what is somebody else's, or on another file system, is left and named. Needs root, for mounts and
// immutable files.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Patience, removeEntry } from '../../src/jacamar/removal.ts';
import { openDirectory } from '../support/open-directory.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** A directory with `tree` in it, and how to remove that. */
function planted(context: TestContext) {
  // Hooks are called in their order: what stands in the way of the directory's removal goes first.
  const undo: (() => void)[] = [];
  context.after(() => undo.toReversed().forEach((act) => void act()));
  const parent = scratchDirectory(context);
  const tree = join(parent, 'tree');
  mkdirSync(tree);
  const remove = async (patience: Partial<Patience> = {}) => {
    using directory = openDirectory(parent);
    return await removeEntry(directory, 'tree', { deadline: performance.now() + 60_000, ...patience });
  };
  const mount = (...args: readonly string[]) => {
    execFileSync('mount', args);
    undo.push(() => execFileSync('umount', ['--lazy', args.at(-1) ?? '']));
  };
  return { parent, tree, remove, mount, undo };
}

/** Paths of the obstacles, below the scratch directory. */
const inTheWay = (obstacles: readonly string[]) =>
  obstacles.map((text) => text.replace(/^\/tmp\/[^/]+\//, '').split(': ')[0]).toSorted();

test('everything goes: files, directories, links but not what they lead to, names that are no text', async (context) => {
  const { parent, tree, remove } = planted(context);
  mkdirSync(join(parent, 'other'));
  writeFileSync(join(parent, 'other/kept'), '');
  mkdirSync(join(tree, 'a/b/c'), { recursive: true });
  writeFileSync(join(tree, 'a/b/file'), '');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x66, 0xff, 0x0a])]), '');
  symlinkSync('../other', join(tree, 'link'));
  symlinkSync('../../other/kept', join(tree, 'a/link'));
  execFileSync('mkfifo', [join(tree, 'fifo')]);
  const removal = await remove();
  assert.deepEqual({ ...removal }, { removed: 9, obstacles: [], obstacleCount: 0, isOutOfTime: false, isWhole: true });
  assert.deepEqual(readdirSync(parent), ['other']);
  assert.ok(existsSync(join(parent, 'other/kept')));
});

test('a link or a file in place of the tree goes, and what the link leads to stays', async (context) => {
  const { parent } = planted(context);
  writeFileSync(join(parent, 'tree/kept'), '');
  symlinkSync('tree', join(parent, 'link'));
  using directory = openDirectory(parent);
  writeFileSync(join(parent, 'file'), '');
  for (const name of ['link', 'file']) {
    const removal = await removeEntry(directory, name, { deadline: performance.now() + 60_000 });
    assert.equal(removal.isWhole, true);
  }
  assert.deepEqual(readdirSync(parent), ['tree']);
  assert.ok(existsSync(join(parent, 'tree/kept')));
});

test('a tree that is not there is removed already', async (context) => {
  const { remove } = planted(context);
  await remove();
  assert.equal((await remove()).isWhole, true);
});

test('what is mounted inside is left and named, also when it is a part of the same file system', async (context) => {
  const { parent, tree, remove, mount } = planted(context);
  for (const name of ['tree/memory', 'tree/same', 'outside']) {
    mkdirSync(join(parent, name));
    writeFileSync(join(parent, name, 'file'), '');
  }
  writeFileSync(join(tree, 'mounted-file'), '');
  writeFileSync(join(tree, 'plain'), '');
  mount('-t', 'tmpfs', 'jt_removal', join(tree, 'memory'));
  writeFileSync(join(tree, 'memory/kept'), '');
  mount('--bind', join(parent, 'outside'), join(tree, 'same'));
  mount('--bind', join(parent, 'outside/file'), join(tree, 'mounted-file'));
  const removal = await remove();
  assert.deepEqual(inTheWay(removal.obstacles), ['tree/memory', 'tree/mounted-file', 'tree/same']);
  assert.ok(existsSync(join(tree, 'memory/kept')));
  assert.ok(existsSync(join(parent, 'outside/file')));
  assert.ok(!existsSync(join(tree, 'plain')));
});

test('immutable files and directories are left and named, and the rest goes', async (context) => {
  const { tree, remove, undo } = planted(context);
  mkdirSync(join(tree, 'directory'));
  for (const name of ['file', 'directory/inside', 'plain']) writeFileSync(join(tree, name), '');
  for (const name of ['file', 'directory']) execFileSync('chattr', ['+i', join(tree, name)]);
  undo.push(() => execFileSync('chattr', ['-R', '-i', tree]));
  const removal = await remove();
  assert.deepEqual(inTheWay(removal.obstacles), ['tree/directory/inside', 'tree/file']);
  assert.deepEqual(readdirSync(tree).toSorted(), ['directory', 'file']);
});

test("a directory of somebody else's is left and named", async (context) => {
  const { tree, remove } = planted(context);
  mkdirSync(join(tree, 'foreign'));
  writeFileSync(join(tree, 'foreign/file'), '');
  chownSync(join(tree, 'foreign'), 61_999, 61_999);
  assert.deepEqual(inTheWay((await remove()).obstacles), ['tree/foreign']);
  assert.ok(existsSync(join(tree, 'foreign/file')));
});

test('no more than a few obstacles are named, and all counted', async (context) => {
  const { tree, remove } = planted(context);
  for (let number = 0; number < 30; number++) {
    mkdirSync(join(tree, `d${number}`));
    chownSync(join(tree, `d${number}`), 61_999, 61_999);
  }
  const { obstacles, obstacleCount } = await remove();
  assert.deepEqual([obstacles.length, obstacleCount], [5, 30]);
});

test('at the end of its time it stops where it is, says so, and goes on when it is called again', async (context) => {
  const { tree, remove } = planted(context);
  execFileSync(
    'mkdir',
    Array.from({ length: 3000 }, (_, number) => join(tree, `d${number}`)),
  );
  const late = await remove({ deadline: performance.now() });
  assert.deepEqual([late.removed, late.isOutOfTime, late.isWhole], [0, true, false]);
  const stop = new AbortController();
  const stopped = await remove({ stop: stop.signal, onProgress: () => stop.abort() });
  assert.ok(stopped.isOutOfTime && stopped.removed > 0 && stopped.removed < 3000);
  assert.equal((await remove()).isWhole, true);
});

/** The same in a process of its own that lacks what `limits` takes away. */
function removeWithin(parent: string, limits: readonly string[], options: readonly string[] = []) {
  const code = `
    import { openDirectory } from ${JSON.stringify(join(import.meta.dirname, '../support/open-directory.ts'))};
    import { removeEntry } from ${JSON.stringify(join(import.meta.dirname, '../../src/jacamar/removal.ts'))};
    const removal = await removeEntry(openDirectory(${JSON.stringify(parent)}), 'tree', { deadline: Infinity });
    process.exit(removal.isWhole ? 0 : 3);`;
  return spawnSync('prlimit', [...limits, process.execPath, ...options, '--input-type=module', '-e', code]).status;
}

test('a tree deeper than descriptors and paths can go is removed', (context) => {
  const { parent, tree } = planted(context);
  execFileSync('perl', ['-e', `chdir("${tree}") or die; for (1..3000) { mkdir("d") && chdir("d") or die }`]);
  assert.equal(removeWithin(parent, ['--nofile=512:512']), 0);
  assert.deepEqual(readdirSync(parent), []);
});

test('a directory of very many files takes no more memory than one of few', (context) => {
  const { parent, tree, mount } = planted(context);
  mount('-t', 'tmpfs', 'jt_many', tree);
  mkdirSync(join(tree, 'tree'));
  const make = `chdir("${tree}/tree") or die; for (1..100000) { open(my $f, ">", ("n" x 200) . $_) or die }`;
  execFileSync('perl', ['-e', make]);
  // A list of these names alone does not fit.
  assert.equal(removeWithin(tree, [], ['--max-old-space-size=16']), 0);
  assert.deepEqual([readdirSync(tree), readdirSync(parent)], [[], ['tree']]);
});
