// What an administrator asks the executables before anything runs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import type { Program } from '../support/installation.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

interface Answer {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

function ask(program: Program, args: readonly string[], ids: { uid?: number; gid?: number } = {}): Promise<Answer> {
  const options = { env: {}, cwd: '/', ...ids };
  return new Promise((resolve) => {
    execFile(world.installation.program(program), args, options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

const stages = ['config', 'prepare', 'run', 'cleanup'];
const commands: Record<Program, readonly string[]> = {
  'jacamar-auth': stages,
  jacamar: stages,
  'jacamar-admin': ['trial'],
};

for (const [name, subcommands] of Object.entries(commands)) {
  const program = name as Program;
  test(`${program} --version tells version, commit, Node, addons and whether its code cache fits, one per line`, async () => {
    for (const option of ['--version', '-v']) {
      const { code, stdout, stderr } = await ask(program, [option]);
      assert.deepEqual([code, stderr], [0, '']);
      const lines = stdout.trimEnd().split('\n');
      assert.match(lines[0] ?? '', /^Version: \d+\.\d+\.\d+%?$/);
      assert.match(lines[1] ?? '', /^Git Commit: [0-9a-f]{12}%?$/);
      assert.match(lines[2] ?? '', /^Node: 24\.\d+\.\d+ \(V8 .*, OpenSSL 3\.\d+\.\d+\)$/);
      assert.match(lines[3] ?? '', /^Addons: Node-API \d+, linux-(x64|arm64)$/);
      assert.equal(lines[4], 'Code Cache: used');
      assert.equal(lines.length, 5);
    }
  });

  test(`${program} --help names every sub-command, and each explains itself`, async () => {
    const whole = await ask(program, ['--help']);
    assert.deepEqual([whole.code, whole.stderr], [0, '']);
    assert.match(whole.stdout, new RegExp(`^Usage: ${program} `));
    for (const subcommand of subcommands) {
      assert.match(whole.stdout, new RegExp(`^ +${subcommand}\\b`, 'm'));
      const { code, stdout, stderr } = await ask(program, [subcommand, '--help']);
      assert.deepEqual([code, stderr], [0, ''], subcommand);
      assert.match(stdout, new RegExp(`^Usage: ${program} ${subcommand}\\b`));
    }
  });

  const mistakes = [['nonsense'], ['--nonsense'], [subcommands[0] ?? '', '--nonsense'], []];
  test(`${program} takes a command line that it does not know for a fault of the site, with a hint`, async () => {
    for (const args of mistakes) {
      const { code, stdout, stderr } = await ask(program, args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr, /--help|Usage:/);
    }
  });
}

test('run wants a script and a run stage, and nothing more', async () => {
  for (const args of [['run'], ['run', '/tmp/x'], ['run', '/tmp/x', 'a', 'b']]) {
    const { code, stderr } = await ask('jacamar-auth', args);
    assert.equal(code, 2);
    assert.match(stderr, /argument/);
  }
});

test('jacamar says its version to everybody; jacamar-auth is not started by anybody but root', async () => {
  const { uid, gid } = account;
  assert.equal((await ask('jacamar', ['--version'], { uid, gid })).code, 0);
  assert.equal((await ask('jacamar-auth', ['--version'], { uid, gid })).code, 'EACCES');
});

test('the three programs are of one version', async () => {
  const answers = await Promise.all((Object.keys(commands) as Program[]).map((program) => ask(program, ['--version'])));
  assert.equal(new Set(answers.map(({ stdout }) => stdout)).size, 1);
});
