// The frame of every program: exit codes that never lie to the runner, whatever ends the program.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  AuthorizationError,
  ConfigurationError,
  JobError,
  ScriptFailure,
  SystemFailure,
} from '../../src/contract/errors.ts';
import { exitCodeFor, exitCodesFrom, recordBuildExitCode, writeFully } from '../../src/contract/program.ts';
import { scratchDirectory } from '../support/scratch.ts';

const CODES = { buildFailure: 10, systemFailure: 20 };
const parts = { code: 'ERR_X', message: 'x' };

describe('exit codes', () => {
  const table: [title: string, error: unknown, code: number][] = [
    ['success', undefined, 0],
    ['a refusal', new AuthorizationError(parts), 10],
    ["a fault of the job's author", new JobError(parts), 10],
    ['a script that failed', new ScriptFailure(3, 'x'), 10],
    ['a script that ended with the code for system failures', new ScriptFailure(20, 'x'), 10],
    ['a fault of the site', new SystemFailure(parts), 20],
    ['a bad configuration', new ConfigurationError(parts), 20],
    ['an unforeseen error', new TypeError('x'), 20],
    ['something thrown that is no error', 'x', 20],
    ['null', null, 20],
    ['an object that looks like a refusal', { fault: 'refused' }, 20],
  ];
  for (const [title, error, code] of table)
    it(`for ${title} it is ${code}`, () => assert.equal(exitCodeFor(error, CODES), code));

  it('are those of the runner', () => {
    const environment = { BUILD_FAILURE_EXIT_CODE: '3', SYSTEM_FAILURE_EXIT_CODE: '255' };
    assert.deepEqual(exitCodesFrom(environment), { buildFailure: 3, systemFailure: 255 });
  });

  it('are 1 and 2 without a runner, and for values that no process can end with', () => {
    for (const value of [undefined, '', '0', '256', '999', '-1', '1.5', '0x1', ' 1', '1\n', 'x', '1000']) {
      const environment = { BUILD_FAILURE_EXIT_CODE: value, SYSTEM_FAILURE_EXIT_CODE: value };
      assert.deepEqual(exitCodesFrom(environment), { buildFailure: 1, systemFailure: 2 }, String(value));
    }
  });
});

describe("the file for the script's own exit code", () => {
  const record = (file: string | undefined, error?: unknown) =>
    recordBuildExitCode(error, { BUILD_EXIT_CODE_FILE: file });

  it('holds one number alone after a script failed', (context) => {
    const file = join(scratchDirectory(context), 'code');
    for (const code of [1, 2, 137, 255]) {
      record(file, new ScriptFailure(code, 'x'));
      assert.equal(readFileSync(file, 'utf8'), `${code}\n`);
    }
    assert.equal(statSync(file).mode & 0o7777, 0o600);
  });

  it('is gone after everything else', (context) => {
    const file = join(scratchDirectory(context), 'code');
    for (const error of [undefined, new JobError(parts), new SystemFailure(parts), new Error('x')]) {
      record(file, new ScriptFailure(1, 'x'));
      record(file, error);
      assert.equal(existsSync(file), false);
    }
  });

  it('is not written through a link, which it replaces', (context) => {
    const root = scratchDirectory(context);
    const [file, target] = [join(root, 'code'), join(root, 'target')];
    writeFileSync(target, 'untouched');
    symlinkSync(target, file);
    record(file, new ScriptFailure(7, 'x'));
    assert.ok(lstatSync(file).isFile());
    assert.equal(readFileSync(target, 'utf8'), 'untouched');
    symlinkSync(target, `${file}2`);
    record(`${file}2`);
    assert.equal(readFileSync(target, 'utf8'), 'untouched');
  });

  it('is not a directory, and nothing in one is removed', (context) => {
    const root = scratchDirectory(context);
    mkdirSync(join(root, 'code'));
    writeFileSync(join(root, 'code', 'keep'), '');
    assert.throws(() => record(join(root, 'code'), new ScriptFailure(7, 'x')));
    assert.ok(existsSync(join(root, 'code', 'keep')));
  });

  it('need not be asked for', () => {
    record(undefined, new ScriptFailure(7, 'x'));
    record('', new ScriptFailure(7, 'x'));
    record('relative', new ScriptFailure(7, 'x'));
    assert.equal(existsSync('relative'), false);
  });
});

const MODULE = new URL('../../src/contract/program.ts', import.meta.url).href;
const ENVIRONMENT = { PATH: '/usr/bin:/bin', BUILD_FAILURE_EXIT_CODE: '11', SYSTEM_FAILURE_EXIT_CODE: '22' };

/** A program of its own that says "ready", then does what `body` says; `main` gets argv, environment, stop. */
function start(body: string, report = 'undefined', environment: Record<string, string> = ENVIRONMENT) {
  const source = `
    const { runProgram } = await import(${JSON.stringify(MODULE)});
    const { writeSync } = await import('node:fs');
    runProgram(async (argv, environment, stop) => { writeSync(1, 'ready\\n'); ${body} }, ${report});`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, '--', 'program', 'one', 'two'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { child, ended: ended(child), ready: new Promise((resolve) => child.stdout.once('data', resolve)) };
}

function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text) => (texts[name] += text));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...texts })));
}

const outcome = async (body: string, report?: string, environment?: Record<string, string>) =>
  await start(body, report, environment).ended;
/** Ends when it is asked to; the interval keeps the program alive until then. */
const UNTIL_STOPPED =
  'await new Promise((resolve) => { const alive = setInterval(() => {}, 1000); stop.onabort = () => { clearInterval(alive); resolve(); }; });';

describe('a running program', { concurrency: 2 }, () => {
  it('ends with the code of its main function, and gets its arguments', async () => {
    const { code, stdout } = await outcome(`writeSync(1, argv.join() + ' ' + environment.PATH); return 7;`);
    assert.equal(code, 7);
    assert.match(stdout, /one,two \/usr\/bin:\/bin$/);
  });

  it('ends with 0 only when main said so', async () => {
    assert.equal((await outcome('return 0;')).code, 0);
  });

  const crashes: Record<string, string> = {
    'a main function that throws': `throw new TypeError('secret');`,
    'an exception nobody caught': `setTimeout(() => { throw new TypeError('secret'); }, 1); await new Promise(() => setInterval(() => {}, 1000));`,
    'a rejection nobody handled': `Promise.reject(new TypeError('secret')); await new Promise(() => setInterval(() => {}, 1000));`,
    'a thrown undefined': 'throw undefined;',
    'a thrown text': `throw 'secret';`,
  };
  for (const [title, body] of Object.entries(crashes)) {
    it(`${title} is a fault of the site, and the job log gets no details`, async () => {
      const { code, stdout, stderr } = await outcome(body);
      assert.equal(code, 22);
      assert.match(stderr, /^internal error \((TypeError|undefined|string)\); this is a fault of the CI software\n$/);
      assert.equal(stdout, 'ready\n');
    });
  }

  it('reports the details of a crash to whom it was told to', async () => {
    const { code, stderr } = await outcome(
      `throw new Error('details');`,
      `{ reportCrash: (error) => writeSync(2, 'report ' + error.message + ';') }`,
    );
    assert.equal(code, 22);
    assert.match(stderr, /report details;/);
  });

  it('that nothing keeps alive any more does not end as if all were well', async () => {
    const { code } = await outcome('await new Promise(() => {});');
    assert.notEqual(code, 0);
    assert.notEqual(code, 11);
  });

  it('uses the codes 1 and 2 without a runner', async () => {
    assert.equal((await outcome('throw new Error();', undefined, { PATH: '/usr/bin' })).code, 2);
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
    it(`is asked to end by ${signal}, and then never ends with 0`, async () => {
      const { child, ended, ready } = start(`${UNTIL_STOPPED} writeSync(1, String(stop.reason)); return 0;`);
      await ready;
      child.kill(signal);
      const { code, stdout } = await ended;
      assert.equal(code, 22);
      assert.equal(stdout, `ready\n${signal}`);
    });
  }

  it('keeps a code other than 0 after a signal', async () => {
    const { child, ended, ready } = start(`${UNTIL_STOPPED} return 11;`);
    await ready;
    child.kill('SIGTERM');
    assert.equal((await ended).code, 11);
  });

  it('goes on after signals that mean nothing to it', async () => {
    const { child, ended, ready } = start(`${UNTIL_STOPPED} return 5;`);
    await ready;
    for (const signal of ['SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU', 'SIGXFSZ', 'SIGPIPE'] as const)
      child.kill(signal);
    child.kill('SIGTERM');
    const { code, stdout } = await ended;
    assert.deepEqual([code, stdout], [5, 'ready\n']);
  });

  it('whose reader went away still ends with its own code', async () => {
    const { child, ended } = start(`
      const { tell } = await import(${JSON.stringify(MODULE)});
      for (let round = 0; round < 100; round += 1) tell('x'.repeat(10_000));
      return 5;`);
    child.stderr?.destroy();
    assert.equal((await ended).code, 5);
  });
});

describe('writing in full', () => {
  it('puts up with a pipe that is full for the moment', async () => {
    const source = `
      const { writeFully } = await import(${JSON.stringify(MODULE)});
      const { Socket } = await import('node:net');
      new Socket({ fd: 1, readable: false }); // makes the pipe non-blocking, as a runtime may
      writeFully(1, 'x'.repeat(1_000_000));
      process.exit(0);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { stdout } = await ended(child);
    assert.equal(stdout.length, 1_000_000);
  });

  it('throws what the kernel says', () => {
    assert.throws(() => writeFully(-1, 'x'));
  });
});
