// Group E of the threat cases: what the environment, which a job's author and a careless administrator both write to,
// can bring about. Numbers are those of docs/threats.md.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobWishes } from '../support/job-wishes.ts';
import { descriptorsOf, treeOf } from '../support/processes.ts';
import { allowed, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

/** Open to the job's account too, so that a trap can be sprung by any process. */
const traps = await mkdtemp(join(tmpdir(), 'jt_traps_'));
world.onClose(() => rm(traps, { recursive: true, force: true }));
await chmod(traps, 0o1777);

const sprung = async () => (await readdir(traps)).filter((name) => name.startsWith('sprung'));
const runnerWith = (environment: Record<string, string>): JobWishes => ({
  settings: { environment: { PATH: '/usr/bin:/bin', ...environment } },
});
const asVariables = (environment: Record<string, string>): JobWishes => ({
  variables: Object.entries(environment).map(([key, value]) => ({ key, value })),
});

/** A library that leaves a file behind in whatever process it is loaded into. */
function trapLibrary(): string {
  const source = join(traps, 'trap.c');
  const library = join(traps, 'trap.so');
  const code = `#include <fcntl.h>\n__attribute__((constructor)) static void spring(void) { open("${traps}/sprung-library", O_CREAT | O_WRONLY, 0666); }\n`;
  execFileSync('sh', ['-c', 'cat >"$1" && cc -shared -fPIC -o "$2" "$1"', 'sh', source, library], { input: code });
  return library;
}

const loader = () => {
  const library = trapLibrary();
  return {
    ...{
      LD_PRELOAD: library,
      LD_AUDIT: library,
      LD_LIBRARY_PATH: traps,
      LD_DEBUG: 'all',
      LD_DEBUG_OUTPUT: `${traps}/sprung-debug`,
    },
    ...{ GLIBC_TUNABLES: 'glibc.malloc.check=3', GCONV_PATH: traps, LOCPATH: traps, NLSPATH: `${traps}/%N` },
    ...{
      MALLOC_CHECK_: '3',
      RES_OPTIONS: 'debug',
      HOSTALIASES: `${traps}/hosts`,
      MALLOC_TRACE: `${traps}/sprung-malloc`,
    },
  };
};

test('case 61: variables of the loader and the C library have no effect in any process of ours, and reach no job', async () => {
  const environment = loader();
  const script = 'env | grep -E "^(LD_|GLIBC|GCONV|LOCPATH|NLSPATH|MALLOC|RES_|HOSTAL)" || echo none';
  const played = await world.play({ ...runnerWith(environment), script });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.match(played.jobLog, /^none$/m);
  assert.deepEqual(await sprung(), []);
});

test("case 61: the same names as CI variables act in the user's own shell at most", async () => {
  const { LD_PRELOAD: _, LD_AUDIT: __, LD_DEBUG: ___, ...harmless } = loader();
  const played = await world.play({ ...asVariables(harmless), script: 'echo here' });
  assert.equal(played.verdict, 'success', played.jobLog);
  for (const { uid, environment } of await environmentsOfJob(asVariables(harmless))) {
    if (uid === 0) assert.doesNotMatch(environment, /(?:^|\0)(?:LD_|GLIBC|MALLOC)/);
  }
});

test('case 62: no variable of Node or libuv has an effect, in jacamar-auth or in jacamar', async () => {
  const trap = join(traps, 'trap.cjs');
  await writeFile(trap, `require('node:fs').writeFileSync('${traps}/sprung-' + process.pid, '')`);
  await writeFile(join(traps, '.env'), 'NODE_OPTIONS=--version\n');
  const options = [
    `--require ${trap}`,
    `--import ${trap}`,
    '--inspect=127.0.0.1:0',
    `--openssl-config=${trap}`,
    `--env-file=${traps}/.env`,
    '--version',
    '--cpu-prof',
    `--diagnostic-dir=${traps} --report-on-signal`,
  ];
  const others = {
    ...{ NODE_PATH: traps, NODE_V8_COVERAGE: `${traps}/sprung-coverage`, NODE_REPL_EXTERNAL_MODULE: trap },
    ...{ NODE_COMPILE_CACHE: `${traps}/sprung-cache`, NODE_REDIRECT_WARNINGS: `${traps}/sprung-warnings` },
    ...{ NODE_ICU_DATA: traps, NODE_DEBUG: 'http,net,tls', NODE_DEBUG_NATIVE: 'http2', UV_USE_IO_URING: '1' },
    ...{
      UV_THREADPOOL_SIZE: '0',
      NODE_PENDING_DEPRECATION: '1',
      NODE_EXTRA_CA_CERTS: '/nonexistent',
      SSLKEYLOGFILE: `${traps}/sprung-keys`,
    },
  };
  const before = await readdir(traps);
  for (const NODE_OPTIONS of options) {
    const { record } = await allowedRecord(runnerWith({ ...others, NODE_OPTIONS }));
    assert.equal(record, '', NODE_OPTIONS);
  }
  const played = await world.play({
    ...runnerWith({ ...others, NODE_OPTIONS: options[0] ?? '' }),
    script: 'env | grep -E "^(NODE|UV)_" || echo none',
  });
  assert.match(played.jobLog, /^none$/m);
  assert.deepEqual(await readdir(traps), before);
});

test('case 63: variables of the shell act in the job alone, and exported functions reach no process before it', async () => {
  const shell = {
    ...{ BASH_ENV: `${traps}/bash-env`, ENV: `${traps}/bash-env`, SHELLOPTS: 'xtrace', BASHOPTS: 'expand_aliases' },
    ...{ PS4: `$(touch ${traps}/sprung-ps4)`, IFS: 'x', CDPATH: traps, GLOBIGNORE: '*' },
    ...{
      'BASH_FUNC_ls%%': `() { touch ${traps}/sprung-function; }`,
      'BASH_FUNC_env%%': `() { touch ${traps}/sprung-function; }`,
    },
  };
  await writeFile(join(traps, 'bash-env'), `touch ${traps}/sprung-bash-env\n`);
  const played = await world.play({ ...runnerWith(shell), script: 'ls /' });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.deepEqual(await sprung(), []);
  for (const { environment, command } of await environmentsOfJob(
    asVariables({ BASH_ENV: 'x', PS4: 'x', CDPATH: 'x' }),
  )) {
    if (/jacamar|bash --login/.test(command))
      assert.doesNotMatch(environment.replaceAll('CUSTOM_ENV_', '§'), /(?:^|\0)(?:BASH_|PS4=|CDPATH=)/);
  }
});

for (const PATH of ['', '.', 'traps first', '/nonexistent']) {
  test(`case 64: with PATH "${PATH}" no program of ours is looked for there`, async () => {
    for (const name of ['jacamar', 'bash', 'sh', 'id', 'env']) {
      await writeFile(join(traps, name), `#!/bin/sh\ntouch ${traps}/sprung-${name}\n`, { mode: 0o755 });
    }
    const path = PATH === 'traps first' ? `${traps}:/usr/bin:/bin` : PATH;
    const played = await world.play({ settings: { environment: { PATH: path } }, script: 'echo "path $PATH"; id -u' });
    assert.equal(played.verdict, 'success', played.jobLog);
    assert.doesNotMatch(played.jobLog, /^path .*jt_traps/m);
    assert.deepEqual(await sprung(), []);
  });
}

test("case 65: the runner's own HOME, USER, TMPDIR, agents, tickets and buses reach no job", async () => {
  const theirs = {
    ...{ HOME: '/root', USER: 'root', LOGNAME: 'root', SHELL: '/evil', TMPDIR: '/evil', XDG_RUNTIME_DIR: '/evil' },
    ...{
      KRB5CCNAME: '/evil',
      SSH_AUTH_SOCK: '/evil',
      DBUS_SESSION_BUS_ADDRESS: '/evil',
      SUDO_USER: 'evil',
      SUDO_UID: '1',
    },
    ...{
      MAIL: '/evil',
      PWD: '/evil',
      OLDPWD: '/evil',
      TERM: 'evil',
      LANG: 'evil',
      LC_ALL: 'evil',
      SYSTEMD_EXEC_PID: '1',
    },
  };
  const names = Object.keys(theirs).filter((name) => !['PWD', 'OLDPWD', 'LANG', 'MAIL', 'TERM'].includes(name));
  const script = names.map((name) => `echo "${name}=\${${name}-absent}"`);
  const played = await world.play({ ...runnerWith(theirs), script });
  assert.equal(played.verdict, 'success', played.jobLog);
  assert.doesNotMatch(played.jobLog, /=(?:\/evil|evil|root|1)$/m);
  const { home, name } = account;
  for (const line of [`HOME=${home}`, `USER=${name}`, `LOGNAME=${name}`, 'SHELL=/bin/bash', 'SSH_AUTH_SOCK=absent']) {
    assert.match(played.jobLog, new RegExp(`^${line}$`, 'm'));
  }
});

test('case 66: many and large variables arrive whole', async () => {
  const large = 'x'.repeat(100_000);
  const many = Array.from({ length: 5_000 }, (_, n) => ({ key: `MANY_${n}`, value: String(n) }));
  const odd = [
    { key: 'WITH_NEWLINE', value: 'a\nb' },
    { key: 'WITH_EQUALS', value: 'a=b=c' },
    { key: 'QUOTES', value: `'"$(id)\`id\`` },
  ];
  const script = [
    'echo "large ${#LARGE}"',
    'echo "many ${MANY_4999} ${MANY_0}"',
    'echo "odd ${#WITH_NEWLINE} $WITH_EQUALS"',
  ];
  const played = await world.play({
    variables: [{ key: 'LARGE', value: large, raw: true }, ...many, ...odd.map((each) => ({ ...each, raw: true }))],
    script,
  });
  assert.equal(played.verdict, 'success', played.jobLog.slice(0, 2000));
  assert.match(played.jobLog, /^large 100000$/m);
  assert.match(played.jobLog, /^many 4999 0$/m);
  assert.match(played.jobLog, /^odd 3 a=b=c$/m);
});

test('case 66: a variable that is longer than max_env_chars ends the job with a text', async () => {
  const wishes: JobWishes = {
    ...asVariables({ JACAMAR_NO_BASH_PROFILE: '1'.repeat(101) }),
    options: { auth: { max_env_chars: 100 } },
  };
  const played = await world.play(wishes);
  assert.equal(played.verdict, 'build-failure');
  assert.match(
    played.jobLog,
    /^The CI variable JACAMAR_NO_BASH_PROFILE has 101 characters; at most 100 are taken here\./m,
  );
});

test('case 67: CI variables with our own prefix, the names of the contract or of the account control nothing', async () => {
  const evil = world.at('evil.toml');
  await writeFile(evil, 'nonsense', { mode: 0o600 });
  const forged = {
    ...{ JACAMAR_CI_CONFIGURATION: evil, JACAMAR_CI_SLOT: '999', JACAMAR_CI_HANDOFF: 'x', JACAMAR_HANDOFF: 'x' },
    ...{ BUILD_FAILURE_EXIT_CODE: '0', SYSTEM_FAILURE_EXIT_CODE: '0', BUILD_EXIT_CODE_FILE: '/etc/jt_evil' },
    ...{
      JOB_RESPONSE_FILE: evil,
      CI_JOB_ID: '1',
      CI_PROJECT_PATH: '../../x',
      GITLAB_USER_LOGIN: 'root',
      GITLAB_USER_ID: '1',
    },
  };
  const played = await world.play({ ...asVariables(forged), script: 'id -un; pwd; exit 7' });
  assert.equal(played.verdict, 'build-failure', played.jobLog);
  assert.equal(played.exitCode, 7);
  assert.match(played.jobLog, new RegExp(`^${account.name}$`, 'm'));
  assert.ok(!existsSync('/etc/jt_evil'));
});

for (const key of ['CI_CONCURRENT_ID', 'CI_CONCURRENT_PROJECT_ID', 'CI_RUNNER_SHORT_TOKEN']) {
  test(`case 67: a forged ${key} is at most a harmless name, else the job is turned away`, async () => {
    for (const value of ['../../x', '-1', '..', '$(id)', '', 'a/b']) {
      const played = await world.play({ variables: [{ key, value }] });
      assert.equal(played.verdict, 'build-failure', value);
      assert.match(played.jobLog, new RegExp(`^The CI variable ${key} belongs to the runner`, 'm'));
    }
  });
}

test('case 67: a second token under the name of the first is refused, the same one twice is not', async () => {
  await refused(world, { variables: [{ key: 'CI_JOB_JWT', value: 'x.y.z' }] }, 'ERR_TOKEN_AMBIGUOUS', {
    told: /no other CI variable/,
  });
  const job = await world.stages();
  const value = job.response.variables.find(({ key }) => key === 'CI_JOB_JWT')?.value ?? '';
  await job.close();
  await allowed(world, { facts: job.facts, token: () => value, variables: [{ key: 'CI_JOB_JWT', value }] });
});

test('case 68: no command line shows a token or script text; environments of other accounts hold none; descriptors are few', async () => {
  const live = await world.start({ script: ['echo ready SCRIPT_CANARY_1', 'sleep 300'] });
  await live.until('ready SCRIPT_CANARY_1');
  const auth = live.calls.get('build_script') ?? 0;
  const tree = await treeOf(auth);
  const token = tokenOf(live.facts.token);
  assert.ok(tree.some(({ command }) => command.includes('jacamar --no-auth run env-script build_script')));
  for (const { pid, uid, command, environment } of tree) {
    assert.doesNotMatch(command, /eyJ|SCRIPT_CANARY|glcbt-/);
    const isJacamar = / --no-auth /.test(command);
    if (isJacamar || /bash --login/.test(command)) {
      assert.doesNotMatch(environment, token);
      assert.doesNotMatch(environment, /eyJ|SCRIPT_CANARY|CUSTOM_ENV_|JOB_RESPONSE_FILE/);
    }
    if (uid !== 0) {
      const open = (await descriptorsOf(pid)).filter((each) => /response|state|\/log$|keys|script$/.test(each));
      assert.deepEqual(open, [], command);
    }
  }
  assert.ok(tree.some(({ uid }) => uid === account.uid));
  assert.equal(mode(`/proc/${auth}/environ`), 0o400);
  await live.abandon();
});

test("case 68: another account cannot read the environment of jacamar-auth, where the runner put the job's secrets", async () => {
  const live = await world.start({ script: ['echo ready', 'sleep 300'] });
  await live.until('ready');
  const auth = live.calls.get('build_script') ?? 0;
  for (const file of ['environ', 'mem', 'maps', 'fd']) {
    const read = () =>
      execFileSync(
        'setpriv',
        [
          '--reuid',
          String(account.uid),
          '--regid',
          String(account.gid),
          '--clear-groups',
          'ls',
          '-lL',
          `/proc/${auth}/${file}/`,
        ],
        { stdio: 'pipe' },
      );
    assert.throws(read);
  }
  const script = `head -c 1 /proc/${auth}/environ`;
  assert.throws(() =>
    execFileSync(
      'setpriv',
      ['--reuid', String(account.uid), '--regid', String(account.gid), '--clear-groups', 'sh', '-c', script],
      { stdio: 'pipe' },
    ),
  );
  await live.abandon();
});

interface Seen {
  readonly uid: number;
  readonly command: string;
  readonly environment: string;
}

async function environmentsOfJob(wishes: JobWishes): Promise<Seen[]> {
  const live = await world.start({ ...wishes, script: ['echo ready', 'sleep 300'] });
  await live.until('ready');
  const tree = await treeOf(live.calls.get('build_script') ?? 0);
  await live.abandon();
  assert.ok(tree.length >= 4, tree.map(({ command }) => command).join('\n'));
  return tree;
}

async function allowedRecord(wishes: JobWishes): Promise<{ record: string }> {
  const job = await world.stages(wishes);
  const { outcome, stderr } = await job.config();
  await job.cleanup();
  await job.close();
  assert.equal(outcome.kind, 'success', stderr);
  return { record: stderr };
}

function tokenOf(text: string): RegExp {
  return new RegExp(text.replace(/[^A-Za-z0-9]/g, '\\$&'));
}

function mode(path: string): number {
  return Number.parseInt(execFileSync('stat', ['-c', '%a', path], { encoding: 'utf8' }), 8);
}
