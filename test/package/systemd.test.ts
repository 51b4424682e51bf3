// What the packages bring for systemd and logrotate: each file is one that the tool takes, and does what it says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { onMachine } from '../support/machine.ts';

const PACKAGING = join(import.meta.dirname, '../../packaging');

/** systemd.exec(5), NoNewPrivileges: what sets it for a service that is not root. */
const TAKE_CAPABILITIES =
  /^(DynamicUser|LockPersonality|MemoryDenyWriteExecute|PrivateDevices|ProtectClock|ProtectHostname|ProtectKernelLogs|ProtectKernelModules|ProtectKernelTunables|RestrictAddressFamilies|RestrictNamespaces|RestrictRealtime|RestrictSUIDSGID|SystemCallArchitectures|SystemCallFilter|SystemCallLog)=/m;

/** As `gitlab-runner install` writes it, in short. */
const UNIT = `[Unit]
Description=GitLab Runner
[Service]
ExecStart=/usr/bin/gitlab-runner run --user gitlab-runner
Restart=always
[Install]
WantedBy=multi-user.target`;

const withAccount = 'useradd --system --user-group gitlab-runner';

describe('the drop-in for the runner', () => {
  for (const name of ['runner-of-root', 'runner-of-service-account']) {
    it(`${name}.conf is one that systemd takes`, async () => {
      const { status, stdout, stderr } = await onMachine(
        `${withAccount}
        install -m 0755 /bin/true /usr/bin/gitlab-runner
        mkdir -p /etc/systemd/system/gitlab-runner.service.d
        echo '${UNIT}' >/etc/systemd/system/gitlab-runner.service
        cp ${PACKAGING}/systemd/${name}.conf /etc/systemd/system/gitlab-runner.service.d/jacamar.conf
        systemd-analyze verify --man=no gitlab-runner.service 2>&1 | grep -i gitlab-runner || true`,
        [PACKAGING],
      );
      assert.equal(status, 0, stderr);
      assert.equal(stdout, '');
    });

    it(`${name}.conf takes nothing from jacamar-auth`, () => {
      const text = readFileSync(join(PACKAGING, `systemd/${name}.conf`), 'utf8');
      assert.match(text, /^NoNewPrivileges=no$/m);
      assert.doesNotMatch(text, TAKE_CAPABILITIES);
    });
  }
});

describe('the directories of state', () => {
  for (const [name, expected] of [
    ['tmpfiles.d/jacamar-ci.conf', '/run/jacamar root root 700\n'],
    [
      'tmpfiles.d/jacamar-ci-caps.conf',
      '/run/jacamar gitlab-runner gitlab-runner 700\n/var/log/jacamar gitlab-runner gitlab-runner 750\n',
    ],
    ['systemd/tmpfiles-for-sudo.conf', '/run/jacamar gitlab-runner gitlab-runner 700\n'],
  ] as const) {
    it(`are made by ${name}`, async () => {
      const { status, stdout, stderr } = await onMachine(
        `${withAccount}
        systemd-tmpfiles --create ${PACKAGING}/${name}
        for path in /run/jacamar /var/log/jacamar; do [ ! -e $path ] || stat -c '%n %U %G %a' $path; done`,
        [PACKAGING],
      );
      assert.equal(status, 0, stderr);
      assert.equal(stdout, expected);
    });
  }
});

describe('the log', () => {
  for (const [name, log] of [
    ['jacamar-ci', '/var/log/jacamar.log'],
    ['jacamar-ci', '/var/log/jacamar/jacamar.log'],
    ['jacamar-ci-caps', '/var/log/jacamar/jacamar.log'],
  ] as const) {
    it(`${log} is rotated by ${name}, and keeps its mode and owner`, async () => {
      const owner = name === 'jacamar-ci' ? 'root' : 'gitlab-runner';
      const { status, stdout, stderr } = await onMachine(
        `${withAccount}
        owner=${owner}
        install -d -o $owner -g $owner -m 0750 /var/log/jacamar
        install -m 0600 -o $owner /dev/null ${log}
        echo '{}' >${log}
        install -m 0644 ${PACKAGING}/logrotate.d/${name} /etc/logrotate.d/
        logrotate --force /etc/logrotate.d/${name}
        stat -c '%n %U %a' ${log}*`,
        [PACKAGING],
      );
      assert.deepEqual([status, stderr], [0, '']);
      assert.equal(stdout, `${log}.1 ${owner} 600\n`);
    });
  }
});

it('a log whose file is not there is no error, also where a group may write to /var/log', async () => {
  const { status, stderr } = await onMachine(
    `${withAccount}
    install -m 0644 ${PACKAGING}/logrotate.d/* /etc/logrotate.d/
    install -d /var/log/jacamar
    logrotate --force /etc/logrotate.d/jacamar-ci && logrotate --force /etc/logrotate.d/jacamar-ci-caps
    chgrp adm /var/log && chmod 0775 /var/log
    logrotate --force /etc/logrotate.d/jacamar-ci`,
    [PACKAGING],
  );
  assert.deepEqual([status, stderr], [0, '']);
});
