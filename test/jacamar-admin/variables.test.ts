// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of the runner look like those of JavaScript
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobFacts, jobResponse, responseFileText, type VariableParts, variable } from '../../src/jacamar-admin/job.ts';
import {
  customEnvironment,
  expandVariables,
  projectDirectory,
  type RunnerFacts,
  runnerVariables,
  shortToken,
} from '../../src/jacamar-admin/variables.ts';

const facts: RunnerFacts = {
  runnerToken: 'glrt-t1_abcdefghijkl',
  runnerVersion: '19.4.0',
  concurrentId: 2,
  concurrentProjectId: 1,
  environment: { SITE: 'hpc' },
  buildsDir: '/builds',
  projectDir: '/builds/demo/hello',
  jobStatus: 'running',
};

function jobWith(variables: VariableParts[]) {
  return jobResponse(jobFacts({ serverUrl: 'http://127.0.0.1:1', login: 'alice' }), { script: ['true'], variables });
}

function environmentWith(variables: VariableParts[]) {
  const list = expandVariables(runnerVariables(jobWith(variables), facts), '/builds/demo/hello.tmp');
  return customEnvironment(list, null);
}

const expansions: [string, string, string][] = [
  ['a name', '$NAME', 'alice'],
  ['a name in braces', '<${NAME}>', '<alice>'],
  ['an unknown name', '<$NOBODY>', '<>'],
  ['a default of the shell, which is not known', '<${NAME:-x}>', '<>'],
  ['two dollars', '$$NAME', '$NAME'],
  ['a dollar at the end', '5$', '5$'],
  ['a dollar before a blank', '5$ x', '5$ x'],
  ['an unclosed brace', '<${NAME>', '<NAME>'],
  ['a file variable, by its path', '$FILE', '/tmp/p.tmp/FILE'],
  ['a reference, once only', '$NESTED', '$NAME'],
];

for (const [title, value, expected] of expansions) {
  test(`expansion of ${title}`, () => {
    const list = [
      variable({ key: 'NAME', value: 'alice' }),
      variable({ key: 'FILE', value: 'content', file: true }),
      variable({ key: 'NESTED', value: '$NAME' }),
      variable({ key: 'IT', value }),
    ];
    assert.equal(expandVariables(list, '/tmp/p.tmp').at(-1)?.value, expected);
  });
}

test('raw variables are not expanded', () => {
  const list = [variable({ key: 'NAME', value: 'alice' }), variable({ key: 'IT', value: '$NAME$$', raw: true })];
  assert.equal(expandVariables(list, '').at(-1)?.value, '$NAME$$');
});

test('what stands before the job variables can be forged by them', () => {
  const environment = environmentWith([
    { key: 'CI_CONCURRENT_ID', value: '../x' },
    { key: 'CI_RUNNER_SHORT_TOKEN', value: 'forged' },
    { key: 'GITLAB_USER_LOGIN', value: 'root' },
    { key: 'SITE', value: 'other' },
  ]);
  assert.equal(environment['CUSTOM_ENV_CI_CONCURRENT_ID'], '../x');
  assert.equal(environment['CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN'], 'forged');
  assert.equal(environment['CUSTOM_ENV_GITLAB_USER_LOGIN'], 'root');
  assert.equal(environment['CUSTOM_ENV_SITE'], 'other');
});

test('what stands behind the job variables cannot be forged', () => {
  const names = ['CI_SHARED_ENVIRONMENT', 'CI_RUNNER_VERSION', 'RUNNER_TEMP_PROJECT_DIR', 'CI_JOB_SERVICES'];
  const environment = environmentWith(names.map((key) => ({ key, value: 'forged' })));
  for (const name of names) assert.notEqual(environment[`CUSTOM_ENV_${name}`], 'forged');
});

test('every name gets the prefix', () => {
  const names = Object.keys(environmentWith([{ key: 'LD_PRELOAD', value: '/x' }]));
  assert.ok(names.every((name) => name.startsWith('CUSTOM_ENV_')));
});

test('masked variables are in clear and file variables by content', () => {
  const environment = environmentWith([
    { key: 'SECRET', value: 'clear', masked: true },
    { key: 'FILE', value: 'content', file: true },
  ]);
  assert.equal(environment['CUSTOM_ENV_SECRET'], 'clear');
  assert.equal(environment['CUSTOM_ENV_FILE'], 'content');
});

test('a job variable sets a feature flag, in its effective form', () => {
  assert.equal(environmentWith([])['CUSTOM_ENV_FF_TIMESTAMPS'], 'true');
  assert.equal(environmentWith([{ key: 'FF_TIMESTAMPS', value: '0' }])['CUSTOM_ENV_FF_TIMESTAMPS'], 'false');
});

test('services are a JSON list with the first alias', () => {
  const text = customEnvironment([], [{ name: 'redis:7', alias: 'cache second' }])['CUSTOM_ENV_CI_JOB_SERVICES'];
  assert.equal(text, '[{"name":"redis:7","alias":"cache","entrypoint":null,"command":null}]');
});

const tokens: [string, string][] = [
  ['glrt-t1_abcdefghijkl', 'abcdefghi'],
  ['glrt-abcdefghijkl', 'abcdefghi'],
  ['t3_abcdefghijkl', 'abcdefghi'],
  ['GR1348941abcdefghijkl', 'abcdefghi'],
  ['plain_-token', 'plain_-to'],
  ['short', 'short'],
];

for (const [token, expected] of tokens) {
  test(`the short token of ${token} is ${expected}`, () => assert.equal(shortToken(token), expected));
}

test('a shared builds directory gets token and number in front of the project', () => {
  assert.equal(projectDirectory(jobWith([]), '/b', false, facts), '/b/demo/hello');
  assert.equal(projectDirectory(jobWith([]), '/b', true, facts), '/b/abcdefghi/1/demo/hello');
});

test('a repository without a host gives a directory by the number of the project', () => {
  const job = jobResponse(jobFacts({ serverUrl: 'http://127.0.0.1:1', login: 'a', repositoryUrl: 'file:///r.git' }), {
    script: [],
  });
  assert.equal(projectDirectory(job, '/b', false, facts), '/b/project-20');
});

test('the response file escapes what the encoder of the runner escapes, and keeps duplicates', () => {
  const text = responseFileText(
    jobWith([
      { key: 'A', value: '<&>\u2028' },
      { key: 'A', value: '2' },
    ]),
  );
  assert.ok(text.endsWith('}\n'));
  assert.ok(text.includes('"\\u003c\\u0026\\u003e\\u2028"'));
  const { variables, services } = JSON.parse(text);
  assert.deepEqual(
    variables.slice(-2).map(({ key }: { key: string }) => key),
    ['A', 'A'],
  );
  assert.equal(services, null);
});

test('GitLab lists id tokens before what users wrote, so a variable of that name comes second', () => {
  const job = jobResponse(jobFacts({ serverUrl: 'http://127.0.0.1:1', login: 'alice' }), {
    script: [],
    idTokens: { CI_JOB_JWT: 'signed' },
    variables: [{ key: 'CI_JOB_JWT', value: 'forged' }],
  });
  const values = job.variables.filter(({ key }) => key === 'CI_JOB_JWT').map(({ value }) => value);
  assert.deepEqual(values, ['signed', 'forged']);
});
