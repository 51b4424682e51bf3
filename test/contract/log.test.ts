// The administrator's log: one JSON line per event with upstream's keys, whatever strings the events are about.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AuthorizationError, SystemFailure } from '../../src/contract/errors.ts';
import { createLog, errorDetails, type LogFields, type LogLevel, SILENT_LOG } from '../../src/contract/log.ts';
import { Secret } from '../../src/contract/secret.ts';

const FIELDS: LogFields = { job: 302, runner: 'abc', stage: 'run_exec', processID: 7, hostname: 'login1' };
const KEYS = ['time', 'level', 'msg', 'job', 'runner', 'stage', 'processID', 'hostname'];

function capture(level: LogLevel = 'debug', fields: LogFields = FIELDS) {
  const lines: [line: string, level: LogLevel][] = [];
  const log = createLog(level, fields, (line, lineLevel) => lines.push([line, lineLevel]));
  /** The last line, taken apart. */
  const last = () => JSON.parse(lines.at(-1)?.[0] ?? assert.fail('nothing was logged')) as Record<string, unknown>;
  return { log, lines, last };
}

function assertOneLine(line: string): void {
  assert.equal(line.indexOf('\n'), line.length - 1, 'not one line');
  assert.ok(!/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u.test(line.slice(0, -1)), JSON.stringify(line));
}

describe('a line of the log', () => {
  it('has these keys in this order, and no others', () => {
    const { log, last } = capture();
    log.info('hello');
    assert.deepEqual(Object.keys(last()), KEYS);
    const { time, ...rest } = last();
    assert.deepEqual(rest, { level: 'INFO', ...FIELDS, msg: 'hello' });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('has a name when the site has one, and details when there are some', () => {
    const { log, last } = capture('debug', { ...FIELDS, name: 'site' });
    log.warn('hello', { a: 1 });
    assert.deepEqual(Object.keys(last()), [...KEYS, 'name', 'details']);
    assert.deepEqual(last()['details'], { a: 1 });
  });

  it('tells its level to the sink, and is not made below the level of the log', () => {
    const levels = ['error', 'warn', 'info', 'debug'] as const;
    for (const [index, level] of levels.entries()) {
      const { log, lines } = capture(level);
      for (const write of levels) log[write]('x');
      assert.deepEqual(
        lines.map(([, written]) => written),
        levels.slice(0, index + 1),
      );
    }
  });

  it('is about what the log was told to describe, from then on', () => {
    const { log, lines, last } = capture();
    log.info('before');
    log.describe({ job: 303, runner: 'def' });
    log.info('after');
    assert.equal(JSON.parse(lines[0]?.[0] ?? '')['job'], 302);
    assert.deepEqual([last()['job'], last()['runner'], last()['hostname']], [303, 'def', 'login1']);
  });

  it('keeps foreign keys under one key, so that none can stand for ours', () => {
    const { log, last } = capture();
    const forged = {
      level: 'ERROR',
      time: 'x',
      msg: 'forged',
      job: 1,
      stage: 'x',
      hostname: 'x',
      pid: 1,
      err: 'x',
      name: 'x',
    };
    log.info('honest', forged);
    const { level, msg, job, details } = last();
    assert.deepEqual([level, msg, job], ['INFO', 'honest', 302]);
    assert.deepEqual(details, forged);
  });
});

describe('foreign text in a line', () => {
  it('is escaped and cut wherever it stands', () => {
    const evil = 'a\nb\r\u001b[2J\u009b\u0085\u2028\u202e\u061c\0"\\';
    const { log, lines, last } = capture();
    log.info(evil, { text: evil, [evil]: { deep: [evil, [evil]] }, long: 'x'.repeat(1_000_000) });
    assertOneLine(lines[0]?.[0] ?? '');
    const { msg, details } = last() as { msg: string; details: { text: string; long: string } };
    assert.equal(msg, 'a\\u000ab\\u000d\\u001b[2J\\u009b\\u0085\\u2028\\u202e\\u061c\\u0000"\\');
    assert.equal(details.text, msg);
    assert.ok(details.long.length < 1100 && details.long.endsWith('(1000000 characters)'));
  });

  it('of any kind makes one line of JSON', () => {
    const texts = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(texts, fc.dictionary(texts, fc.jsonValue({ stringUnit: 'binary' })), (message, details) => {
        const { log, lines, last } = capture();
        log.error(message, details);
        assert.equal(lines.length, 1);
        assertOneLine(lines[0]?.[0] ?? '');
        last();
      }),
    );
  });

  it('is escaped also in an object that has a member called toJSON', () => {
    const { log, lines } = capture();
    log.info('x', { foreign: { toJSON: 'no function', text: '\u009b'.repeat(3), long: 'y'.repeat(5000) } });
    assertOneLine(lines[0]?.[0] ?? '');
    assert.ok((lines[0]?.[0].length ?? 0) < 2500);
  });

  it('comes a hundred at a time', () => {
    const { log, last } = capture();
    log.info('x', { list: Array.from({ length: 10_000 }, (_, index) => index) });
    assert.equal((last()['details'] as { list: unknown[] }).list.length, 100);
  });

  it('that is a secret stays one', () => {
    const { log, lines } = capture();
    log.info('x', { token: new Secret('canary'), deep: { list: [new Secret('canary')] } });
    log.info(String(new Secret('canary')), errorDetails(new Error(`${new Secret('canary')}`)));
    assert.ok(!lines.some(([line]) => line.includes('canary')));
  });

  it('never keeps the log from being written', () => {
    const { log, lines } = capture();
    for (const value of [
      undefined,
      null,
      Number.NaN,
      1n,
      Symbol('x'),
      () => {},
      new Date(0),
      new Map([['a', 1]]),
      Buffer.from('x'),
      new Error('x'),
    ]) {
      log.info('x', { value });
    }
    assert.equal(lines.length, 10);
    for (const [line] of lines) JSON.parse(line);
  });
});

describe('the audit trail', () => {
  it('is written whatever level was chosen', () => {
    const { log, lines } = capture('error');
    log.warn('dropped');
    log.audit('info', 'allowed', { rule: 'x' });
    log.audit('warn', 'refused', { rule: 'y' });
    assert.deepEqual(
      lines.map(([line, level]) => [level, JSON.parse(line).msg, JSON.parse(line).details]),
      [
        ['info', 'allowed', { rule: 'x' }],
        ['warn', 'refused', { rule: 'y' }],
      ],
    );
  });
});

describe('an error in the log', () => {
  it('tells code, fault and causes, with what the kernel said', () => {
    const kernel = Object.assign(new Error('EACCES: no'), { code: 'EACCES', syscall: 'open', step: 'setgroups' });
    const middle = new SystemFailure({ code: 'ERR_MIDDLE', message: 'middle', cause: kernel });
    const details = errorDetails(new AuthorizationError({ code: 'ERR_OUTER', message: 'outer', cause: middle }));
    const { stack, ...innermost } = (details['cause'] as { cause: Record<string, unknown> }).cause;
    assert.deepEqual(innermost, { error: 'EACCES: no', code: 'EACCES', syscall: 'open', step: 'setgroups' });
    assert.equal(typeof stack, 'string');
    assert.equal(details['code'], 'ERR_OUTER');
    assert.equal(details['fault'], 'refused');
    assert.equal('stack' in details, false);
  });

  it('may be something that is no error', () => {
    for (const thrown of ['text', undefined, null, 7, {}])
      assert.deepEqual(errorDetails(thrown), { error: String(thrown) });
  });
});

describe('the silent log', () => {
  it('says nothing', () => {
    for (const level of ['error', 'warn', 'info', 'debug'] as const) SILENT_LOG[level]('x', {});
    SILENT_LOG.describe({ job: 1 });
  });
});
