// Who has the last word on what a submission asks for, and what no job may ask for. With the options of Slurm.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfiguration } from '../../../../src/contract/config.ts';
import { RESOURCE_VARIABLES } from '../../../../src/contract/environment.ts';
import { ConfigurationError, JobError } from '../../../../src/contract/errors.ts';
import { encodeReport, REPORT_LIMIT, settingsOf } from '../../../../src/contract/handoff.ts';
import type { Scheduler } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { submissionArguments } from '../../../../src/jacamar/executors/batch/submission-arguments.ts';
import { flux } from '../../../../src/jacamar/executors/flux.ts';
import { pbs } from '../../../../src/jacamar/executors/pbs.ts';
import { slurm } from '../../../../src/jacamar/executors/slurm.ts';

const GENERAL = '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n';

function compose(batch: string, variables: Record<string, string>, scheduler: Scheduler = slurm) {
  const { batch: settings } = settingsOf(parseConfiguration(`${GENERAL}[batch]\n${batch}`, 'custom.toml'), {});
  return submissionArguments(scheduler, settings, variables);
}

const words = (batch: string, variables: Record<string, string>) => compose(batch, variables).words;
const refuses = (batch: string, variables: Record<string, string>, code = 'ERR_ARGUMENT_NOT_ALLOWED') =>
  assert.throws(
    () => compose(batch, variables),
    (error) => error instanceof JobError && error.code === code,
  );

describe('the arguments of a submission', () => {
  it('are none where nobody asks for anything', () => assert.deepEqual(words('', {}), []));

  it('come from the line of the job and from its typed keys', () => {
    const variables = { SCHEDULER_PARAMETERS: '-n4 --comment="two words"', SCHEDULER_TIME: '10m' };
    assert.deepEqual(words('', variables), ['--ntasks=4', '--comment=two words', '--time=10']);
  });

  it('come from a variable of the site, when the job has set it', () => {
    const batch = 'arguments_variable = ["SITE_PARAMETERS"]';
    assert.deepEqual(words(batch, { SITE_PARAMETERS: '-n1', SCHEDULER_PARAMETERS: '-n2' }), ['--ntasks=1']);
  });

  it('have those of the site in front', () => {
    const batch = 'default_args = ["--comment=ci", "--new-option", "x", "--licenses=a"]';
    assert.deepEqual(words(batch, { SCHEDULER_PARAMETERS: '-n1' }), [
      '--comment=ci',
      '--new-option',
      'x',
      '--licenses=a',
      '--ntasks=1',
    ]);
  });
});

describe('what can be said in another way than by the option for it', () => {
  const LISTS = '[batch.allow]\naccount = ["one"]\npartition = ["debug"]';
  const ways: readonly (readonly [Scheduler, readonly string[]])[] = [
    [flux, ['bank=two', 'system.bank=two', 'attributes.system.queue=big', '.attributes.system.queue=big', '^bank=/f']],
    [flux, ['system={"queue":"big"}', 'attributes={}', 'attributes.system={}', 'job.name=x', 'system.cwd=/tmp']],
    [pbs, ['Account_Name=two', 'depend=afterok:1,account_name=two', 'project=x', 'Output_Path=/tmp/x', 'Rerunable=y']],
  ];
  for (const [scheduler, values] of ways) {
    const option = scheduler === flux ? '--setattr' : '-W';
    for (const value of values) {
      it(`is refused: ${scheduler.title} ${option} ${value}`, () => {
        const variables = { SCHEDULER_PARAMETERS: `${option} '${value}'` };
        const isRefused = (error: unknown) => error instanceof JobError && error.code === 'ERR_ARGUMENT';
        assert.throws(() => compose(LISTS, variables, scheduler), isRefused);
      });
    }
  }

  it('is taken where it says something else', () => {
    const setting = { SCHEDULER_PARAMETERS: '-S user.note=1 --setattr=system.batch.x=2 -S jobs=1' };
    assert.equal(compose(LISTS, setting, flux).words.length, 3);
    assert.equal(compose(LISTS, { SCHEDULER_PARAMETERS: '-W group_list=g,depend=afterok:1' }, pbs).words.length, 2);
  });
});

describe('nonsense, however long', () => {
  const lines = {
    'many words': 'a '.repeat(8_000),
    'many options': '--x '.repeat(4_000),
    'control characters': `${'\u0001'.repeat(1_000)} `.repeat(16),
    'more than any command takes': `--comment=${'x'.repeat(200_000)}`,
    'letters without end': `-${'v'.repeat(120_000)}`,
    'a bundle with a wrong end': `-${'Ov'.repeat(8_000)}Z`,
  };
  for (const [name, line] of Object.entries(lines)) {
    it(`is told as a fault of the job in a report of ordinary size: ${name}`, () => {
      assert.throws(
        () => compose('', { SCHEDULER_PARAMETERS: line }),
        ({ message, publicMessage, fault }: JobError) => {
          const report = { outcome: 'failed', fault: 'user', code: 'ERR_ARGUMENT', message, publicMessage } as const;
          return fault === 'user' && Buffer.byteLength(encodeReport(report)) < REPORT_LIMIT;
        },
      );
    });
  }

  it('in typed keys is told so, too', () => {
    const variables = Object.fromEntries(
      Object.values(RESOURCE_VARIABLES).map((name) => [name, '\u0001'.repeat(5_000)]),
    );
    assert.throws(
      () => compose('', variables),
      ({ message }: JobError) => message.length * 4 < REPORT_LIMIT,
    );
  });

  it('makes no job log without end', () => {
    const { notices } = compose('', { SCHEDULER_PARAMETERS: `-${'H'.repeat(16_000)}` });
    assert.ok(notices.join('').length < 4_000_000);
  });
});

describe('of two that ask for the same', () => {
  it('the typed key counts, and the user is told', () => {
    const variables = {
      SCHEDULER_PARAMETERS: '-N 4 --mem-per-cpu=1G -n 8',
      SCHEDULER_NODES: '2',
      SCHEDULER_MEMORY: '2G',
    };
    const { words, notices } = compose('', variables);
    assert.deepEqual(words, ['--ntasks=8', '--nodes=2', '--mem=2048M']);
    assert.deepEqual(notices, [
      '-N 4 (in SCHEDULER_PARAMETERS) has no effect: SCHEDULER_NODES takes its place.',
      '--mem-per-cpu=1G (in SCHEDULER_PARAMETERS) has no effect: SCHEDULER_MEMORY takes its place.',
    ]);
  });

  it('the one of the job counts, not that of the site', () => {
    const batch = 'default_args = ["-p", "long", "-t", "60"]\n[batch.defaults]\npartition = "other"\nnodes = 3';
    assert.deepEqual(words(batch, { SCHEDULER_PARAMETERS: '-pci' }), ['--time=60', '--partition=ci', '--nodes=3']);
    assert.deepEqual(words(batch, { SCHEDULER_PARTITION: 'ci' }), ['--time=60', '--nodes=3', '--partition=ci']);
    assert.deepEqual(words(batch, {}), ['--partition=long', '--time=60', '--nodes=3']);
  });

  it('a typed "no" takes away what others ask for', () => {
    const batch = 'default_args = ["--exclusive"]\n[batch.defaults]\nexclusive = true';
    assert.deepEqual(words(batch, { SCHEDULER_EXCLUSIVE: 'false', SCHEDULER_PARAMETERS: '--exclusive=user' }), []);
    assert.deepEqual(words('[batch.defaults]\nexclusive = true', {}), ['--exclusive']);
  });

  it('both stay when they are of one line, for the scheduler to decide', () => {
    assert.deepEqual(words('', { SCHEDULER_PARAMETERS: '-t 1 -t 2' }), ['--time=1', '--time=2']);
  });
});

describe('the defaults of the site', () => {
  it('fill in what nobody asks for', () => {
    const batch = `[batch.defaults]
      nodes = 1
      tasks = 2
      cpus_per_task = 3
      gpus = 4
      memory = "5G"
      time = "90s"
      partition = "ci"
      account = "a"
      qos = "q"
      constraint = "c"
      reservation = "r"
      exclusive = false`;
    assert.deepEqual(words(batch, {}), [
      ...['--nodes=1', '--ntasks=2', '--cpus-per-task=3', '--gpus-per-node=4', '--mem=5120M', '--time=2'],
      ...['--partition=ci', '--account=a', '--qos=q', '--constraint=c', '--reservation=r'],
    ]);
  });

  it('that would break every job are told as a fault of the configuration', () => {
    for (const args of ['["--wait"]', '["script.sh"]', '["-a", "1-2"]', '["--comment", "x", "y"]']) {
      assert.throws(() => compose(`default_args = ${args}`, {}), ConfigurationError);
    }
  });
});

describe('a list of what jobs may name', () => {
  const batch = '[batch.allow]\npartition = ["ci", "long"]\naccount = ["a"]\nqos = ["q"]\nreservation = ["r"]';

  it('lets pass what is on it', () => {
    assert.deepEqual(words(batch, { SCHEDULER_PARAMETERS: '-p ci,long -A a', SCHEDULER_QOS: 'q' }), [
      '--partition=ci,long',
      '--account=a',
      '--qos=q',
    ]);
  });

  const others = [
    ...['-p gpu', '-pgpu', '--partition=gpu', '--partition gpu', '--part=gpu', '-p ci,gpu', '-p ci -p gpu', '-sp gpu'],
    ...[
      '-p ""',
      '-p ci,',
      '"-p" gpu',
      '-A b',
      '-q x',
      '--reservation=x',
      '-p gpu -p ci',
      "'--par'tition=gpu",
      '-p =ci',
    ],
  ];
  for (const line of others) {
    it(`holds for ${line}`, () => refuses(batch, { SCHEDULER_PARAMETERS: line }));
  }
  for (const name of ['PARTITION', 'ACCOUNT', 'QOS', 'RESERVATION']) {
    it(`holds for SCHEDULER_${name}`, () => refuses(batch, { [`SCHEDULER_${name}`]: 'other' }));
  }

  it('holds for what a typed key takes the place of, too', () => {
    refuses(batch, { SCHEDULER_PARAMETERS: '-p gpu', SCHEDULER_PARTITION: 'ci' });
  });

  it('keeps unknown options out whatever else is allowed', () => {
    refuses(`allow_illegal_args = true\n${batch}`, { SCHEDULER_PARAMETERS: '--new=1' }, 'ERR_ARGUMENT');
    assert.deepEqual(words('allow_illegal_args = true', { SCHEDULER_PARAMETERS: '--new=1' }), ['--new=1']);
  });

  it('says nothing on what a job does not name', () => assert.deepEqual(words(batch, {}), []));
});
