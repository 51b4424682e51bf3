// The packages for dpkg: the same content as those for rpm, and what their scripts add. Installed with dpkg where the
// system is one of dpkg's; elsewhere only their content is looked at.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { onMachine } from '../support/machine.ts';
import { buildPackages, type Flavour } from '../support/packages.ts';
import { contents } from './contents.ts';

const output = mkdtempSync(join(tmpdir(), 'jt_deb_'));
after(() => rmSync(output, { recursive: true }));
const first = buildPackages('deb', output, 1);
const second = buildPackages('deb', output, 2);

const onDebian = existsSync('/var/lib/dpkg/status');
const field = (file: string, name: string) =>
  execFileSync('dpkg-deb', ['--field', file, name], { encoding: 'utf8' }).trim();

/** `tar`'s lines in the form of contents.ts. */
function listed(file: string): string[] {
  const lines = execFileSync('dpkg-deb', ['--contents', file], { encoding: 'utf8' }).trimEnd().split('\n');
  return lines.map((line) => {
    const [mode = '', owner = '', , , , path = ''] = line.split(/\s+/);
    return `${mode} ${owner.replace('/', ' ')} ${path.replace(/^\./, '').replace(/(.)\/$/, '$1')}`;
  });
}

/** Before its script ran, jacamar-auth is root's alone in both flavours; directories of the system are listed too. */
function packed(flavour: Flavour): string[] {
  const system = ['/', '/etc', '/etc/logrotate.d', '/opt', '/usr', '/usr/lib', '/usr/lib/tmpfiles.d'];
  const others = contents(flavour).filter((entry) => !entry.includes('/opt/jacamar/bin/jacamar-auth'));
  const jacamarAuth = '-rwx------ root root /opt/jacamar/bin/jacamar-auth';
  return [...system.map((path) => `drwxr-xr-x root root ${path}`), ...others, jacamarAuth];
}

describe('the package for dpkg', () => {
  for (const flavour of ['jacamar-ci', 'jacamar-ci-caps'] as const) {
    it(`${flavour} has the paths, modes and owners that it should have, and no others`, () => {
      assert.deepEqual(listed(first[flavour]).toSorted(), packed(flavour).toSorted());
    });

    it(`${flavour} excludes the other flavour`, () => {
      const other = flavour === 'jacamar-ci' ? 'jacamar-ci-caps' : 'jacamar-ci';
      assert.equal(field(first[flavour], 'Conflicts'), other);
    });
  }
});

if (onDebian) {
  describe('installed with dpkg', () => {
    it('jacamar-ci-caps gives the group two capabilities, after an upgrade too, and nobody else anything', async () => {
      const look = 'stat -c "%U %G %a" $auth; getcap $auth';
      const { status, stdout, stderr } = await onMachine(
        `auth=/opt/jacamar/bin/jacamar-auth
        useradd --system --user-group gitlab-runner
        useradd alice
        dpkg --install ${first['jacamar-ci-caps']} >/dev/null
        ${look}
        dpkg --install ${second['jacamar-ci-caps']} >/dev/null
        ${look}
        dpkg --verify jacamar-ci-caps
        stat -c "%U %G %a %n" /run/jacamar /var/log/jacamar
        runuser -u gitlab-runner -- $auth --version | grep -c ^Version:
        runuser -u alice -- $auth --version && echo alice too
        dpkg --purge jacamar-ci-caps >/dev/null
        ls -d /opt/jacamar /etc/logrotate.d/jacamar* 2>/dev/null || true`,
        [output],
      );
      const capable = 'root gitlab-runner 750\n/opt/jacamar/bin/jacamar-auth cap_setgid,cap_setuid=ep\n';
      const state = 'gitlab-runner gitlab-runner 700 /run/jacamar\ngitlab-runner gitlab-runner 750 /var/log/jacamar\n';
      assert.equal(stdout, `${capable}${capable}${state}1\n`, stderr);
      assert.equal(status, 0, stderr);
    });

    it("is installed whole also where the administrator's own file for tmpfiles.d is wrong, and says so", async () => {
      const { status, stderr } = await onMachine(
        `mkdir -p /etc/tmpfiles.d
        echo 'd /run/jacamar 0700 jt-no-such-account jt-no-such-account -' >/etc/tmpfiles.d/jacamar-ci.conf
        dpkg --install ${first['jacamar-ci']} >/dev/null`,
        [output],
      );
      assert.equal(status, 0, stderr);
      assert.match(stderr, /jt-no-such-account/);
    });

    it('jacamar-ci-caps refuses a system without the account gitlab-runner', async () => {
      const { stdout, stderr } = await onMachine(
        `dpkg --install ${first['jacamar-ci-caps']} >/dev/null || ls -d /opt/jacamar 2>/dev/null || echo nothing`,
        [output],
      );
      assert.match(stderr, /there is no account gitlab-runner/);
      assert.equal(stdout, 'nothing\n');
    });
  });
}
