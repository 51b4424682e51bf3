// [auth.seccomp] around real jobs: refused calls, what still works, names that nobody knows, no_new_privs. Which calls
// the filters themselves let through is shown call by call in test/native/seccomp.test.ts.

import assert from 'node:assert/strict';
import { chmod, copyFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { driverStages } from '../../src/jacamar-admin/runner-settings.ts';
import { nativeFile } from '../native/built.ts';
import { ALLOWED_FOR_BASH } from '../support/allowed-calls.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;
const { EPERM, ENOSYS, ENOTTY, EACCES } = constants.errno;

/** Makes one call in a job and prints its errno. */
let call: string;
before(async () => {
  call = join(account.home, 'test-call');
  await copyFile(nativeFile('test-call'), call);
  await chmod(call, 0o755);
});

const job = async (seccomp: object, auth: object = {}) =>
  (await world.stages({ options: { auth: { ...auth, seccomp } } })).configured();

/** What commands print in a job that has to go well. */
async function printed(seccomp: object, commands: string, auth: object = {}): Promise<string> {
  const { outcome, stdout, stderr } = await (await job(seccomp, auth)).run(commands);
  assert.equal(outcome.kind, 'success', `${stdout}\n${stderr}`);
  return stdout.trim();
}

const status = 'exec grep -E "^(NoNewPrivs|Seccomp|CapPrm|CapEff):" /proc/self/status';

describe('a call that is blocked', () => {
  test('fails with EPERM, or with the number of the site, and the job goes on', async () => {
    const seccomp = { block_calls: ['getppid'], error_num_block_actions: true };
    assert.equal(await printed(seccomp, `${call} getppid; echo on`), `${EPERM}\non`);
    const numbered = { block_calls: ['getppid'], error_num_block_actions: ENOSYS };
    assert.equal(await printed(numbered, `${call} getppid`), `${ENOSYS}`);
  });

  test('kills the process that makes it, where the site wants no error', async () => {
    const blocked = await job({ block_calls: ['getpriority'] });
    const { stdout } = await blocked.run(`${call} getpriority || echo "status $?"`);
    assert.match(stdout, /status 159/); // 128 + SIGSYS
    const { outcome } = await blocked.run(`${call} getpriority`);
    assert.deepEqual(outcome, { kind: 'build-failure', exitCode: 159, text: 'exit status 159' });
  });

  test('is refused to everything that the job starts, in the background and in sessions of its own', async () => {
    const seccomp = { block_calls: ['getpriority'], error_num_block_actions: true };
    const commands = `setsid -w ${call} getpriority; (${call} getpriority & wait); env -i ${call} getpriority`;
    assert.equal(await printed(seccomp, commands), `${EPERM}\n${EPERM}\n${EPERM}`);
  });

  test('is allowed where allow_calls names it as well', async () => {
    const seccomp = { block_calls: ['getpriority', 'ptrace'], allow_calls: ['getpriority'] };
    assert.equal(await printed(seccomp, `${call} getpriority`), '0');
  });

  test('cannot be made through io_uring instead', async () => {
    const seccomp = { block_calls: ['connect'], error_num_block_actions: true };
    assert.equal(await printed(seccomp, `${call} io_uring_setup`), `${ENOSYS}`);
  });

  test('is none with disabled = true', async () => {
    const seccomp = { disabled: true, block_calls: ['getpriority'], limit_setuid: true };
    assert.equal(await printed(seccomp, `${call} getpriority; ${status}`), ['0', ...lines(0, 0)].join('\n'));
  });
});

test('tty_rules refuse TIOCSTI and TIOCLINUX, and no other ioctl', async () => {
  const commands = ['0x5412', '0x541c', '0x5401', '0x100005412'].map((code) => `${call} ioctl 0 ${code} 0`).join('\n');
  const rules = { tty_rules: true, error_num_block_actions: EACCES };
  assert.equal(await printed(rules, commands), [EACCES, EACCES, ENOTTY, EACCES].join('\n'));
});

test('limit_setuid refuses ids that are not the account’s, in a user namespace too', async () => {
  const { uid, gid } = account;
  const rules = { limit_setuid: true, error_num_block_actions: EACCES };
  const commands = [`setuid ${uid}`, 'setuid 0', `setuid ${uid + 1}`, `setgid ${gid}`, `setresgid -1 -1 ${gid + 1}`];
  const script = commands.map((each) => `${call} ${each}`).join('\n');
  assert.equal(await printed(rules, script), [0, EACCES, EACCES, 0, EACCES].join('\n'));
  const inNamespace = `unshare --user --map-root-user ${call} setuid 0 || echo no namespace`;
  const free = await printed({}, inNamespace); // a kernel may keep user namespaces from everybody but root
  assert.equal(await printed(rules, inNamespace), free === '0' ? `${EACCES}` : free);
});

describe('block_all', () => {
  test('runs a whole job with what jacamar, bash and git need, and refuses the rest', async () => {
    const seccomp = { block_all: true, allow_calls: ALLOWED_FOR_BASH, error_num_block_actions: EACCES };
    const script = ['cat hello.txt 2>/dev/null || ls', `${call} getpriority`, 'seq 1 1000 | sort -rn | head -n 1'];
    const played = await world.play({ git: true, script, options: { auth: { seccomp } } });
    assert.equal(played.verdict, 'success', played.jobLog);
    assert.match(played.jobLog, new RegExp(`^${EACCES}\\s*$`, 'm'));
    assert.match(played.jobLog, /^1000\s*$/m);
  });

  test('that kills jacamar itself is a system failure whose log says why', async () => {
    const few = ['execve', 'write', 'exit_group'];
    const stages = await world.stages({ options: { auth: { seccomp: { block_all: true, allow_calls: few } } } });
    const { outcome } = await stages.config();
    assert.equal(outcome.kind, 'system-failure');
    assert.match(JSON.stringify(await stages.log()), /signal 31 \(it made a system call that auth\.seccomp refuses/);
  });
});

describe('a setting that cannot be', () => {
  const faults: readonly [title: string, seccomp: object, auth: object, told: RegExp][] = [
    [
      'an unknown name',
      { block_calls: ['ptrce'] },
      {},
      /auth\.seccomp\.block_calls \(.*\.toml\): \\"ptrce\\" is no system call; did you mean ptrace\?/,
    ],
    ['an unknown name to allow', { tty_rules: true, allow_calls: ['iotcl'] }, {}, /allow_calls.*did you mean ioctl\?/],
    ['a blocked exec', { block_calls: ['execve'] }, {}, /blocks execve/],
    ['block_all alone', { block_all: true }, {}, /blocks execve, write, exit_group/],
    ['a plugin', { validation_plugin: '/opt/plugin.so' }, {}, /validation_plugin.*not supported/],
  ];
  for (const [title, seccomp, auth, told] of faults) {
    test(`is a system failure at config that says what to mend: ${title}`, async () => {
      const stages = await world.stages({ driverOptions: ['-u'], options: { auth: { ...auth, seccomp } } });
      const { outcome, stdout, stderr } = await stages.config();
      assert.equal(outcome.kind, 'system-failure');
      assert.equal(stdout, '');
      assert.match(JSON.stringify(stderr), told);
      assert.deepEqual(await world.recordOf(stages.facts.id), []);
    });
  }
});

/** Lines of /proc/PID/status. */
function lines(noNewPrivs: 0 | 1, seccomp: 0 | 2): string[] {
  const none = '0'.repeat(16);
  return [`CapPrm:\t${none}`, `CapEff:\t${none}`, `NoNewPrivs:\t${noNewPrivs}`, `Seccomp:\t${seccomp}`];
}

describe('no_new_privs', () => {
  const cases: readonly [title: string, seccomp: object, auth: object, noNewPrivs: 0 | 1, filter: 0 | 2][] = [
    ['is not set without a filter', {}, {}, 0, 0],
    ['is set on demand without a filter', {}, { no_new_privs: true }, 1, 0],
    ['comes with a filter', { tty_rules: true }, {}, 1, 2],
    [
      'does not come with a filter where that is switched off',
      { tty_rules: true, disable_no_new_privs: true },
      {},
      0,
      2,
    ],
    [
      'comes all the same where auth.no_new_privs is set',
      { tty_rules: true, disable_no_new_privs: true },
      { no_new_privs: true },
      1,
      2,
    ],
  ];
  for (const [title, seccomp, auth, noNewPrivs, filter] of cases) {
    test(title, async () => {
      assert.equal(await printed(seccomp, status, auth), lines(noNewPrivs, filter).join('\n'));
    });
  }

  test('of the runner itself is told in the log at config, and jobs run', async () => {
    const configuration = await world.configure();
    const executable = world.at('without-new-privileges');
    const program = world.installation.program('jacamar-auth');
    await writeFile(executable, `#!/bin/sh\nexec setpriv --no-new-privs ${program} "$@"\n`, { mode: 0o700 });
    const stages = driverStages({ executable, configuration });
    const staged = await (await world.stages({ configuration, settings: { stages } })).configured();
    const { stdout } = await staged.run(status);
    assert.match(stdout, /NoNewPrivs:\t1/);
    const told = (await world.log()).filter(({ msg }) => msg.includes('started with no_new_privs'));
    assert.deepEqual(
      told.map(({ level, stage }) => [level, stage]),
      [['WARN', 'config_exec']],
    );
  });
});

test('log_allowed_actions changes nothing for the job', async () => {
  const seccomp = { log_allowed_actions: true, block_calls: ['getppid'], error_num_block_actions: true };
  assert.equal(await printed(seccomp, `${call} getppid; ${call} getpriority`), `${EPERM}\n0`);
});

test('a filter does not bind the RunAs script', async () => {
  const script = world.at('runas');
  await writeFile(script, `#!/bin/sh\ngrep -q '^Seccomp:.*2' /proc/self/status && exit 1\necho '{}'\n`, {
    mode: 0o700,
  });
  const output = await printed({ tty_rules: true }, status, { runas: { validation_script: script } });
  assert.match(output, /Seccomp:\t2/);
});
