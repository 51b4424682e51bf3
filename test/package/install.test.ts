// script/install puts owners, modes and capabilities as the guide says.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createAccount } from '../support/accounts.ts';

const root = join(import.meta.dirname, '../..');
const service = await createAccount();
const parent = await mkdtemp(join(tmpdir(), 'jt_install_'));
after(async () => {
  await rm(parent, { recursive: true });
  await service.remove();
});

const install = (name: string, ...args: string[]) => {
  const prefix = join(parent, name);
  const result = spawnSync(join(root, 'script/install'), ['--as-built', '--prefix', prefix, ...args], {
    encoding: 'utf8',
  });
  return { ...result, program: join(prefix, 'bin/jacamar-auth') };
};
const capabilitiesOf = (path: string) => execFileSync('/usr/sbin/getcap', [path], { encoding: 'utf8' });

test('--service-group gives jacamar-auth to that group, with the two capabilities, also over an older one', async () => {
  for (const _ of [1, 2]) {
    const { status, stderr, program } = install('capable', '--service-group', service.name);
    assert.equal(status, 0, stderr);
    const { uid, gid, mode } = await stat(program);
    assert.deepEqual([uid, gid, mode & 0o7777], [0, service.gid, 0o750]);
    assert.match(capabilitiesOf(program), /cap_setgid,cap_setuid=ep$/m);
  }
});

test('--without-capabilities gives it to the group and nothing else', async () => {
  const { status, stderr, program } = install('plain', '--service-group', service.name, '--without-capabilities');
  assert.equal(status, 0, stderr);
  const { uid, gid, mode } = await stat(program);
  assert.deepEqual([uid, gid, mode & 0o7777], [0, service.gid, 0o750]);
  assert.equal(capabilitiesOf(program), '');
});

test('a group that does not exist is an error before anything is installed', async () => {
  const { status, stderr, program } = install('unknown', '--service-group', 'jt_no_such_group');
  assert.equal(status, 2);
  assert.match(stderr, /there is no group jt_no_such_group/);
  await assert.rejects(stat(program));
});

test('where somebody else could exchange what gets capabilities nothing is installed', async () => {
  const theirs: [string, (path: string) => Promise<unknown>][] = [
    ['owned', (path) => chown(path, service.uid, service.gid)],
    ['open', (path) => chmod(path, 0o777)],
    ['grouped', (path) => chmod(path, 0o775)],
  ];
  for (const [name, open] of theirs) {
    await mkdir(join(parent, name, 'jacamar/bin'), { recursive: true });
    for (const place of [name, join(name, 'jacamar/bin')]) {
      await open(join(parent, place));
      const { status, stderr } = install(join(name, 'jacamar'), '--service-group', service.name);
      assert.equal(status, 2, stderr);
      assert.match(stderr, new RegExp(`${join(parent, place)} must be a directory of root`));
      assert.deepEqual(await readdir(join(parent, name, 'jacamar')), ['bin']);
      await chown(join(parent, place), 0, 0);
      await chmod(join(parent, place), 0o755);
    }
  }
});

test('an upgrade prepares every file before it exchanges the first, and no new program meets old parts', async () => {
  await mkdir(join(parent, 'upgraded'));
  const prefix = join(parent, 'upgraded/jacamar');
  install('upgraded/jacamar');
  const trace = join(parent, 'trace');
  const calls = ['-f', '-qq', '-e', 'trace=openat,/rename', '-o', trace];
  execFileSync('strace', [...calls, join(root, 'script/install'), '--as-built', '--prefix', prefix]);
  const lines = (await readFile(trace, 'utf8'))
    .split('\n')
    .filter((line) => line.includes('.new"') && !line.includes(' = -1 '));
  const kinds = lines.map((line) => (line.includes('rename') ? 'exchanged' : 'prepared'));
  assert.ok(kinds.indexOf('exchanged') > kinds.lastIndexOf('prepared') && kinds.includes('prepared'));
  const exchanged = lines.flatMap((line) => /rename.*\/(lib|libexec|bin)\/[^/"]*\.new"/.exec(line)?.[1] ?? []);
  assert.deepEqual(exchanged, ['lib', 'lib', 'lib', 'libexec', 'bin', 'bin', 'bin']);
});

test('an installation that cannot be finished leaves nothing beside the old one', async () => {
  const prefix = join(parent, 'unfinished');
  install('unfinished');
  // A directory where the last file belongs: it cannot be replaced.
  const place = join(prefix, 'bin/jacamar');
  await rm(place);
  await mkdir(place);
  assert.notEqual(install('unfinished').status, 0);
  const names = await readdir(prefix, { recursive: true });
  assert.deepEqual(
    names.filter((name) => name.endsWith('.new')),
    [],
  );
});
