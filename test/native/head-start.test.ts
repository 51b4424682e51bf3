// The head start that jacamar-auth's launcher gives a jacamar: who gets one, and who does not. Each test has a throw-away
// installation, in which both the runtime and jacamar tell how they were started.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { allGone } from '../support/processes.ts';
import { finished, nativeFile } from './built.ts';

const UID = 61234;
const GID = 61235;
const GROUPS = [GID, 61236, 61237];

let prefix: string;
/** As the runner makes it for each job. */
let runner: string;
/** Where the accounts of these tests may write. */
let open: string;

beforeEach(() => {
  [prefix, runner, open] = ['prefix', 'runner', 'open'].map((name) => {
    return fs.mkdtempSync(path.join(tmpdir(), `jt_${name}_`));
  }) as [string, string, string];
  fs.chmodSync(prefix, 0o755);
  fs.chmodSync(open, 0o777);
  for (const folder of ['bin', 'libexec', 'lib']) fs.mkdirSync(path.join(prefix, folder), { mode: 0o755 });
  fs.copyFileSync(nativeFile('bin/jacamar-auth'), at('bin/jacamar-auth'));
  fs.writeFileSync(at('libexec/jacamar-runtime'), runtimeText(), { mode: 0o755 });
  for (const addon of ['credentials', 'lock', 'seccomp'])
    fs.writeFileSync(at(`lib/${addon}.node`), '', { mode: 0o644 });
  fs.writeFileSync(at('bin/jacamar'), jacamarText(), { mode: 0o755 });
  execFileSync('mkfifo', ['-m', '666', path.join(open, 'told')]);
  fs.writeFileSync(response(), '{}', { mode: 0o600 });
});
afterEach(() => {
  for (const directory of [prefix, runner, open]) fs.rmSync(directory, { recursive: true });
});

const at = (file: string): string => path.join(prefix, file);
const response = (): string => path.join(runner, 'response.json');
const planFile = (): string => path.join(runner, 'jacamar-head-start');

/** Tells what it was given, and stays until a jacamar that was started ahead has done so, too. */
const runtimeText = () => `#!/bin/sh
env | sed 's/^/env /' >${open}/runtime
ls -l /proc/self/fd >${open}/descriptors
[ -z "$JACAMAR_HEAD_START" ] || read -r _ <${open}/told
`;

/**
 * Tells how it was started, then waits until its standard input ends, as jacamar does.
 *
 * The shell looks at itself without a command: while it starts one, it blocks every signal and holds a pipe, and that
 * can last longer than the command takes to look. A descriptor that is gone by now is that of the directory it listed.
 */
const jacamarText = () => `#!/bin/sh
exec 3>${open}/report
echo "ids $(id -u) $(id -g) $(id -G)" >&3
echo "arguments $*" >&3
tr '\\0' '\\n' </proc/$$/environ | sed 's/^/env /' >&3
for file in /proc/$$/fd/*; do [ ! -e "$file" ] || echo "fd \${file##*/}" >&3; done
while read -r line; do
  case $line in Cap* | NoNewPrivs* | NSpid* | SigBlk*) echo "$line" >&3 ;; esac
done </proc/$$/status
echo "umask $(umask)" >&3
echo "directory $(pwd)" >&3
echo "session $(cut -d ' ' -f 6 /proc/$$/stat)" >&3
exec 3>&-
echo all >${open}/told
cat >/dev/null
`;

interface Words {
  version?: string;
  identity?: string;
  jacamar?: string;
  uid?: string;
  gid?: string;
  groups?: string;
  noNewPrivileges?: string;
  environment?: readonly string[];
}

function identity(file = response()): string {
  const { dev, ino, size, ctimeNs } = fs.lstatSync(file, { bigint: true });
  return [dev, ino, size, ctimeNs].join(' ');
}

/** What the config stage leaves, with a word or two changed. */
function plan(words: Words = {}): string {
  const { version = 'head start 1', identity: file = identity(), jacamar = at('bin/jacamar') } = words;
  const { uid = `${UID}`, gid = `${GID}`, groups = GROUPS.join(' '), noNewPrivileges = '0' } = words;
  const { environment = ['HOME=/nonexistent', 'PATH=/usr/bin:/bin', 'JACAMAR_CI_HANDOFF=stdin'] } = words;
  return [version, file, jacamar, uid, gid, groups, noNewPrivileges, ...environment]
    .map((word) => `${word}\0`)
    .join('');
}

/** Changes the response file; kernels before 6.13 take the time of a change from a clock that goes in steps of some ms. */
function untilSeen(change: () => void): void {
  const before = identity();
  while (identity() === before) change();
}

function leave(text: string = plan()): void {
  fs.writeFileSync(planFile(), text, { mode: 0o600 });
}

const RUN = ['run', '/runner/script', 'build_script'];

/** Calls jacamar-auth; what its runtime says of a head start. */
async function call(args: readonly string[] = RUN, env: Record<string, string> = {}) {
  const { stderr, code } = await finished(at('bin/jacamar-auth'), args, {
    env: { JOB_RESPONSE_FILE: response(), ...env },
    cwd: open,
  });
  const report = fs.readFileSync(path.join(open, 'runtime'), 'utf8');
  const said = /^env JACAMAR_HEAD_START=(\d+) (\d+) (\d+)$/m.exec(report);
  const [pid, channel, planDescriptor] = (said ?? []).slice(1).map(Number);
  return { said: said?.[0], pid, channel, planDescriptor, report, stderr, code };
}

/** What jacamar said, once its channel has been closed: it ends then, and has written all of it before. */
async function startedJacamar(pid: number | undefined): Promise<string> {
  assert.ok(pid !== undefined);
  await allGone('jacamar', [pid]);
  return fs.readFileSync(path.join(open, 'report'), 'utf8');
}

function lines(report: string, kind: string): string[] {
  const of = report.split('\n').filter((line) => line.startsWith(`${kind} `));
  return of.map((line) => line.slice(kind.length + 1));
}

describe('a head start', () => {
  test('is a jacamar with the ids, groups and environment of the plan, and without capabilities', async () => {
    leave();
    const report = await startedJacamar((await call()).pid);
    const [uid, gid, ...groups] = (lines(report, 'ids')[0] ?? '').split(' ').map(Number);
    assert.deepEqual([uid, gid, groups.toSorted()], [UID, GID, GROUPS]);
    const own = ['HOME=/nonexistent', 'PATH=/usr/bin:/bin', 'JACAMAR_CI_HANDOFF=stdin'];
    assert.deepEqual(lines(report, 'env').toSorted(), own.toSorted());
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      assert.ok(report.includes(`${set}:\t${'0'.repeat(16)}`));
    assert.match(report, /^NoNewPrivs:\t0$/m);
    assert.deepEqual(lines(report, 'umask'), ['0077']);
    assert.deepEqual(lines(report, 'directory'), ['/']);
  });

  test('is told of by process number, channel and plan, which the runtime inherits and nothing else', async () => {
    leave();
    const { pid, channel, planDescriptor } = await call();
    const listed = fs.readFileSync(path.join(open, 'descriptors'), 'utf8').matchAll(/(\d+) -> (\S+)/g);
    // Without the directory that ls itself reads.
    const beyond = [...listed].filter(([, number, what]) => Number(number) > 2 && !what?.startsWith('/proc/'));
    assert.deepEqual(
      beyond.map(([, number, what = '']) => [Number(number), what.startsWith('socket:') ? 'socket' : what]).toSorted(),
      [
        [channel, 'socket'],
        [planDescriptor, planFile()],
      ].toSorted(),
    );
    await startedJacamar(pid);
  });

  test('inherits nothing beyond its streams, and leads a session of its own', async () => {
    leave();
    const { pid } = await call();
    const report = await startedJacamar(pid);
    // 3 is its own report, 10 the script that the shell reads.
    assert.deepEqual(
      lines(report, 'fd')
        .map(Number)
        .filter((number) => ![3, 10].includes(number)),
      [0, 1, 2],
    );
    assert.deepEqual(lines(report, 'session'), [String(pid)]);
    assert.match(report, new RegExp(`^SigBlk:\t${'0'.repeat(16)}$`, 'm'));
  });

  test('is told the stage as jacamar-auth would tell it: never the path of the script', async () => {
    leave();
    const run = await startedJacamar((await call()).pid);
    assert.deepEqual(lines(run, 'arguments'), ['--no-auth run env-script build_script']);
    fs.rmSync(path.join(open, 'report'));
    const prepare = await startedJacamar((await call(['prepare'])).pid);
    assert.deepEqual(lines(prepare, 'arguments'), ['--no-auth prepare']);
  });

  test('gives up new privileges when the plan says so', async () => {
    leave(plan({ noNewPrivileges: '1' }));
    assert.match(await startedJacamar((await call()).pid), /^NoNewPrivs:\t1$/m);
  });

  test('cannot be claimed by a variable of the caller', async () => {
    const { said } = await call(RUN, { JACAMAR_HEAD_START: '1 2 3' });
    assert.equal(said, undefined);
  });
});

describe('no head start', () => {
  const calls: Record<string, readonly string[]> = {
    config: ['config'],
    cleanup: ['cleanup'],
    'a run stage without name': ['run', '/script'],
    'a run stage with one word more': ['run', '/script', 'build_script', 'more'],
    'a run stage with an impossible name': ['run', '/script', '../x'],
    'a run stage with a blank in its name': ['run', '/script', 'a b'],
    'a run stage with an endless name': ['run', '/script', 'a'.repeat(65)],
    'a run stage without any name': ['run', '/script', ''],
    'a prepare with more words': ['prepare', 'x'],
    'a call with options': ['-u', 'run', '/script', 'build_script'],
    'a run stage with an option in place of its script': ['run', '--help', 'build_script'],
    'no call': [],
  };
  for (const [title, args] of Object.entries(calls)) {
    test(`for ${title}`, async () => {
      leave();
      assert.equal((await call(args)).said, undefined);
    });
  }

  const spoilers: Record<string, () => unknown> = {
    'without a plan': () => fs.rmSync(planFile()),
    'when the response file has been written again': () => untilSeen(() => fs.writeFileSync(response(), '[]')),
    'when the response file was replaced by an equal one': () => {
      fs.copyFileSync(response(), `${response()}.new`);
      fs.renameSync(`${response()}.new`, response());
    },
    'when the response file changed its owner for a moment': () =>
      untilSeen(() => {
        fs.chownSync(response(), UID, 0);
        fs.chownSync(response(), 0, 0);
      }),
    "by a plan of somebody else's": () => fs.chownSync(planFile(), UID, 0),
    'by a plan that its group may write': () => fs.chmodSync(planFile(), 0o620),
    'by a plan that all may write': () => fs.chmodSync(planFile(), 0o602),
    'by a link to a plan': () => {
      fs.renameSync(planFile(), `${planFile()}.moved`);
      fs.symlinkSync(`${planFile()}.moved`, planFile());
    },
    'by a directory in place of a plan': () => {
      fs.rmSync(planFile());
      fs.mkdirSync(planFile());
    },
    "in somebody else's directory": () => fs.chownSync(runner, UID, 0),
    'in a directory that all may write': () => fs.chmodSync(runner, 0o777),
    'of a jacamar that all may write': () => fs.chmodSync(at('bin/jacamar'), 0o757),
    "of somebody else's jacamar": () => fs.chownSync(at('bin/jacamar'), UID, 0),
    'of a jacamar that is no program': () => fs.chmodSync(at('bin/jacamar'), 0o644),
    'by an empty plan': () => leave(''),
    'by half a plan': () => leave(plan().slice(0, -1)),
    'by the beginning of a plan': () => leave(plan().split('\0').slice(0, 5).join('\0')),
    'by an endless plan': () => leave(plan() + 'X=1\0'.repeat(70_000)),
  };
  for (const [title, spoil] of Object.entries(spoilers)) {
    test(title, async () => {
      leave();
      spoil();
      const { said, stderr } = await call();
      assert.deepEqual([said, stderr], [undefined, '']);
      assert.equal(fs.existsSync(path.join(open, 'report')), false);
    });
  }

  const words: Record<string, Words> = {
    'of another version': { version: 'head start 2' },
    'for another file': { identity: '1 2 3 4' },
    'for no file': { identity: '' },
    'for another jacamar': { jacamar: '/bin/true' },
    'for root': { uid: '0' },
    "for root's group": { gid: '0' },
    'that leaves the uid as it is': { uid: '4294967295' },
    'that leaves the gid as it is': { gid: '4294967295' },
    'with an impossible group': { groups: '4294967295' },
    'with a uid beyond all': { uid: '4294967296' },
    'with a uid that wraps to another': { uid: '4295028530' },
    'with a negative uid': { uid: '-1' },
    'with a signed uid': { uid: '+61234' },
    'with a blank before the uid': { uid: ' 61234' },
    'with something behind the uid': { uid: '61234x' },
    'with a hexadecimal uid': { uid: '0x10' },
    'without uid': { uid: '' },
    'without gid': { gid: '' },
    'with a word among the groups': { groups: '61235 wheel' },
    'with a hole among the groups': { groups: '61235  61236' },
  };
  for (const [title, changed] of Object.entries(words)) {
    test(`by a plan ${title}`, async () => {
      leave(plan(changed));
      assert.equal((await call()).said, undefined);
      assert.equal(fs.existsSync(path.join(open, 'report')), false);
    });
  }

  test('without the name of a response file, or with a path that is not whole', async () => {
    leave();
    assert.equal((await call(RUN, { JOB_RESPONSE_FILE: '' })).said, undefined);
    assert.equal((await call(RUN, { JOB_RESPONSE_FILE: path.relative(open, response()) })).said, undefined);
    assert.equal((await call(RUN, { JOB_RESPONSE_FILE: path.join(runner, 'other') })).said, undefined);
  });

  test('on a terminal, where jacamar-auth will refuse to work', async () => {
    leave();
    const command = `exec ${[at('bin/jacamar-auth'), ...RUN].join(' ')}`;
    await finished('script', ['-qec', command, '/dev/null'], { env: { JOB_RESPONSE_FILE: response() }, cwd: open });
    assert.equal(fs.readFileSync(path.join(open, 'runtime'), 'utf8').includes('JACAMAR_HEAD_START'), false);
    assert.equal(fs.existsSync(path.join(open, 'report')), false);
  });

  test('for a jacamar-auth that is not root, whoever wrote the plan', async () => {
    leave();
    for (const file of [runner, planFile(), response()]) fs.chownSync(file, UID, GID);
    leave(plan());
    const env = { JOB_RESPONSE_FILE: response() };
    await finished(at('bin/jacamar-auth'), ['prepare'], { uid: UID, gid: GID, cwd: open, env });
    assert.equal(fs.readFileSync(path.join(open, 'runtime'), 'utf8').includes('JACAMAR_HEAD_START'), false);
    assert.equal(fs.existsSync(path.join(open, 'report')), false);
  });
});
