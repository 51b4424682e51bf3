// What the two programs tell each other survives the way, and nothing else counts as said.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfiguration } from '../../src/contract/config.ts';
import {
  decodeGreeting,
  decodeHandoff,
  decodeReport,
  encodeGreeting,
  encodeHandoff,
  encodeReport,
  frame,
  GREETING_MARK,
  type HandoffContent,
  REPORT_LIMIT,
  settingsOf,
  unframer,
} from '../../src/contract/handoff.ts';

const CONTENT: HandoffContent = {
  stage: 'run',
  runStage: 'build_script',
  job: {
    id: 302,
    server: 'https://g',
    projectPath: 'a/b',
    runner: 'r',
    concurrent: 0,
    timeoutSeconds: 3600,
    startedAt: 7,
  },
  account: { name: 'alice', home: '/home/alice', shell: '/bin/bash' },
  runnerProcess: { pid: 7, startTime: '123' },
  base: '/home/alice/.jacamar-ci',
  slot: 0,
  settings: {
    executor: 'shell',
    userBashEnv: ['A=1\nB=2'],
    retainLogs: false,
    limitBuildDir: false,
    staticBuildsDir: false,
    staticMinDays: 7,
    groupPermissions: false,
    sharedParents: false,
    maxBuildDir: 0,
    uncapBuildDirCleanup: false,
    fileLockDebug: false,
    killTimeoutMs: 30_000,
    keepProcesses: false,
    setStackSize: false,
    freeSpaceWarning: 1024 ** 3,
    freeSpaceRequired: 0,
    jobMessage: 'line one\nline two\u2028\u0000',
    batch: {
      argumentsVariable: ['SITE_PARAMETERS'],
      commandDelayMs: 30_000,
      nfsTimeoutMs: 30_000,
      envVars: ['SLURM_CONF=/etc/slurm.conf'],
      allowIllegalArgs: false,
      defaultArgs: [],
      disableNamePrefix: false,
      pollIntervalMinMs: 5_000,
      pollIntervalMaxMs: 60_000,
      budget: 'warn',
      outputLimitKib: 4096,
      skipCobaltLog: false,
      allow: { partition: ['ci'] },
      defaults: { nodes: 1, exclusive: false },
    },
  },
  variables: { JACAMAR_NO_BASH_PROFILE: '1' },
};

describe('a handoff', () => {
  it('arrives as it was sent, with any script whatever', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (script) => {
        const { handoff, script: arrived } = decodeHandoff(encodeHandoff(CONTENT, script));
        assert.deepEqual(handoff, { protocol: 1, ...CONTENT });
        assert.deepEqual(Buffer.from(arrived), Buffer.from(script));
      }),
    );
  });

  it('may be without script, slot and run stage', () => {
    const { slot: _, runStage: __, ...content } = CONTENT;
    const { handoff, script } = decodeHandoff(encodeHandoff({ ...content, stage: 'config' }));
    assert.equal(script.length, 0);
    assert.equal(handoff.slot, undefined);
  });

  it('is the first line, whatever text its members hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const sent = { ...CONTENT, base: text, variables: { X: text } };
        assert.deepEqual(decodeHandoff(encodeHandoff(sent, Buffer.from('\n{}\n'))).handoff.variables, { X: text });
      }),
    );
  });

  it('of another protocol, with unknown or missing members, or of other types is none', () => {
    const change = (changes: object) => Buffer.from(`${JSON.stringify({ protocol: 1, ...CONTENT, ...changes })}\n`);
    const bad = [
      { protocol: 2 },
      { protocol: '1' },
      { extra: 1 },
      { stage: 'login' },
      { job: undefined },
      { job: { ...CONTENT.job, id: -1 } },
      { job: { ...CONTENT.job, id: '302' } },
      { slot: -1 },
      { slot: 0.5 },
      { base: 7 },
      { variables: { X: 1 } },
      { settings: { ...CONTENT.settings, more: true } },
      { settings: { ...CONTENT.settings, batch: undefined } },
      { settings: { ...CONTENT.settings, batch: { ...CONTENT.settings.batch, allow: { more: [] } } } },
      { runnerProcess: { pid: 1 } },
    ];
    decodeHandoff(change({}));
    for (const changes of bad) assert.throws(() => decodeHandoff(change(changes)), JSON.stringify(changes));
  });

  it('that was cut, or is something else, is none', () => {
    const whole = encodeHandoff(CONTENT);
    for (let length = 0; length < whole.length; length += 17)
      assert.throws(() => decodeHandoff(whole.subarray(0, length)));
    for (const text of ['', '\n', '{}\n', '[]\n', 'null\n', '#!/bin/bash\n'])
      assert.throws(() => decodeHandoff(Buffer.from(text)));
  });
});

describe('what jacamar gets of the configuration', () => {
  const general = '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n';

  it('holds the batch settings of the site, with its lists and defaults', () => {
    const file = `${general}[batch]
      arguments_variable = ["SITE_PARAMETERS"]
      max_pending = "2h"
      output_limit = 100
      [batch.allow]
      partition = ["ci"]
      [batch.defaults]
      time = "90m"
      memory = "2G"
      exclusive = true`;
    const sent = { ...CONTENT, settings: settingsOf(parseConfiguration(file, 'f'), {}) };
    const { batch } = decodeHandoff(encodeHandoff(sent)).handoff.settings;
    assert.deepEqual(
      [batch.argumentsVariable, batch.maxPendingMs, batch.outputLimitKib, batch.budget],
      [['SITE_PARAMETERS'], 7_200_000, 100, 'off'],
    );
    assert.deepEqual(batch.allow, { partition: ['ci'] });
    assert.deepEqual(batch.defaults, { timeMs: 5_400_000, memory: 2 * 1024 ** 3, exclusive: true });
  });

  it('holds nothing of [auth]', () => {
    const file = `${general}[auth]\ndownscope = "setuid"\nuser_allowlist = ["alice"]\n[auth.runas]\nvalidation_script = "/secret"\n`;
    assert.doesNotMatch(JSON.stringify(settingsOf(parseConfiguration(file, 'f'), {})), /alice|secret|setuid/);
  });
});

describe('a report', () => {
  const FAILED = { outcome: 'failed', fault: 'user', code: 'ERR_X', message: 'm', publicMessage: 'p' } as const;

  it('arrives as it was sent', () => {
    const reports = [
      { outcome: 'succeeded' },
      { outcome: 'succeeded', slot: 3 },
      FAILED,
      { ...FAILED, fault: 'site', exitCode: 255 },
    ] as const;
    for (const report of reports) assert.deepEqual(decodeReport(Buffer.from(encodeReport(report))), report);
  });

  it('that grants, claims or forges anything more is none', () => {
    const bad = [
      null,
      [],
      {},
      'succeeded',
      { outcome: 'allowed' },
      { outcome: 'succeeded', slot: -1 },
      { outcome: 'succeeded', slot: '1' },
      { outcome: 'succeeded', uid: 0 },
      { ...FAILED, fault: 'refused' },
      { ...FAILED, code: 'X' },
      { ...FAILED, code: 'ERR_x' },
      { ...FAILED, code: 'ERR_A\n' },
      { ...FAILED, code: `ERR_${'A'.repeat(61)}` },
      { ...FAILED, exitCode: 0 },
      { ...FAILED, exitCode: 256 },
      { ...FAILED, exitCode: 1.5 },
      { ...FAILED, exitCode: '1' },
      { ...FAILED, message: undefined },
      { ...FAILED, extra: 1 },
      JSON.parse('{"outcome":"succeeded","__proto__":{"slot":1}}'),
    ];
    for (const report of bad)
      assert.equal(decodeReport(Buffer.from(JSON.stringify(report))), undefined, JSON.stringify(report));
  });

  it('is one whole document: bytes before, after or missing make it none', () => {
    const good = encodeReport({ outcome: 'succeeded' });
    for (const text of ['', `x${good}`, `${good}x`, `${good}${good}`, good.slice(0, -1), `${good}\0`]) {
      assert.equal(decodeReport(Buffer.from(text)), undefined);
    }
    fc.assert(fc.property(fc.uint8Array(), (bytes) => decodeReport(Buffer.from(bytes)) === undefined));
  });
});

describe('a report with an endless text', () => {
  it('is cut to what can be one, whatever the text is made of', () => {
    for (const character of ['x', '\\\\', '\u0001', '\u2028', '€', '\ud800']) {
      const text = character.repeat(200_000);
      const report = { outcome: 'failed', fault: 'user', code: 'ERR_X', message: text, publicMessage: text } as const;
      const bytes = Buffer.from(encodeReport(report));
      assert.ok(bytes.length < REPORT_LIMIT, `${bytes.length}`);
      const read = decodeReport(bytes);
      assert.ok(read?.outcome === 'failed' && read.message.startsWith(character.repeat(100)));
    }
  });
});

describe('the frame of a handoff', () => {
  it('comes apart at the same places however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 30 }),
        fc.array(fc.nat(340)),
        (handoff, rest, cuts) => {
          const sent = Buffer.concat([frame(handoff), rest]);
          const places = [0, ...cuts.toSorted((one, other) => one - other), sent.length];
          const chunks = places.slice(1).map((end, index) => sent.subarray(places[index], end));
          const take = unframer();
          const answers = chunks.map((chunk) => take(chunk));
          const whole = answers.find((answer) => answer !== undefined);
          assert.deepEqual(Buffer.from(whole?.handoff ?? []), Buffer.from(handoff));
          const later = chunks.slice(answers.indexOf(whole) + 1);
          assert.deepEqual(Buffer.concat([whole?.rest ?? Buffer.of(), ...later]), Buffer.from(rest));
        },
      ),
    );
  });

  it('without a length is none', () => {
    for (const text of ['\n{}', 'x\n{}', '-1\n', '99999999999999999\n', '#!/bin/bash and more of it']) {
      assert.throws(() => unframer()(Buffer.from(text)));
    }
  });
});

describe('the greeting', () => {
  it('is read back from the line behind its mark', () => {
    const greeting = { pid: 4711, uid: 1001 };
    const line = encodeGreeting(greeting);
    assert.ok(line.startsWith(GREETING_MARK) && line.endsWith('\n'));
    assert.deepEqual(decodeGreeting(line.slice(GREETING_MARK.length)), greeting);
  });

  for (const line of [
    '',
    '{}',
    '{"pid":1,"uid":"0"}',
    '{"pid":1,"uid":-1}',
    '{"pid":1,"uid":0,"more":1}',
    'null',
    'x',
  ]) {
    it(`is not taken from ${JSON.stringify(line)}`, () => assert.equal(decodeGreeting(line), undefined));
  }
});
