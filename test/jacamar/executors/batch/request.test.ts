// Typed keys are what they seem to be, or refused with what should have been written.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JobError } from '../../../../src/contract/errors.ts';
import { readRequest } from '../../../../src/jacamar/executors/batch/request.ts';

const TAKEN: Readonly<Record<string, readonly [key: string, values: Readonly<Record<string, unknown>>]>> = {
  SCHEDULER_NODES: ['nodes', { '1': 1, '1000000': 1_000_000 }],
  SCHEDULER_TASKS: ['tasks', { '8': 8 }],
  SCHEDULER_CPUS_PER_TASK: ['cpusPerTask', { '4': 4 }],
  SCHEDULER_GPUS: ['gpus', { ' 2 ': 2 }],
  SCHEDULER_MEMORY: ['memory', { '512M': 512 * 1024 ** 2, '1.5GiB': 1.5 * 1024 ** 3, '2 tb': 2 * 1024 ** 4 }],
  SCHEDULER_TIME: [
    'time',
    { '90m': 5400, '1h30m': 5400, '1:30:00': 5400, '01:30:01': 5401, '2-00:00:00': 172_800, '1500ms': 2 },
  ],
  SCHEDULER_PARTITION: ['partition', { ci: 'ci', 'a,b': 'a,b', 'q@server': 'q@server' }],
  SCHEDULER_ACCOUNT: ['account', { 'proj-1.x': 'proj-1.x' }],
  SCHEDULER_QOS: ['qos', { high: 'high' }],
  SCHEDULER_CONSTRAINT: ['constraint', { 'a&b': 'a&b', '[a|b]*2': '[a|b]*2', '!gpu': '!gpu' }],
  SCHEDULER_RESERVATION: ['reservation', { r_1: 'r_1' }],
  SCHEDULER_EXCLUSIVE: ['exclusive', { true: true, YES: true, '1': true, false: false, no: false, '0': false }],
};

const REFUSED: Readonly<Record<string, readonly string[]>> = {
  SCHEDULER_NODES: ['0', '-1', '1.5', '1-4', 'two', '1000001', '0x2', '1e3', '2 3'],
  SCHEDULER_TASKS: ['0'],
  SCHEDULER_CPUS_PER_TASK: ['0'],
  SCHEDULER_GPUS: ['a100:2'],
  SCHEDULER_MEMORY: ['4096', '0', '0G', 'G', '4 G B', '-1G', '1e3M'],
  SCHEDULER_TIME: ['90', '30:00', '0', '0s', '00:00:00', '1d', '-1h', '9000h', '1:2:3:4', 'UNLIMITED'],
  SCHEDULER_PARTITION: ['-p', 'a b', '--wait', 'a;b', 'a$b', ',a', 'ä', 'x'.repeat(257)],
  SCHEDULER_ACCOUNT: ['-A'],
  SCHEDULER_QOS: ['a\nb'],
  SCHEDULER_CONSTRAINT: ['a b', '-C', 'a;b'],
  SCHEDULER_RESERVATION: ['`id`'],
  SCHEDULER_EXCLUSIVE: ['user', 'maybe'],
};

describe('a typed key', () => {
  for (const [variable, [key, values]] of Object.entries(TAKEN)) {
    for (const [text, value] of Object.entries(values)) {
      it(`${variable} takes ${JSON.stringify(text)}`, () => {
        assert.deepEqual(readRequest({ [variable]: text }), { [key]: value });
      });
    }
    it(`${variable} that is empty is not set`, () => {
      assert.deepEqual(readRequest({ [variable]: '' }), {});
      assert.deepEqual(readRequest({ [variable]: ' ' }), {});
    });
  }

  for (const [variable, texts] of Object.entries(REFUSED)) {
    for (const text of texts) {
      it(`${variable} refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
        assert.throws(
          () => readRequest({ [variable]: text }),
          (error) =>
            error instanceof JobError && error.code === 'ERR_SCHEDULER_VALUE' && error.message.includes(variable),
        );
      });
    }
  }

  it('is told with all others that are wrong', () => {
    assert.throws(
      () => readRequest({ SCHEDULER_NODES: '0', SCHEDULER_TIME: '5', SCHEDULER_QOS: 'high' }),
      (error: Error) => error.message.split('\n').length === 2,
    );
  });
});
