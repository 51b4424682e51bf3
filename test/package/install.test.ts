// script/install puts owners, modes and capabilities as the guide says.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
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
