// The command line of jacamar: who calls it for a job has to say that nobody is authorized here.

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { readCommandLine } from '../../src/contract/command-line.ts';
import { commandLine } from '../../src/jacamar/command-line.ts';

const USAGE_ERROR = 22;

async function read(context: TestContext, ...argv: string[]) {
  const acts: string[] = [];
  const program = commandLine({
    stage: ({ stage }) => acts.push(stage),
    signal: () => void acts.push('signal'),
    workspace: () => acts.push('workspace'),
  });
  const complaint = context.mock.method(process.stderr, 'write', () => true);
  const code = await readCommandLine(program, argv, USAGE_ERROR);
  return { code, acts, isTold: complaint.mock.callCount() > 0 };
}

const STAGES = [['config', '--configuration', '/etc/x.toml'], ['prepare'], ['run', '/tmp/script', 'get_sources']];

describe('a stage of a job', () => {
  for (const argv of [...STAGES, ['cleanup', '--configuration', '/etc/x.toml']]) {
    it(`${argv[0]} is a usage error without --no-auth, as when jacamar stands in the place of jacamar-auth`, async (context) => {
      assert.deepEqual(await read(context, ...argv), { code: USAGE_ERROR, acts: [], isTold: true });
    });

    it(`${argv[0]} is run with --no-auth`, async (context) => {
      const expected = { code: undefined, acts: [argv[0]], isTold: false };
      assert.deepEqual(await read(context, '--no-auth', ...argv), expected);
    });
  }
});

describe('what a user does by hand', () => {
  it('needs no --no-auth', async (context) => {
    const { code, acts } = await read(context, 'workspace', '--base', '/home/alice/.jacamar-ci');
    assert.deepEqual([code, acts], [undefined, ['workspace']]);
  });
});
