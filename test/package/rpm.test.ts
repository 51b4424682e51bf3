// The packages for rpm, installed into a root of their own: what is where, whose it is, and that it works.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { AlternateRoot, buildPackages, type Flavour } from '../support/packages.ts';
import { openWorld } from '../support/world.ts';
import { contents } from './contents.ts';

const ROOT = join(import.meta.dirname, '../..');
const output = mkdtempSync(join(tmpdir(), 'jt_rpm_'));
const roots: AlternateRoot[] = [];
after(async () => {
  for (const root of roots) await root.remove();
  rmSync(output, { recursive: true });
});

const first = buildPackages('rpm', output, 1);
const second = buildPackages('rpm', output, 2);
const flavours: readonly Flavour[] = ['jacamar-ci', 'jacamar-ci-caps'];

function newRoot(group?: number): AlternateRoot {
  const root = new AlternateRoot(group);
  roots.push(root);
  return root;
}

const query = (file: string, ...args: string[]) =>
  execFileSync('rpm', ['-qp', ...args, file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

describe('the package', () => {
  for (const flavour of flavours) {
    test(`${flavour} has the paths, modes, owners and capabilities that it should have, and no others`, () => {
      const format = '[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES} %{FILECAPS}\n]';
      const entries = query(first[flavour], '--qf', format).trimEnd().split('\n');
      assert.deepEqual(
        entries.map((entry) => entry.replace(/ (?:\(none\))?$/, '')).toSorted(),
        contents(flavour).toSorted(),
      );
    });
  }

  test('jacamar-ci shows the paths of the tutorial of the original', () => {
    const paths = query(first['jacamar-ci'], '--list').split('\n');
    for (const path of ['', '/bin', '/bin/jacamar-auth', '/bin/jacamar']) {
      assert.ok(paths.includes(`/opt/jacamar${path}`), path);
    }
  });

  test('needs the libraries of its programs, and offers none', () => {
    const needs = query(first['jacamar-ci'], '--requires');
    for (const library of ['libseccomp.so.2', 'libstdc++.so.6', 'libc.so.6']) assert.ok(needs.includes(library));
    assert.doesNotMatch(query(first['jacamar-ci'], '--provides'), /\.node/);
  });

  // Can fail where rpm is 4.19 or later; before, it asked for none.
  test('asks for no account or group of another package', () => {
    assert.doesNotMatch(query(first['jacamar-ci-caps'], '--requires'), /^(?:user|group)\(/m);
  });

  test('has no scriptlet that touches a file', () => {
    assert.equal(query(first['jacamar-ci'], '--scripts'), '');
    assert.match(
      query(first['jacamar-ci-caps'], '--scripts'),
      /^preinstall scriptlet \(using <lua>\):\nif [^;]*\nend\n$/,
    );
  });

  test('passes rpmlint', () => {
    const args = ['-c', 'packaging/rpmlint.toml', 'packaging/jacamar-ci.spec', ...Object.values(first)];
    const { stdout } = spawnSync('rpmlint', args, { cwd: ROOT, encoding: 'utf8' });
    assert.match(stdout, / 0 errors, 0 warnings/, stdout);
  });
});

describe('installed', () => {
  const root = newRoot(64_999);
  const plain = newRoot();
  root.install(first['jacamar-ci-caps']);
  plain.install(first['jacamar-ci']);

  test('all files are as the package has them, and a changed one is noticed', () => {
    for (const each of [root, plain]) assert.deepEqual(each.rpm('-Va', '--nodeps'), { status: 0, output: '' });
    const sample = join(plain.prefix, 'share/jacamar/samples/shell.toml');
    writeFileSync(sample, '# mine\n', { flag: 'a' });
    assert.match(plain.rpm('-Va', '--nodeps').output, /^S\.5.*shell\.toml$/m);
  });

  test('jacamar-auth is for root, or for the group, with two capabilities', () => {
    const seen = (program: string) => {
      const { uid, gid, mode } = statSync(program);
      const [, capabilities = ''] = execFileSync('/usr/sbin/getcap', [program]).toString().trim().split(' ');
      return [uid, gid, mode & 0o7777, capabilities];
    };
    assert.deepEqual(seen(plain.program('jacamar-auth')), [0, 0, 0o700, '']);
    assert.deepEqual(seen(root.program('jacamar-auth')), [0, 64_999, 0o750, 'cap_setgid,cap_setuid=ep']);
  });

  test('no program needs more of the C library than Enterprise Linux 8 has', () => {
    const dynamic = globSync('{libexec,lib}/*', { cwd: root.prefix });
    assert.equal(dynamic.length, 4);
    for (const file of dynamic) {
      const symbols = execFileSync('objdump', ['-T', join(root.prefix, file)], { encoding: 'utf8', maxBuffer: 1e9 });
      const minors = [...symbols.matchAll(/\bGLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
      assert.ok(minors.length > 0 && Math.max(...minors) <= 28, `${file}: GLIBC_2.${Math.max(...minors)}`);
    }
    for (const program of globSync('bin/*', { cwd: root.prefix })) {
      const dynamics = execFileSync('readelf', ['-d', join(root.prefix, program)], { encoding: 'utf8' });
      assert.doesNotMatch(dynamics, /NEEDED/);
    }
  });

  test('the flavours exclude each other', () => {
    const { output: told } = plain.rpm('--install', first['jacamar-ci-caps']);
    assert.match(told, /jacamar-ci(?:-caps)? conflicts with/);
    assert.equal(plain.rpm('--query', 'jacamar-ci-caps').status, 1);
  });

  test('jacamar-ci-caps refuses a system without the account gitlab-runner', () => {
    const bare = newRoot();
    const { status, output: told } = bare.rpm('--install', '--nodeps', first['jacamar-ci-caps']);
    assert.notEqual(status, 0);
    assert.match(told, /there is no account gitlab-runner/);
    assert.equal(existsSync(bare.prefix), false);
  });

  test('it works in another place than /opt/jacamar', () => {
    const moved = newRoot();
    moved.install(first['jacamar-ci'], '--prefix', '/srv/tools/jacamar');
    const program = join(moved.path, 'srv/tools/jacamar/bin/jacamar-auth');
    assert.match(execFileSync(program, ['--version'], { encoding: 'utf8' }), /^Version: /);
    assert.equal(moved.rpm('-V', '--nodeps', 'jacamar-ci').status, 0);
  });

  test('removal leaves nothing', () => {
    assert.deepEqual(root.rpm('--erase', 'jacamar-ci-caps'), { status: 0, output: '' });
    const left = globSync('{opt/jacamar,etc/logrotate.d/*,usr/lib/tmpfiles.d/*}', { cwd: root.path });
    assert.deepEqual(left, []);
  });
});

test('a service account runs jobs with jacamar-ci-caps', async () => {
  const world = await openWorld({
    deployment: { downscope: 'setuid', service: true, capable: true },
    installation: async (service) => {
      const root = newRoot(service?.gid);
      root.install(first['jacamar-ci-caps']);
      return root;
    },
  });
  const { verdict, jobLog } = await world.play({ script: 'id -un' });
  assert.equal(verdict, 'success', jobLog);
  assert.match(jobLog, new RegExp(`^${world.account.name}$`, 'm'));
});

test('an upgrade leaves a running stage whole, and the next stage of the job is the new version', async () => {
  const root = newRoot();
  root.install(first['jacamar-ci']);
  const world = await openWorld({ installation: async () => root });
  const runtime = join(root.prefix, 'libexec/jacamar-runtime');
  const wait = (file: string) => `until [ -e ~/${file} ]; do sleep 0.05; done`;
  const job = await world.start({
    script: ['echo at work', wait('go')],
    afterScript: ['echo afterwards', wait('end')],
  });
  await job.until('at work');
  const old = readlinkSync(`/proc/${job.calls.get('build_script')}/exe`);
  assert.equal(old, runtime);
  const { status, output: told } = root.rpm('--upgrade', '--nodeps', second['jacamar-ci']);
  assert.equal(status, 0, told);
  assert.equal(readlinkSync(`/proc/${job.calls.get('build_script')}/exe`), `${runtime} (deleted)`);
  await world.writeHome('go', '');
  await job.until('afterwards');
  const later = await eventually('the next stage runs', () => job.calls.get('after_script'));
  assert.equal(readlinkSync(`/proc/${later}/exe`), runtime);
  await world.writeHome('end', '');
  const { verdict, jobLog } = await job.ended;
  assert.equal(verdict, 'success', jobLog);
  assert.equal(root.rpm('-V', '--nodeps', 'jacamar-ci').status, 0);
});
