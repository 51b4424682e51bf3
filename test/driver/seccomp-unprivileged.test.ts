// [auth.seccomp] where jacamar-auth is not root: as a service account with file capabilities, and without any (none).
// The kernel takes a filter from such a process only behind no_new_privs.

import assert from 'node:assert/strict';
import { chmod, copyFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { afterEach, before, describe, test } from 'node:test';
import { nativeFile } from '../native/built.ts';
import { processesOf } from '../support/accounts.ts';
import { ALLOWED_FOR_BASH } from '../support/allowed-calls.ts';
import { type Deployment, openWorld } from '../support/world.ts';

const { EACCES, EPERM } = constants.errno;
const NONE = '0'.repeat(16);
const STATUS = 'exec grep -E "^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):" /proc/self/status';

const DEPLOYMENTS: Record<string, Deployment> = {
  'a service account with file capabilities': { downscope: 'setuid', service: true, capable: true },
  'an account that runs jobs as itself': { downscope: 'none', service: true, ownAccount: true },
};

for (const [title, deployment] of Object.entries(DEPLOYMENTS)) {
  const world = await openWorld({ deployment });
  const { account } = world;
  const call = world.at('call');
  const job = async (seccomp: object) =>
    (await world.stages({ options: { general: { kill_timeout: '1s' }, auth: { seccomp } } })).configured();

  describe(`a filter of ${title}`, () => {
    before(async () => {
      await copyFile(nativeFile('test-call'), call);
      await chmod(call, 0o755);
      await chmod(world.directory, 0o711);
    });
    afterEach(async () => assert.deepEqual(await processesOf(account.uid), []));

    test('refuses its calls to everything that the job starts', async () => {
      const blocked = await job({ block_calls: ['getppid'], error_num_block_actions: true });
      const { stdout, stderr } = await blocked.run(
        `${call} getppid; setsid -w env -i ${call} getppid; ${call} getpriority`,
      );
      assert.deepEqual(stdout.trim().split('\n'), [`${EPERM}`, `${EPERM}`, '0'], stderr);
    });

    test('comes with no_new_privs, and leaves no capability', async () => {
      const { stdout } = await (await job({ tty_rules: true })).run(STATUS);
      assert.deepEqual(
        Object.fromEntries(
          stdout
            .trim()
            .split('\n')
            .map((line) => line.split(/:\s+/)),
        ),
        {
          CapInh: NONE,
          CapPrm: NONE,
          CapEff: NONE,
          CapAmb: NONE,
          NoNewPrivs: '1',
          Seccomp: '2',
        },
      );
    });

    test('is an error at config where no_new_privs is kept away from it', async () => {
      const staged = await world.stages({
        options: { auth: { seccomp: { tty_rules: true, disable_no_new_privs: true } } },
      });
      const { outcome, stdout } = await staged.config();
      assert.equal(outcome.kind, 'system-failure');
      assert.equal(stdout, '');
      assert.match(JSON.stringify((await world.log()).at(-1)), /disable_no_new_privs.*CAP_SYS_ADMIN/);
    });

    test('lets a whole job through that needs no more than an allow list', async () => {
      const seccomp = { block_all: true, allow_calls: ALLOWED_FOR_BASH, error_num_block_actions: EACCES };
      const played = await world.play({ git: true, script: `${call} getpriority`, options: { auth: { seccomp } } });
      assert.equal(played.verdict, 'success', played.jobLog);
      assert.match(played.jobLog, new RegExp(`^${EACCES}\\s*$`, 'm'));
    });

    test('keeps no stage from ending what is left, and no stop', async () => {
      const blocked = await job({ block_calls: ['getppid'], error_num_block_actions: true });
      const left = await blocked.run('setsid sleep 300 & disown');
      assert.match(left.stderr, /^Ended 1 process\(es\) that the script left running: \w+ \(\d+\)$/m);
      const live = blocked.start(
        '(setsid bash -c "trap : TERM; while :; do sleep 0.1; done" & ); echo ready; sleep 300',
      );
      await live.until('ready\n');
      live.stop();
      assert.deepEqual((await live.ended).outcome, { kind: 'system-failure', text: 'exit status 2' });
    });
  });
}
