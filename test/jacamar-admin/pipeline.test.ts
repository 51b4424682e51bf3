import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPipeline } from '../../src/jacamar-admin/pipeline.ts';

const TUTORIAL = `
test-job:
  tags: [tutorial]
  id_tokens:
    CI_JOB_JWT:
      aud: https://gitlab.example.com
  before_script:
    - date
    - hostname
  script:
    - id
    - hostname
  after_script:
    - id
`;

test('the job of the tutorial is read completely and without a warning', () => {
  assert.deepEqual(readPipeline(TUTORIAL), {
    name: 'test-job',
    stage: 'test',
    script: ['date', 'hostname', 'id', 'hostname'],
    afterScript: ['id'],
    variables: [],
    idTokens: [{ name: 'CI_JOB_JWT', aud: 'https://gitlab.example.com' }],
    warnings: [],
  });
});

const scripts: [string, string, string[]][] = [
  ['a text', 'a: {script: make}', ['make']],
  ['nested lists', 'a: {script: [one, [two, [three]]]}', ['one', 'two', 'three']],
  ['a before_script of default', 'default: {before_script: [first]}\na: {script: [x]}', ['first', 'x']],
  ['a before_script at top level', 'before_script: [first]\na: {script: [x]}', ['first', 'x']],
  [
    "the job's own before_script instead",
    'default: {before_script: [no]}\na: {before_script: [own], script: [x]}',
    ['own', 'x'],
  ],
  ['an empty before_script instead', 'default: {before_script: [no]}\na: {before_script: [], script: [x]}', ['x']],
  ['an anchor and a merge', '.t: &t\n  script: [x]\na:\n  <<: *t', ['x']],
  ['a block of several lines', 'a:\n  script:\n    - |\n      one\n      two', ['one\ntwo\n']],
];

for (const [title, text, expected] of scripts) {
  test(`script from ${title}`, () => assert.deepEqual(readPipeline(text).script, expected));
}

test('variables of the file come before those of the job, in either form', () => {
  const text = `
variables:
  A: 1
  B: {value: two, description: something}
a:
  variables:
    A: own
    C: {value: $A, expand: false}
  script: [x]`;
  const found = readPipeline(text).variables.map(({ key, value, raw }) => [key, value, raw]);
  assert.deepEqual(found, [
    ['A', '1', false],
    ['B', 'two', false],
    ['A', 'own', false],
    ['C', '$A', true],
  ]);
});

test('an aud can be a list', () => {
  const { idTokens } = readPipeline('a: {id_tokens: {T: {aud: [one, two]}}, script: [z]}');
  assert.deepEqual(idTokens, [{ name: 'T', aud: ['one', 'two'] }]);
});

test('a job is chosen by name, and hidden ones do not count', () => {
  assert.equal(readPipeline('.h: {script: [x]}\na: {script: [x]}').name, 'a');
  assert.equal(readPipeline('a: {script: [x]}\nb: {script: [x]}', 'b').name, 'b');
});

test('keys that a trial leaves out are warned about by name', () => {
  const { warnings } = readPipeline('cache: {}\na: {image: x, needs: [], script: [x]}');
  assert.deepEqual(warnings, [
    'job a: `image` is ignored in a trial',
    'job a: `needs` is ignored in a trial',
    '`cache` at top level is ignored in a trial',
  ]);
});

const refused: [string, string, string | undefined, RegExp][] = [
  ['an include', 'include: x.yml\na: {script: [x]}', undefined, /include/],
  ['extends', 'a: {extends: .b, script: [x]}', undefined, /job a: .*`extends`/],
  ['a trigger', 'a: {trigger: other}', undefined, /`trigger`/],
  ['a job without script', 'a: {stage: x}', undefined, /job a: has no `script`/],
  ['a script that is a mapping', 'a: {script: {x: y}}', undefined, /job a: `script` must be/],
  ['an unknown job', 'a: {script: [x]}\nb: {script: [x]}', 'c', /no job is called c; jobs of this file: a, b/],
  ['no choice among several', 'a: {script: [x]}\nb: {script: [x]}', undefined, /--job; jobs of this file: a, b/],
  ['a file without jobs', 'variables: {A: b}', undefined, /jobs of this file: none/],
  ['text that is no YAML', 'a: [', undefined, /not valid YAML/],
  ['a file that is no mapping', '- a', undefined, /no mapping/],
  ['a !reference', 'a: {script: [!reference [.b, script]]}', undefined, /!reference/],
  ['an id token without aud', 'a: {id_tokens: {T: {}}, script: [x]}', undefined, /`id_tokens:T` needs an `aud`/],
  ['a variable that is a list', 'a: {variables: {A: [1]}, script: [x]}', undefined, /job a: variables: A must be/],
];

for (const [title, text, name, message] of refused) {
  test(`refuses ${title}`, () => assert.throws(() => readPipeline(text, name), { name: 'JobError', message }));
}

test('refuses a file whose aliases multiply without end', () => {
  const lists = Array.from({ length: 9 }, (_, n) => `.l${n + 1}: &l${n + 1} [${`*l${n}, `.repeat(9)}]`).join('\n');
  assert.throws(() => readPipeline(`.l0: &l0 [x]\n${lists}\na: {script: *l9}`));
});
