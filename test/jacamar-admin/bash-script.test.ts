import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { frame, quote, stageScript } from '../../src/jacamar-admin/bash-script.ts';
import { type JobContents, jobFacts, jobResponse, variable } from '../../src/jacamar-admin/job.ts';

const directory = mkdtempSync(join(tmpdir(), 'jacamar-script-'));
after(() => rmSync(directory, { recursive: true }));

// By file, as drivers do; also keeps large scripts off the command line.
function runBash(script: string, signal?: AbortSignal) {
  const path = join(directory, 'script');
  writeFileSync(path, script);
  const environment = { PATH: process.env['PATH'], HOME: directory };
  return spawnSync('bash', [path], {
    encoding: 'utf8',
    env: environment,
    ...(signal && { signal }),
    maxBuffer: 2 ** 26,
  });
}

function scriptOf(stage: string, contents: Partial<JobContents>): string {
  const job = jobResponse(jobFacts({ serverUrl: 'http://127.0.0.1:1', login: 'alice' }), {
    script: ['true'],
    ...contents,
    variables: [{ key: 'GIT_STRATEGY', value: 'none' }, ...(contents.variables ?? [])],
  });
  return stageScript(stage, {
    job,
    variables: job.variables,
    projectDir: join(directory, 'builds/demo/hello'),
    hostname: '',
  });
}

// What bash can hold at all: any text without NUL and without lone surrogates.
const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''));

const exitCodes: [string, string, number][] = [
  ['a script that ends well ends with 0', 'true', 0],
  ["the script's own exit status comes through", 'exit 3', 3],
  ['the first command that fails decides', 'false\ntrue', 1],
  ['a failure inside a pipe counts', '(exit 5) | cat', 5],
  ['an unknown command is 127', 'no-such-command-at-all', 127],
  ['an unset variable is no failure', 'echo "$NOT_SET_ANYWHERE"', 0],
];

for (const [title, commands, expected] of exitCodes) {
  test(`frame: ${title}`, () => {
    assert.equal(runBash(frame(commands)).status, expected);
  });
}

test('frame: the commands find nothing on standard input', () => {
  assert.equal(runBash(frame('if read -r line; then exit 9; fi')).status, 0);
});

test('quote: any text survives bash', () => {
  fc.assert(
    fc.property(text, (value) => {
      assert.equal(runBash(`printf '%s' ${quote(value)}`).stdout, value);
    }),
    { numRuns: 50 },
  );
});

test('any variable value survives the frame and the exports', () => {
  fc.assert(
    fc.property(text, (value) => {
      const script = scriptOf('build_script', {
        variables: [{ key: 'VALUE', value }],
        script: ['printf "[%s]" "$VALUE"'],
      });
      runBash(scriptOf('get_sources', {}));
      assert.ok(runBash(script).stdout.endsWith(`[${value}]`));
    }),
    { numRuns: 30 },
  );
});

test('a variable of 100 KiB survives', () => {
  const value = "quote ' and \\ and $dollar\n".repeat(4000);
  runBash(scriptOf('get_sources', {}));
  const { stdout } = runBash(
    scriptOf('build_script', { variables: [{ key: 'BIG', value }], script: ['printf %s "$BIG" | wc -c'] }),
  );
  assert.match(stdout, new RegExp(`^${value.length}$`, 'm'));
});

test('a file variable becomes a file whose path is exported, and goes with the last stage', () => {
  const variables = [variable({ key: 'MY_FILE', value: "it's\n", file: true })];
  runBash(scriptOf('get_sources', { variables }));
  const { stdout } = runBash(scriptOf('build_script', { variables, script: ['echo "$MY_FILE"; cat "$MY_FILE"'] }));
  assert.match(stdout, /hello\.tmp\/MY_FILE\nit's\n/);
  runBash(scriptOf('cleanup_file_variables', { variables }));
  assert.throws(() => readFileSync(join(directory, 'builds/demo/hello.tmp/MY_FILE')));
});

test('a later entry of a name wins', () => {
  const variables = [variable({ key: 'TWICE', value: 'first' }), variable({ key: 'TWICE', value: 'second' })];
  runBash(scriptOf('get_sources', {}));
  assert.match(runBash(scriptOf('build_script', { variables, script: ['echo "=$TWICE"'] })).stdout, /^=second$/m);
});

test('what a stage writes to GITLAB_ENV is exported in the next one', () => {
  runBash(scriptOf('get_sources', {}));
  runBash(scriptOf('build_script', { script: ['echo "HANDED=on" >> "$GITLAB_ENV"'] }));
  assert.match(runBash(scriptOf('after_script', { afterScript: ['echo "=$HANDED"'] })).stdout, /^=on$/m);
});

test('commands run in the project directory and are shown before they run', () => {
  runBash(scriptOf('get_sources', {}));
  const { stdout } = runBash(scriptOf('build_script', { script: ['pwd', 'echo a\necho b'] }));
  assert.match(stdout, /^\$ pwd\n.*\/builds\/demo\/hello\n\$ echo a # collapsed multi-line command\na\nb\n$/);
});

test('with GIT_STRATEGY none the project directory is made and nothing is fetched', () => {
  rmSync(join(directory, 'builds'), { recursive: true, force: true });
  const { status, stdout } = runBash(scriptOf('get_sources', {}));
  assert.equal(status, 0);
  assert.match(stdout, /Skipping Git repository setup/);
  assert.ok(statSync(join(directory, 'builds/demo/hello')).isDirectory());
});

test('a stage of an unknown name is a script that does nothing and succeeds', () => {
  runBash(scriptOf('get_sources', {}));
  assert.equal(runBash(scriptOf('step_of_the_future', {})).status, 0);
});

test('a TERM signal ends the script with 1', async () => {
  const path = join(directory, 'slow');
  writeFileSync(path, frame('kill -TERM $$; kill -TERM $BASHPID; sleep 60'));
  assert.equal(spawnSync('bash', [path]).status, 1);
});
