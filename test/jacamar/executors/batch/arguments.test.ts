// Arguments of the user are read as sbatch reads them, and what would break a CI job is refused by name. The options
// are Slurm's, each row of the table of harmful arguments.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JobError } from '../../../../src/contract/errors.ts';
import { checkArguments, chooseArguments, type Strictness } from '../../../../src/jacamar/executors/batch/arguments.ts';
import type { Grammar } from '../../../../src/jacamar/executors/batch/scheduler.ts';
import { SLURM_GRAMMAR } from '../../../../src/jacamar/executors/slurm/options.ts';

const STRICT: Strictness = { source: 'SCHEDULER_PARAMETERS', allowIllegal: false, hasAllowLists: false };
const LOOSE: Strictness = { ...STRICT, allowIllegal: true };

function check(line: string, strictness: Strictness = STRICT, grammar: Grammar = SLURM_GRAMMAR) {
  const { taken, notices } = checkArguments(line === '' ? [] : line.split(' '), grammar, strictness);
  return { words: taken.flatMap(({ words }) => words), notices, taken };
}

function refusal(line: string, strictness: Strictness = STRICT, grammar: Grammar = SLURM_GRAMMAR): string {
  try {
    check(line, strictness, grammar);
  } catch (error) {
    assert.ok(error instanceof JobError && error.code === 'ERR_ARGUMENT', String(error));
    return error.publicMessage;
  }
  return assert.fail(`${line} was taken`);
}

describe('arguments that are taken', () => {
  const taken: readonly (readonly [string, readonly string[]])[] = [
    ['', []],
    ['--nodes=2 --partition=power9', ['--nodes=2', '--partition=power9']],
    ['-Aacct -N2 --cpus-per-task 1', ['--account=acct', '--nodes=2', '--cpus-per-task=1']],
    ['-t 0:20', ['--time=0:20']],
    ['--part=a', ['--partition=a']],
    ['--exclusive', ['--exclusive']],
    ['--exclusive=user', ['--exclusive=user']],
    ['-sOp a', ['--oversubscribe', '--overcommit', '--partition=a']],
    ['-sn4', ['--oversubscribe', '--ntasks=4']],
    ['-p --output=x', ['--partition=--output=x']],
    ['--comment=-o', ['--comment=-o']],
    ['--signal=B:USR1@60 --licenses=a', ['--signal=B:USR1@60', '--licenses=a']],
    ['--reservation=r -C a&b -q high', ['--reservation=r', '--constraint=a&b', '--qos=high']],
  ];
  for (const [line, words] of taken) {
    it(`${line || '(none)'} goes to sbatch as ${words.join(' ') || '(none)'}`, () => {
      assert.deepEqual(check(line).words, words);
      assert.deepEqual(check(line).notices, []);
    });
  }

  for (const line of ['-H', '--hold', '--begin=now+1hour', '-d afterok:7', '--deadline=16:00']) {
    it(`${line} is taken, and said to make the job wait`, () => {
      assert.equal(check(line).words.length, 1);
      assert.equal(check(line).notices.length, 1);
    });
  }

  it('say what they ask for, whatever they are called', () => {
    const means = check('-pA --partition=B --part C -Gx --mem-per-cpu=1').taken.map(({ means, value }) => [
      means,
      value,
    ]);
    assert.deepEqual(means, [
      ['partition', 'A'],
      ['partition', 'B'],
      ['partition', 'C'],
      ['gpus', 'x'],
      ['memory', '1'],
    ]);
  });

  it('reach sbatch in words that can be read in one way only', () => {
    const names = SLURM_GRAMMAR.options.filter(({ rule }) => rule === 'allow');
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.stringMatching(/^[^\s]+$/), ({ names: [name = ''], takes }, value) => {
        const line = takes === 'value' ? `${name} ${value}` : takes === 'optional' ? `${name}=${value}` : name;
        const [word = '', ...more] = check(line.startsWith('--') || takes !== 'optional' ? line : name).words;
        assert.deepEqual(more, []);
        assert.match(word, takes === 'nothing' ? /^--[a-z-]+$/ : /^--[a-z-]+(?:=|$)/);
      }),
    );
  });
});

describe('arguments of which ours win', () => {
  const lines = [
    ...['-o x', '-ox', '--output=x', '--outp=x', '--output x', '--open-mode=append'],
    ...['-J x', '--job-name=x', '--jo x', '--parsable', '--requeue', '--no-requeue', '--kill-on-invalid-dep=no'],
    ...['-D /x', '--chdir=/x', '--export=NONE', '--export-file=f', '--get-user-env', '--get-user-env=10L'],
  ];
  for (const line of lines) {
    it(`${line} is left out, and the user is told`, () => {
      const { words, notices } = check(`${line} -N 2`);
      assert.deepEqual(words, ['--nodes=2']);
      assert.equal(notices.length, 1);
      assert.ok(notices[0]?.startsWith(line) && notices[0].includes('SCHEDULER_PARAMETERS'));
    });
  }
});

describe('arguments that would break the job', () => {
  const lines = [
    ...['-e x', '--error=x', '--err x', '-i x', '--input=x', '-W', '--wait', '-a 0-2', '--array=0-2', '--arr=0-1'],
    ...[
      '--test-only',
      '--test',
      '-h',
      '--help',
      '-u',
      '--usage',
      '-V',
      '--version',
      '--vers',
      '-Q',
      '--quiet',
      '--qui',
    ],
    ...['-M all', '--clusters=x', '--cluster=x', '--cluster-constraint=x', '--wrap=id', '--wr=id', '--bb=x', '--bbf=x'],
    ...['-k', '--no-kill', '--uid=0', '--gid=0', '--container=x'],
  ];
  for (const line of lines) {
    it(`${line} is refused by name`, () => {
      const text = refusal(`-N 2 ${line}`);
      assert.ok(text.startsWith(`${line} (in SCHEDULER_PARAMETERS) is not possible: `), text);
      assert.equal(text.split('\n').length, 1);
    });

    it(`${line} is taken with a warning where the site allows that`, () => {
      const { words, notices } = check(line, LOOSE);
      assert.equal(words.length, 1);
      assert.equal(notices.length, 1);
    });
  }

  it('are found in bundles', () => {
    for (const line of ['-sWp a', '-HWn1', '-sa0-1', '-OQ']) assert.match(refusal(line), / in -/);
  });

  it('are all told at once', () => assert.equal(refusal('-W --array=1 script.sh --').split('\n').length, 4));
});

describe('words that are no options', () => {
  for (const word of ['script.sh', '-', '--', ':', 'a=b']) {
    for (const strictness of [STRICT, LOOSE]) {
      it(`${word} is refused${strictness.allowIllegal ? ', whatever the site allows' : ''}`, () => {
        assert.ok(
          refusal(`-N 2 ${word}`, strictness).startsWith(`${word} (in SCHEDULER_PARAMETERS) is not possible: `),
        );
      });
    }
  }

  for (const [word, code] of [
    ['\u00a0--partition=ci', 'U+00A0'],
    ['\u2013\u2013time=5', 'U+2013'],
    ['words\u201d', 'U+201D'],
  ] as const) {
    it(`one with a character that only looks right is refused for that: ${code}`, () =>
      assert.ok(refusal(word).includes(code)));
  }

  it('a quoted text with a blank that lost its quotes is one', () =>
    assert.match(refusal('--comment=two words'), /^words /));
});

describe('arguments that cannot be understood', () => {
  for (const line of ['--wai', '--par=x', '--m=1', '-n', '--nodes', '--hold=yes', '--requeue=1']) {
    it(`${line} is refused`, () => assert.ok(refusal(line).startsWith(`${line} (in`)));
  }
});

describe('options that nobody knows here', () => {
  it('are refused, with the name that was probably meant', () => {
    assert.match(refusal('--partitoin=x'), /^--partitoin=x .*--partition/);
    assert.match(refusal('-Z'), /^-Z /);
    assert.match(refusal('-sZ'), /^-Z /);
  });

  it('are passed on as they are where the site allows that', () => {
    assert.deepEqual(check('--new=1 --newer x -N 2', LOOSE).words, ['--new=1', '--newer', 'x', '--nodes=2']);
    assert.equal(check('--new=1', LOOSE).notices.length, 1);
  });

  it('stay refused where the site has lists, since they could hide a value that is not on them', () => {
    refusal('--new=1', { ...LOOSE, hasAllowLists: true });
    refusal('--new=1', { ...LOOSE, hasAllowLists: true }, { ...SLURM_GRAMMAR, unknown: 'allow' });
  });

  it('are left to a scheduler of which only the harmful ones are known', () => {
    const grammar: Grammar = { ...SLURM_GRAMMAR, unknown: 'allow' };
    assert.deepEqual(check('--new x -N 2', STRICT, grammar), {
      words: ['--new', 'x', '--nodes=2'],
      notices: [],
      taken: check('--new x -N 2', STRICT, grammar).taken,
    });
    assert.match(refusal('-W', STRICT, grammar), /^-W /);
  });

  it('do not take the last word for their value: it could be meant for a script', () => {
    assert.match(refusal('--new x', LOOSE), /^x /);
  });
});

describe('options with one dash and many letters', () => {
  const grammar: Grammar = {
    options: [
      { names: ['-q'], takes: 'value', rule: 'allow', means: 'partition' },
      { names: ['-J'], takes: 'value', rule: 'refuse', why: 'array', values: /\[/ },
      { names: ['-Is'], takes: 'nothing', rule: 'refuse', why: 'interactive' },
    ],
    abbreviatesLongOptions: false,
    bundlesShortOptions: false,
    longOptionsWithOneDash: true,
    unknown: 'refuse',
    refusedWords: {},
  };

  it('are read as one', () => assert.match(refusal('-Is', STRICT, grammar), /^-Is .*interactive/));
  it('keep their value in a word of its own', () =>
    assert.deepEqual(check('-q x', STRICT, grammar).words, ['-q', 'x']));
  it('may be refused for some values only', () => {
    assert.deepEqual(check('-J name', STRICT, grammar).words, ['-J', 'name']);
    assert.match(refusal('-J name[1-9]', STRICT, grammar), /array/);
  });
});

describe('the line of arguments', () => {
  const variables = { SITE_PARAMETERS: '-n 1', SCHEDULER_PARAMETERS: '-n 2', EMPTY: ' ' };

  it('is that of the first variable of the site that is set, and not empty', () => {
    assert.deepEqual(chooseArguments(variables, ['NOT_SET', 'EMPTY', 'SITE_PARAMETERS']), {
      name: 'SITE_PARAMETERS',
      text: '-n 1',
    });
  });

  it('is SCHEDULER_PARAMETERS at last', () => {
    assert.equal(chooseArguments(variables, ['NOT_SET'])?.name, 'SCHEDULER_PARAMETERS');
    assert.equal(chooseArguments({}, ['NOT_SET']), undefined);
  });
});
