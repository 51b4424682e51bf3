// Where log lines go, and that neither a bad place nor a full disk does more harm than it must.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { openLogSink } from '../../src/jacamar-auth/log-sink.ts';
import { scratchDirectory } from '../support/scratch.ts';

function fakeSyslog(failure?: Error) {
  const lines: [priority: number, text: string][] = [];
  const syslog = (priority: number, text: string) => {
    if (failure) throw failure;
    lines.push([priority, text]);
  };
  return { lines, syslog };
}

/** Writes lines that fit and lines that do not, as two stages; lines of x are told as one. */
function linesOfFullLog(place: string): string[] {
  const [log, fill] = [join(place, 'log'), join(place, 'fill')];
  const long = `${'x'.repeat(6_000)}\n`;
  const sink = openLogSink(log, fakeSyslog());
  writeFileSync(fill, Buffer.alloc(60 * 1024));
  for (const _ of [1, 2]) sink(long, 'info');
  truncateSync(fill, 0);
  sink('after\n', 'info');
  writeFileSync(fill, Buffer.alloc(56 * 1024));
  sink(long, 'info');
  truncateSync(fill, 0);
  for (const line of ['anew\n', 'again\n']) openLogSink(log, fakeSyslog())(line, 'info');
  return readFileSync(log, 'utf8').replace(/x+/g, 'x').split('\n');
}

const refused = { name: 'ConfigurationError', code: 'ERR_CONFIG_LOG_FILE' };

describe('syslog as the log', () => {
  it('gets each line with the priority of its level', () => {
    const log = fakeSyslog();
    const sink = openLogSink('syslog', log);
    for (const level of ['error', 'warn', 'info', 'debug'] as const) sink(`${level}\n`, level);
    assert.deepEqual(log.lines, [
      [3, 'error'],
      [4, 'warn'],
      [6, 'info'],
      [7, 'debug'],
    ]);
  });

  it('that is not there does not matter', () => {
    openLogSink('syslog', fakeSyslog(new Error('ENOENT')))('x\n', 'error');
  });
});

describe('a file as the log', () => {
  it('is made for its owner alone, and appended to', (context) => {
    const umask = process.umask(0);
    context.after(() => process.umask(umask));
    const file = join(scratchDirectory(context), 'log');
    openLogSink(file, fakeSyslog())('one\n', 'info');
    openLogSink(file, fakeSyslog())('two\n', 'info');
    assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\n');
    assert.equal(statSync(file).mode & 0o7777, 0o600);
  });

  it('keeps the mode that its administrator gave it', (context) => {
    const file = join(scratchDirectory(context), 'log');
    writeFileSync(file, '');
    chmodSync(file, 0o640);
    openLogSink(file, fakeSyslog())('one\n', 'info');
    assert.equal(statSync(file).mode & 0o7777, 0o640);
  });

  it('is a regular file of ours, in a directory that others cannot write to', (context) => {
    const root = scratchDirectory(context);
    const at = (name: string) => join(root, name);
    writeFileSync(at('target'), '');
    symlinkSync('target', at('link'));
    execFileSync('mkfifo', [at('fifo')]);
    mkdirSync(at('directory'));
    writeFileSync(at('foreign'), '');
    chownSync(at('foreign'), 65534, 0);
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o777);
    const bad = [
      at('link'),
      at('fifo'),
      at('directory'),
      at('foreign'),
      at('open/log'),
      at('missing/log'),
      '/dev/full',
      '/dev/null',
    ];
    for (const path of bad) assert.throws(() => openLogSink(path, fakeSyslog()), refused, path);
    assert.equal(readFileSync(at('target'), 'utf8'), '');
  });

  it('a FIFO whose reader waits is no log either', (context) => {
    const fifo = join(scratchDirectory(context), 'fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    context.after(() => closeSync(reader));
    assert.throws(() => openLogSink(fifo, fakeSyslog()), refused);
  });

  it('a second name of a file of ours, where others can make names, is no log', (context) => {
    const root = scratchDirectory(context);
    writeFileSync(join(root, 'precious'), '');
    linkSync(join(root, 'precious'), join(root, 'log'));
    openLogSink(join(root, 'log'), fakeSyslog());
    chmodSync(root, 0o1777);
    assert.throws(() => openLogSink(join(root, 'log'), fakeSyslog()), refused);
  });

  it('that was full for the end of a line goes on with a line of its own', (context) => {
    const place = scratchDirectory(context);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=755', 'jt_log', place]);
    try {
      assert.deepEqual(linesOfFullLog(place), ['x', 'after', 'x', 'anew', 'again', '']);
    } finally {
      execFileSync('umount', ['--lazy', place]);
    }
  });

  it('that cannot be written sends its lines to syslog, says so, and ends nothing', async (context) => {
    const file = join(scratchDirectory(context), 'log');
    const module = new URL('../../src/jacamar-auth/log-sink.ts', import.meta.url).href;
    const program = `
      process.on('SIGXFSZ', () => {});
      const { openLogSink } = await import(${JSON.stringify(module)});
      const syslog = (priority, text) => process.stdout.write(priority + ' ' + text + ';');
      const sink = openLogSink(${JSON.stringify(file)}, { syslog });
      sink('one\\n', 'warn');
      sink('two\\n', 'info');`;
    const limited = ['--fsize=0:0', process.execPath, '--input-type=module', '--eval', program];
    const { stdout, stderr } = await promisify(execFile)('prlimit', limited);
    assert.equal(stdout, '4 one;6 two;');
    assert.match(stderr, /log of this runner cannot be written \(EFBIG\)/);
    assert.ok(!stderr.includes(file));
  });
});
