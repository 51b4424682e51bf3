// The deployment with file capabilities in place of root: a service account whose runtime holds the right to
// change ids. There the kernel clears nothing by itself when ids change (security findings 5, 6 and 8).

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createAccount, processesOf, type TestAccount } from '../support/accounts.ts';
import { addonFile, examplePlan, finished } from './built.ts';
import { LAUNCH_ORDER, traceLaunch } from './launch-order.ts';

describe('a service account with file capabilities', () => {
  let directory: string;
  let service: TestAccount;
  let target: TestAccount;
  let node: string;

  before(async () => {
    [service, target] = [await createAccount(), await createAccount({ groups: 1 })];
    directory = mkdtempSync(path.join(tmpdir(), 'jt_caps_'));
    node = path.join(directory, 'node');
    copyFileSync(process.execPath, node);
    copyFileSync(addonFile('credentials'), path.join(directory, 'credentials.node'));
    for (const [file, mode] of [
      [directory, 0o755],
      [node, 0o750],
      [path.join(directory, 'credentials.node'), 0o644],
    ] as const) {
      chownSync(file, 0, service.gid);
      chmodSync(file, mode);
    }
    execFileSync('/usr/sbin/setcap', ['cap_setuid,cap_setgid=ep', node]);
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await service.remove();
    await target.remove();
  });

  /** Runs `code` in the capable Node as the service account; `c` is the addon, `plan` a launch as the target. */
  async function asService(code: string): Promise<string> {
    const plan = { ...examplePlan, credentials: { uid: target.uid, gid: target.gid, groups: [target.gid] } };
    const prelude = `
      const m = { exports: {} };
      process.dlopen(m, ${JSON.stringify(path.join(directory, 'credentials.node'))});
      const c = m.exports, fs = require('fs'), plan = ${JSON.stringify(plan)};
      const sh = (script, change) => {
        const pid = c.launch({ ...plan, argv: ['sh', '-c', script], ...change });
        while (c.wait(pid) === undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      };`;
    const options = { uid: service.uid, gid: service.gid, cwd: '/', env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } };
    const { stdout, stderr } = await finished(node, ['-e', prelude + code], options);
    assert.equal(stderr, '');
    return stdout;
  }

  const noCapabilities = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((set) => `${set}:\t${'0'.repeat(16)}\n`).join('');
  const showCapabilities = "exec grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status";

  test('holds the two capabilities itself, as the start check sees', async () => {
    const sets = JSON.parse(await asService('console.log(JSON.stringify(c.capabilities()))'));
    assert.equal(sets.permitted, '00000000000000c0');
    assert.equal(sets.effective, '00000000000000c0');
  });

  test('launches another account, whose program has its ids and groups and no capability', async () => {
    const output = await asService(`sh("id -u; id -g"); sh(${JSON.stringify(showCapabilities)});`);
    assert.equal(output, `${target.uid}\n${target.gid}\n${noCapabilities}`);
  });

  test('the launched program cannot come back to root, nor to the service account', async () => {
    const back = (uid: number) => `setpriv --reuid ${uid} true 2>/dev/null && echo back`;
    assert.equal(await asService(`sh(${JSON.stringify(`${back(0)}; ${back(service.uid)}; echo tried`)})`), 'tried\n');
  });

  test('the launched program cannot execute the capable file', async () => {
    assert.equal(await asService(`sh('${node} --version 2>/dev/null; echo $?')`), '126\n');
  });

  test('a program launched without other credentials has no capability either', async () => {
    const output = await asService(`sh(${JSON.stringify(showCapabilities)}, { credentials: undefined });`);
    assert.equal(output, noCapabilities);
  });

  test('a death signal cannot reach the launched program: kill(2) needs CAP_KILL for that', async () => {
    const launch =
      "c.launch({ ...plan, file: '/bin/sleep', argv: ['sleep', '600'], stdio: [n, n, n], deathSignal: 9 })";
    await asService(`const n = fs.openSync('/dev/null', 'r+'); ${launch}; process.kill(process.pid, 'SIGKILL');`);
    assert.equal((await processesOf(target.uid)).length, 1);
  });

  test('the child makes the same system calls in the same order as below root', async () => {
    const plan = { ...examplePlan, file: '/bin/true', argv: ['true'] };
    const ids = { uid: target.uid, gid: target.gid, groups: [target.gid] };
    const code = `const m = { exports: {} }; process.dlopen(m, ${JSON.stringify(path.join(directory, 'credentials.node'))});
      if (m.exports.capabilities().permitted !== '00000000000000c0') throw new Error('no capabilities under strace');
      m.exports.launch(${JSON.stringify({ ...plan, credentials: ids })})`;
    const trace = await traceLaunch(node, code, ['-u', service.name]);
    assert.deepEqual(trace, { before: LAUNCH_ORDER, after: [] });
  });

  test('a uid of root is refused here too', async () => {
    const code = `try { sh('id', { credentials: { uid: 0, gid: 1, groups: [] } }) } catch (e) { console.log(e.code, e.step) }`;
    assert.equal(await asService(code), 'EPERM check the plan\n');
  });

  test('hardening keeps /proc of the process closed to its own account', async () => {
    const look = "console.log(require('child_process').spawnSync('cat', ['/proc/' + process.pid + '/environ']).status)";
    assert.equal(await asService(`c.harden(); ${look}`), '1\n');
  });
});
