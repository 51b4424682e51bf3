// The installed jacamar-admin plays a job against the installed jacamar-auth, as an administrator does first of all.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createAccount } from '../support/accounts.ts';
import { install } from '../support/installation.ts';
import { onMachine } from '../support/machine.ts';

const directory = await mkdtemp(join(tmpdir(), 'jt_trial_'));
const installation = await install();
const account = await createAccount();
after(async () => {
  await account.remove();
  await installation.remove();
  await rm(directory, { recursive: true });
});

// The tutorial's file, but for the place of its log.
const configuration = join(directory, 'custom.toml');
await writeFile(
  configuration,
  `[general]
  executor = "shell"
  data_dir = "$HOME"
  limit_build_dir = true

[auth]
  downscope = "setuid"

[auth.logging]
  location = "${join(directory, 'logs')}"
  level = "debug"
`,
  { mode: 0o600 },
);

function trial(user: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const program = installation.program('jacamar-admin');
  return new Promise((resolve) => {
    execFile(program, ['trial', '--configuration', configuration, '--user', user, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout + stderr });
    });
  });
}

test("the tutorial's job runs as the account, and the log says who was authorized", async () => {
  const { code, output } = await trial(account.name, '--script', 'id; exit 0');
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`uid=${account.uid}\\(${account.name}\\) gid=${account.gid}`));
  assert.match(output, /Using Custom executor with driver Jacamar CI /);
  const log = await readFile(join(directory, 'logs'), 'utf8');
  assert.match(log, new RegExp(`local account \\(${account.name}\\) authorized for CI job execution`));
});

test('a failing script is told as such, with its exit code', async () => {
  const { code, output } = await trial(account.name, '--script', 'exit 7');
  assert.equal(code, 1, output);
  assert.match(output, /ERROR: Job failed: exit status 7/);
});

test('a login without account is refused, the reason shown with --unobfuscated alone', async () => {
  const plain = await trial('jt_nobody_here');
  assert.equal(plain.code, 1);
  assert.match(plain.output, /This job is not authorized to run here\. \(reference [0-9a-f]{8}\)/);
  assert.doesNotMatch(plain.output, /there is no local account/);
  const { output } = await trial('jt_nobody_here', '--unobfuscated');
  assert.match(output, /ERR_ACCOUNT_UNKNOWN: there is no local account "jt_nobody_here"/);
});

test('a full /tmp is told as that, and not as a fault of ours', async () => {
  const program = installation.program('jacamar-admin');
  const { status, stderr } = await onMachine(
    `mount -o remount,size=8k /tmp
    head -c 8192 /dev/zero >/tmp/fill
    ${program} trial --configuration ${configuration} --user ${account.name} </dev/null`,
    [join(program, '../..'), directory],
  );
  assert.equal(status, 2, stderr);
  assert.match(stderr, /^jacamar-admin: ENOSPC/m);
});
