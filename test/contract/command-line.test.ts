// The command line as the runner writes it, and everything else as a usage error with our exit code.

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { addStages, createProgram, readCommandLine } from '../../src/contract/command-line.ts';
import { runnerCall, type StageCall } from '../../src/contract/runner-call.ts';

const USAGE_ERROR = 22;

async function read(context: TestContext, ...argv: string[]) {
  const calls: StageCall[] = [];
  const program = addStages(createProgram('jacamar-auth', 'Test.'), (call) => calls.push(call));
  const output: string[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    context.mock.method(stream, 'write', (text: string) => {
      output.push(text);
      return true;
    });
  }
  try {
    const code = await readCommandLine(program, argv, USAGE_ERROR);
    return { code, calls, output: output.join('') };
  } finally {
    context.mock.restoreAll();
  }
}

describe('the command line', () => {
  const good: [argv: string[], call: StageCall][] = [
    [['config', '--configuration', '/etc/x.toml'], { stage: 'config', configurationPath: '/etc/x.toml' }],
    [['config', '--configuration=/etc/x.toml'], { stage: 'config', configurationPath: '/etc/x.toml' }],
    [['prepare'], { stage: 'prepare' }],
    [['run', '/tmp/script', 'get_sources'], { stage: 'run', scriptPath: '/tmp/script', runStage: 'get_sources' }],
    [['run', '/tmp/script', 'step_x'], { stage: 'run', scriptPath: '/tmp/script', runStage: 'step_x' }],
    [['cleanup', '--configuration', '/etc/x.toml'], { stage: 'cleanup', configurationPath: '/etc/x.toml' }],
  ];
  for (const [argv, call] of good) {
    it(`"${argv.join(' ')}" is the stage ${call.stage}`, async (context) => {
      assert.deepEqual(runnerCall(argv) ?? call, call);
      const { code, calls, output } = await read(context, ...argv);
      assert.equal(code, undefined);
      assert.deepEqual(calls, [call]);
      assert.equal(output, '');
    });
  }

  const bad = [
    [],
    [''],
    ['login'],
    ['run'],
    ['run', '/tmp/script'],
    ['run', '/tmp/script', 'build_script', 'more'],
    ['prepare', 'more'],
    ['config', '--configuration'],
    ['config', '--configuration', '/x', 'more'],
    ['config', '--unknown', 'x'],
    ['run', '--help-me', '/tmp/script', 'x'],
    ['--unknown'],
    ['-x'],
    ['__proto__'],
    ['constructor'],
  ];
  for (const argv of bad) {
    it(`${JSON.stringify(argv)} is a usage error`, async (context) => {
      assert.equal(runnerCall(argv), undefined);
      const { code, calls } = await read(context, ...argv);
      assert.equal(code, USAGE_ERROR);
      assert.deepEqual(calls, []);
    });
  }

  it('understands the calls of the runner without a parser, and only those', () => {
    const isOfRunner = ({ stage, configurationPath }: StageCall, argv: readonly string[]) =>
      stage === 'run' || stage === 'prepare' || argv.includes(configurationPath ?? '');
    for (const [argv, call] of good)
      assert.equal(runnerCall(argv) !== undefined, isOfRunner(call, argv), argv.join(' '));
    for (const stage of ['config', 'cleanup'] as const) assert.deepEqual(runnerCall([stage]), { stage });
    for (const argv of [['--version'], ['-h'], ['run', '--help'], ['help'], ['-u', 'prepare'], ['prepare', '-u']]) {
      assert.equal(runnerCall(argv), undefined, argv.join(' '));
    }
  });

  it('prints version and help, and then there is nothing more to do', async (context) => {
    for (const option of ['--version', '-v']) {
      const { code, calls, output } = await read(context, option);
      assert.deepEqual([code, calls], [0, []]);
      assert.match(output, /^Version: \S+\nGit Commit: \S+\nNode: /);
    }
    for (const argv of [['--help'], ['-h'], ['run', '--help'], ['help']]) {
      const { code, calls, output } = await read(context, ...argv);
      assert.deepEqual([code, calls], [0, []], argv.join());
      assert.match(output, /Usage: jacamar-auth/);
    }
  });
});
