// What must hold in every deployment: one suite, played in each of them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import type { OutputStream } from '../../src/jacamar-admin/driver-call.ts';
import { endProcessesOf, processesOf } from './accounts.ts';
import { eventually } from './eventually.ts';
import { filesBelow } from './files.ts';
import { allProcesses, asleep, descriptorsOf, type ProcessView, treeOf } from './processes.ts';
import type { LiveCall, StagedJob } from './staged-job.ts';
import { type Deployment, openWorld, type World } from './world.ts';

export interface Mode {
  readonly title: string;
  readonly deployment: Deployment;
  /** What the site has to set up besides. */
  readonly furnish?: (world: World) => Promise<void>;
  /** Commands between the program that the runner calls and the login shell, for `ps`. */
  readonly between: (world: World, args: string) => readonly string[];
}

/** Gives the runner's account the right that the guide describes, with more settings of sudo if wanted. */
export async function allowSudo(world: World, ...defaults: string[]): Promise<void> {
  const { service, account, directory } = world;
  const file = join('/etc/sudoers.d', directory.split('/').at(-1) ?? '');
  world.onClose(() => rm(file, { force: true }));
  const rule = `${service?.name} ALL=(${account.name}) NOPASSWD: ${world.installation.program('jacamar')} --no-auth --piped *`;
  const lines = [...defaults.map((text) => `Defaults:${service?.name} ${text}`), rule];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o440, flag: 'wx' });
  execFileSync('/usr/sbin/visudo', ['--check', '--quiet', '--file', file]);
}

/** Plays the suite in one deployment. */
export async function behaves(mode: Mode): Promise<void> {
  const { deployment } = mode;
  const accounts = [{ groups: 2 }];
  const world = await openWorld({ deployment, accounts });
  await mode.furnish?.(world);
  const suite = new Suite(mode, world);
  suite.watchProcesses();
  suite.ordinaryJobs();
  suite.credentialsAndSurroundings();
  suite.output();
  suite.stops();
  if (deployment.byHand !== true) suite.authorization();
  if (deployment.byHand !== true) suite.deaths();
}

/** Processes that leave session and group, lose their parents, and ignore what can be ignored. */
const HIDING = [
  'deaf="trap : TERM HUP INT QUIT; while :; do sleep 0.1; done"',
  'setsid sleep 301 &',
  '(setsid bash -c "(sleep 303 & ) ; exec sleep 304" > /dev/null 2>&1 < /dev/null & )',
  '(setsid bash -c "$deaf" & )',
  'sleep 306 & kill -STOP $!',
  'until [ "$(pgrep -u "$(id -u)" -c sleep)" -ge 4 ]; do sleep 0.02; done',
].join('\n');

/** Impatient, so that what ignores SIGTERM is killed soon. */
const options = { general: { kill_timeout: '1s' } };

class Suite {
  readonly #mode: Mode;
  readonly #world: World;

  constructor(mode: Mode, world: World) {
    this.#mode = mode;
    this.#world = world;
  }

  #test(title: string, act: () => Promise<void>): void {
    test(`${this.#mode.title}: ${title}`, act);
  }

  async #job(): Promise<StagedJob> {
    return (await this.#world.stages({ options })).configured();
  }

  async #running(commands: string): Promise<{ job: StagedJob; call: LiveCall }> {
    const job = await this.#job();
    const call = job.start(`${commands}\necho ready\nsleep 300`);
    await call.until('ready\n');
    return { job, call };
  }

  /** Processes of the job's account that are not the service's own. */
  async #living(): Promise<number[]> {
    return processesOf(this.#world.account.uid);
  }

  async #nothingLives(): Promise<void> {
    await eventually('nothing of the job lives', async () => (await this.#living()).length === 0);
  }

  /** The jacamar that runs the job. */
  async #jacamar(call: LiveCall): Promise<ProcessView> {
    const program = `${this.#world.installation.program('jacamar')} `;
    const found = (await treeOf(await call.pid())).find(({ command }) => command.startsWith(program));
    assert.ok(found);
    return found;
  }

  watchProcesses(): void {
    afterEach(async () => {
      const left = await this.#living();
      await endProcessesOf(this.#world.account.uid);
      assert.deepEqual(left, []);
    });
  }

  ordinaryJobs(): void {
    const { account } = this.#world;
    this.#test('a job runs as its account from config to cleanup, and succeeds', async () => {
      const played = await this.#world.play({ git: true, script: ['id -un', 'cat README.md'], afterScript: ['id -u'] });
      assert.equal(played.verdict, 'success', played.jobLog);
      for (const line of [
        `Running as ${account.name} UID: ${account.uid} GID: ${account.gid}`,
        account.name,
        'hello',
      ]) {
        assert.ok(played.jobLog.split('\n').includes(line), `${line}:\n${played.jobLog}`);
      }
      assert.ok(played.jobLog.split('\n').includes(String(account.uid)));
      const said = played.stages.filter(({ stderr }) => stderr !== '').map(({ name, stderr }) => `${name}: ${stderr}`);
      assert.deepEqual(said, []);
    });

    this.#test('ps shows the programs that it should', async () => {
      const { job, call } = await this.#running('');
      const tree = await treeOf(await call.pid());
      const script = join(
        account.home,
        '.jacamar-ci/scripts/TrialRunn/000/demo/hello',
        `${job.facts.id}/build_script.bash`,
      );
      const handedOver = this.#mode.deployment.byHand === true ? /^\S+ --no-auth run (\S+) / : undefined;
      const args = handedOver?.exec(tree[0]?.command ?? '')?.[1] ?? 'env-script';
      const expected = [
        ...this.#mode.between(this.#world, `run ${args} build_script`),
        '/usr/bin/bash --login',
        `bash ${script}`,
      ];
      assert.deepEqual(
        tree.slice(1, 1 + expected.length).map(({ command }) => command),
        expected,
      );
      call.stop();
      await call.ended;
    });

    this.#test('the exit status of the script reaches the runner', async () => {
      const job = await this.#job();
      for (const code of [1, 7, 255]) {
        const { outcome, stderr } = await job.run(`exit ${code}`);
        assert.deepEqual(outcome, { kind: 'build-failure', exitCode: code, text: `exit status ${code}` });
        assert.equal(stderr, '');
      }
      const killed = await job.run('kill -KILL $$; sleep 60');
      assert.equal(killed.outcome.kind === 'build-failure' && killed.outcome.exitCode, 137);
    });

    this.#test('a daemon that a script leaves is ended and named', async () => {
      const { outcome, stdout, stderr } = await (await this.#job()).run('setsid sleep 300 & echo "daemon $!"; disown');
      assert.equal(outcome.kind, 'success', stderr);
      const [, pid] = /^daemon (\d+)$/m.exec(stdout) ?? [];
      assert.match(stderr, new RegExp(`^Ended 1 process\\(es\\) that the script left running: \\w+ \\(${pid}\\)\\n$`));
    });

    this.#test('cleanup removes scripts and claim, and works twice and without config', async () => {
      const bare = await (await this.#world.stages({ options })).cleanup();
      assert.equal(bare.outcome.kind, 'success', bare.stderr);
      const job = await this.#job();
      await job.run('true');
      for (const _ of [1, 2]) {
        const { outcome, stdout, stderr } = await job.cleanup();
        assert.equal(outcome.kind, 'success', stderr);
        assert.equal(stdout + stderr, '');
      }
      const left = (await filesBelow(join(account.home, '.jacamar-ci'))).map(({ path }) => path);
      assert.deepEqual(
        left.filter((path) => path.includes(String(job.facts.id))),
        [],
      );
    });
  }

  credentialsAndSurroundings(): void {
    const { account } = this.#world;
    const numbers = (text: string) =>
      text
        .trim()
        .split(/\s+/)
        .map(Number)
        .toSorted((a, b) => a - b);

    this.#test('a job has the ids and every group of its account, no capability, and no way back', async () => {
      const back = (uid: number) => `setpriv --reuid ${uid} true 2>/dev/null && echo back`;
      const commands = [
        'id -G; id -u; grep -E "^(Uid|Gid):" /proc/self/status; grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status',
        ...(this.#mode.deployment.ownAccount === true ? [] : [back(this.#world.service?.uid ?? 0)]),
        `${back(0)}; sudo -n -u "#${this.#world.service?.uid ?? 0}" true 2>/dev/null && echo back; echo tried`,
      ].join('\n');
      const { stdout } = await (await this.#job()).run(commands.replaceAll('&& echo back\n', '&& echo back || :\n'));
      const [groups = '', uid, uids = '', gids = '', ...rest] = stdout.trimEnd().split('\n');
      const wanted = this.#mode.deployment.ownAccount === true ? [account.gid] : this.#groups();
      assert.deepEqual(numbers(groups), wanted);
      assert.equal(Number(uid), account.uid);
      assert.deepEqual(numbers(uids.replace('Uid:', '')), Array(4).fill(account.uid));
      assert.deepEqual(numbers(gids.replace('Gid:', '')), Array(4).fill(account.gid));
      assert.equal(rest.filter((line) => /^Cap\w+:\s+0{16}$/.test(line)).length, 4, stdout);
      assert.equal(rest.at(-1), 'tried');
      assert.ok(!rest.includes('back'), stdout);
    });

    this.#test("nothing of the runner's environment reaches the job", async () => {
      const dirt = {
        HOME: '/evil',
        USER: 'evil',
        BASH_ENV: '/evil.sh',
        LD_PRELOAD: '/evil.so',
        NODE_OPTIONS: '--evil',
        LANG: 'evil',
      };
      const job = await (
        await this.#world.stages({ options, settings: { environment: { PATH: '/usr/bin:/bin', ...dirt } } })
      ).configured();
      const { stdout, stderr } = await job.run('env');
      assert.equal(stderr, '');
      assert.doesNotMatch(
        stdout,
        /evil|^(SUDO_|CUSTOM_ENV_|BUILD_|SYSTEM_|JOB_RESPONSE|TMPDIR|JACAMAR_CI_(?!SHELL=|JOB=))/m,
      );
      for (const entry of [
        `HOME=${account.home}`,
        `USER=${account.name}`,
        `LOGNAME=${account.name}`,
        'SHELL=/bin/bash',
      ]) {
        assert.ok(stdout.split('\n').includes(entry), `${entry}:\n${stdout}`);
      }
    });

    this.#test('a process of the job has descriptors 0 to 2 and no others, jacamar has no terminal', async () => {
      const job = await this.#job();
      const call = job.start('sleep 300 & echo "sleeper $!"; wait');
      const [, pid] = /sleeper (\d+)\n/.exec(await call.until('sleeper')) ?? [];
      await asleep(Number(pid), 'sleep 300');
      assert.deepEqual(
        (await descriptorsOf(Number(pid))).map((line) => line.replace(/\[\d+\]/, '')),
        ['0 /dev/null', '1 pipe:', '2 pipe:'],
      );
      assert.equal(
        (await descriptorsOf((await this.#jacamar(call)).pid)).filter((line) => /\/dev\/(pts|tty)/.test(line)).length,
        0,
      );
      call.stop();
      await call.ended;
    });
  }

  #groups(): number[] {
    const text = execFileSync('id', ['-G', this.#world.account.name], { encoding: 'utf8' });
    return text
      .trim()
      .split(' ')
      .map(Number)
      .toSorted((a, b) => a - b);
  }

  output(): void {
    this.#test('output arrives byte for byte, whatever its bytes, and whole', async () => {
      const chunks: Record<OutputStream, Buffer[]> = { stdout: [], stderr: [] };
      const onOutput = (stream: OutputStream, chunk: Buffer) => void chunks[stream].push(chunk);
      const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
      const octal = [...all].map((value) => `\\${value.toString(8).padStart(3, '0')}`).join('');
      const commands = `printf '${octal}'; printf '${octal}' >&2; (yes 'a line of some length' || :) | head -c 20000000; printf '\\0jacamar'`;
      const job = await this.#job();
      const { outcome } = await job.run(commands, 'build_script', { onOutput });
      assert.equal(outcome.kind, 'success', JSON.stringify((await job.log()).at(-1)));
      const stdout = Buffer.concat(chunks.stdout);
      assert.deepEqual(stdout.subarray(0, 256), all);
      assert.equal(stdout.length, 256 + 20_000_000 + 8);
      assert.equal(stdout.toString('latin1', stdout.length - 8), '\0jacamar');
      assert.deepEqual(Buffer.concat(chunks.stderr), all);
    });

    this.#test('output comes while the job runs, not at its end', async () => {
      const { call } = await this.#running('printf "without a newline"');
      await call.until('without a newline');
      call.stop();
      await call.ended;
    });
  }

  stops(): void {
    this.#test('SIGTERM ends everything of the job, however it hides, and it is no success', async () => {
      const { job, call } = await this.#running(HIDING);
      assert.ok((await this.#living()).length > 6);
      call.stop();
      const { outcome } = await call.ended;
      assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
      assert.deepEqual(await this.#living(), [], 'when the stage ends, not some time later');
      assert.equal((await job.cleanup()).outcome.kind, 'success');
    });

    this.#test('a script that answers SIGTERM with success is stopped all the same', async () => {
      const { call } = await this.#running("trap 'exit 0' TERM");
      call.stop();
      assert.deepEqual((await call.ended).outcome, { kind: 'system-failure', text: 'exit status 2' });
    });

    const { service } = this.#world;
    if (service !== undefined) {
      this.#test('the runner stops a job with no more than the rights of its own account', async () => {
        const { call } = await this.#running(HIDING);
        const group = -(await call.pid());
        const kill = `process.setgid(${service.gid}); process.setuid(${service.uid}); process.kill(${group}, 'SIGTERM')`;
        execFileSync(process.execPath, ['-e', kill]);
        const { outcome } = await call.ended;
        assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
        assert.deepEqual(await this.#living(), []);
      });
    }

    this.#test('a cancel lets after_script run', async () => {
      const script = ['echo ready', 'sleep 300'];
      const job = await this.#world.start({ options, script, afterScript: ['echo "after $CI_JOB_STATUS"'] });
      await job.until('ready');
      job.softCancel();
      const played = await job.ended;
      assert.equal(played.verdict, 'canceled');
      assert.match(played.jobLog, /^after canceled$/m);
    });
  }

  authorization(): void {
    this.#test('a job that is refused gets one neutral line and is not tried again', async () => {
      const played = await this.#world.play({ token: () => 'nonsense', script: 'touch ~/ran' });
      assert.equal(played.verdict, 'build-failure');
      assert.deepEqual(
        played.stages.map(({ name }) => name),
        ['config', 'cleanup'],
      );
      assert.match(
        played.stages[0]?.stderr ?? '',
        /^This job is not authorized to run here\. \(reference [0-9a-f]{8}\)\n$/,
      );
      assert.equal((await filesBelow(this.#world.account.home)).filter(({ path }) => path.endsWith('/ran')).length, 0);
    });
  }

  deaths(): void {
    this.#test('when jacamar-auth is killed, jacamar and the job end by themselves', async () => {
      const { job, call } = await this.#running(HIDING);
      process.kill(await call.pid(), 'SIGKILL');
      await this.#nothingLives();
      assert.equal((await call.ended).outcome.kind, 'system-failure');
      assert.equal((await job.cleanup()).outcome.kind, 'success');
    });

    this.#test('when jacamar is killed, the stage is a system failure and nothing of the job lives', async () => {
      const { job, call } = await this.#running(HIDING);
      process.kill((await this.#jacamar(call)).pid, 'SIGKILL');
      const { outcome, stderr } = await call.ended;
      assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
      assert.match(stderr, /unexpectedly ended with/);
      await this.#nothingLives();
      assert.equal((await job.cleanup()).outcome.kind, 'success');
    });

    this.#test('a jacamar that stands still is killed when its time is over', async () => {
      const { job, call } = await this.#running('sleep 301 &');
      process.kill((await this.#jacamar(call)).pid, 'SIGSTOP');
      call.stop();
      const { outcome, durationMs } = await call.ended;
      assert.deepEqual(outcome, { kind: 'system-failure', text: 'exit status 2' });
      assert.ok(durationMs < 30_000, `${durationMs} ms`);
      await this.#nothingLives();
      assert.equal((await job.cleanup()).outcome.kind, 'success');
    });

    this.#test('when both are killed, cleanup ends what still lives', async () => {
      const { job, call } = await this.#running('sleep 301 &');
      process.kill((await this.#jacamar(call)).pid, 'SIGSTOP');
      process.kill(await call.pid(), 'SIGKILL');
      const cleaned = await job.cleanup();
      assert.equal(cleaned.outcome.kind, 'success', cleaned.stderr);
      await this.#nothingLives();
      const program = this.#world.installation.program('jacamar');
      // A sudo or su stops itself with jacamar, and would stay for ever.
      await eventually('what started jacamar is gone', async () => {
        return (await allProcesses()).every(({ command }) => !command.includes(`${program} `));
      });
    });

    this.#test('cleanup beside a run that still lives ends the run first', async () => {
      const { job, call } = await this.#running('sleep 301 &');
      const { outcome, stderr } = await job.cleanup();
      assert.equal(outcome.kind, 'success', stderr);
      await this.#nothingLives();
      assert.equal((await call.ended).outcome.kind, 'system-failure');
    });
  }
}
