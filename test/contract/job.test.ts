// The job response file and the runner's numbers: what is taken from them, in which forms, and what is refused.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JacamarError } from '../../src/contract/errors.ts';
import { isDirectoryName, parseJobResponse, readRunnerNumbers, variableValues } from '../../src/contract/job.ts';

const RESPONSE = {
  id: 302,
  token: 'glcbt-secret',
  job_info: { name: 'build', stage: 'test', pipeline_id: 88, project_id: 7, user_id: 42, scoped_user_id: 0 },
  git_info: { repo_url: 'https://gitlab-ci-token:glcbt-secret@gitlab.example.com/group/sub/project.git', sha: 'abc' },
  runner_info: { timeout: 3600 },
  variables: [
    { key: 'A', value: '1', public: true },
    { key: 'B', value: '' },
    { key: 'A', value: '2' },
  ],
  steps: [{ script: ['x'] }],
};
type Path = readonly [string, string?];

/** The response with one member replaced; undefined removes it. */
function response([outer, inner]: Path, value: unknown): string {
  const whole = structuredClone(RESPONSE) as Record<string, unknown>;
  if (inner === undefined) whole[outer] = value;
  else (whole[outer] as Record<string, unknown>)[inner] = value;
  return JSON.stringify(whole);
}

const parse = (path: Path, value: unknown) => parseJobResponse(response(path, value));
const unreadable = { name: 'SystemFailure', code: 'ERR_JOB_RESPONSE' };

describe('a job response', () => {
  it('gives the facts of the job, the address without its credentials', () => {
    const { token, variables, repositoryCredentials, ...job } = parseJobResponse(JSON.stringify(RESPONSE));
    assert.deepEqual(job, {
      id: 302,
      name: 'build',
      stage: 'test',
      pipelineId: 88,
      projectId: 7,
      userId: 42,
      scopedUserId: undefined,
      projectPath: 'group/sub/project',
      repositoryUrl: 'https://gitlab.example.com/group/sub/project.git',
      commit: 'abc',
      timeoutSeconds: 3600,
    });
    assert.equal(token.reveal(), 'glcbt-secret');
    assert.equal(repositoryCredentials?.username, 'gitlab-ci-token');
    assert.match(repositoryCredentials?.password.reveal() ?? '', /secret/);
    assert.deepEqual(
      variables.map(({ key, value }) => [key, value.reveal()]),
      [
        ['A', '1'],
        ['B', ''],
        ['A', '2'],
      ],
    );
  });

  it('keeps its secrets in every text it is turned into', () => {
    const job = parseJobResponse(JSON.stringify(RESPONSE));
    assert.ok(!JSON.stringify(job).includes('secret'));
  });

  it('holds all values of a variable in order, and none of names that objects have by nature', () => {
    const job = parseJobResponse(JSON.stringify(RESPONSE));
    assert.deepEqual(
      variableValues(job, 'A').map((value) => value.reveal()),
      ['1', '2'],
    );
    assert.deepEqual(
      variableValues(job, 'B').map((value) => value.reveal()),
      [''],
    );
    for (const name of ['a', 'C', '__proto__', 'constructor', 'length'])
      assert.deepEqual(variableValues(job, name), []);
  });

  it('may lack what older servers do not send: zero, null and absence are the same', () => {
    for (const [member, name] of [
      ['pipeline_id', 'pipelineId'],
      ['project_id', 'projectId'],
      ['user_id', 'userId'],
      ['scoped_user_id', 'scopedUserId'],
    ] as const) {
      for (const value of [0, null, undefined]) assert.equal(parse(['job_info', member], value)[name], undefined);
      assert.equal(parse(['job_info', member], 5)[name], 5);
    }
    for (const value of [null, undefined, []]) assert.deepEqual(parse(['variables'], value).variables, []);
    for (const value of [0, -1, null, undefined])
      assert.equal(parse(['runner_info', 'timeout'], value).timeoutSeconds, 7200);
  });

  const bad: [Path, unknown[]][] = [
    [['id'], [0, -1, 1.5, '302', null, undefined, 2 ** 53, [302], {}]],
    [['token'], ['', null, undefined, 7]],
    [['job_info'], [null, undefined, 'x', 7]],
    [
      ['job_info', 'user_id'],
      ['42', -1, 1.5, true, [42], 2 ** 53],
    ],
    [
      ['job_info', 'project_id'],
      ['7', -7, {}],
    ],
    [
      ['job_info', 'pipeline_id'],
      ['88', 1e21],
    ],
    [['git_info'], [null, undefined, 'x']],
    [
      ['git_info', 'repo_url'],
      ['', 'x', null, 7, '/srv/repository', undefined],
    ],
    [['runner_info'], [null, undefined, 7]],
    [
      ['runner_info', 'timeout'],
      ['3600', {}],
    ],
    [['variables'], [{}, 'x', [null], ['A=1'], [{ key: 'A' }], [{ key: 'A', value: 1 }], [{ value: 'x' }]]],
  ];
  for (const [path, values] of bad) {
    it(`cannot be used with another ${path.filter(Boolean).join('.')}`, () => {
      for (const value of values) assert.throws(() => parse(path, value), unreadable, JSON.stringify(value));
    });
  }

  it('cannot be used when it is cut short, empty, or no object', () => {
    const whole = JSON.stringify(RESPONSE);
    for (const text of ['', 'x', '[]', 'null', '{}', whole.slice(0, -1), whole.slice(0, whole.length / 2)]) {
      assert.throws(() => parseJobResponse(text), unreadable);
    }
  });

  it('is not quoted in messages when it cannot be read', () => {
    const text = JSON.stringify(RESPONSE).replace('"id":302,', '');
    assert.throws(
      () => parseJobResponse(text),
      (error: Error) => !error.message.includes('secret'),
    );
    assert.throws(
      () => parseJobResponse(`${text}secret`),
      (error: Error) => !error.message.includes('secret'),
    );
  });
});

describe('the project path', () => {
  const pathOf = (url: string) => parse(['git_info', 'repo_url'], url).projectPath;

  const good: [url: string, path: string][] = [
    ['https://h/a/b.git', 'a/b'],
    ['https://h/a/b', 'a/b'],
    ['https://h//a/b.git', 'a/b'],
    ['https://h/git/a/b.git', 'git/a/b'],
    ['https://h/a.b/c_d/e-f.git', 'a.b/c_d/e-f'],
    ['https://h/a/b.git.git', 'a/b.git'],
    ['http://127.0.0.1:8080/a/b.git', 'a/b'],
    ['https://h/a/../b/c.git', 'b/c'],
    ['https://h/a/%2e%2e/b/c.git', 'b/c'],
    ['file:///srv/a.git', 'project-7'],
  ];
  for (const [url, path] of good) it(`of ${url} is ${path}`, () => assert.equal(pathOf(url), path));

  const bad = [
    ...['https://h', 'https://h/', 'https://h/.git', 'https://h/a/.git', 'https://h/a//b.git', 'https://h/a/b.git/'],
    ...[
      'https://h/-a/b.git',
      'https://h/a/-rf.git',
      'https://h/~a/b.git',
      'https://h/$HOME/b.git',
      'https://h/a/$(id).git',
    ],
    ...[
      'https://h/a/b c.git',
      'https://h/a/b%0a.git',
      'https://h/a/b%00.git',
      'https://h/a/%2fb.git',
      'https://h/a/b%5c.git',
    ],
    ...[
      'https://h/a/...%2f.git',
      'https://h/ä/b.git',
      "https://h/a'/b.git",
      'https://h/a;b/c.git',
      'https://h/a:b/c.git',
    ],
    `https://h/a/${'b'.repeat(256)}.git`,
    `https://h/a/${'b'.repeat(4096)}.git`,
  ];
  for (const url of bad) {
    it(`of ${url.slice(0, 60)} is refused as the project's own fault`, () => {
      assert.throws(() => pathOf(url), { name: 'JobError', code: 'ERR_PROJECT_PATH' });
    });
  }

  it('is always made of harmless names', () => {
    fc.assert(
      fc.property(fc.webPath(), fc.string(), (path, tail) => {
        try {
          const parts = pathOf(`https://h/${path}${tail}`).split('/');
          assert.ok(parts.every((part) => /^[A-Za-z0-9_.][A-Za-z0-9_.-]*$/.test(part) && !/^\.\.?$/.test(part)));
        } catch (error) {
          assert.ok(error instanceof JacamarError, String(error));
        }
      }),
    );
  });
});

describe('directory names', () => {
  it('are single harmless words', () => {
    for (const name of ['a', 'A_b-c.d', '...', '.a', '0', 'x'.repeat(255)]) assert.ok(isDirectoryName(name), name);
    const bad = ['', '.', '..', '-a', 'a/b', '/', 'a b', 'a\n', '\na', 'a\0', '~', 'ä', '$a', 'a*', 'x'.repeat(256)];
    for (const name of bad) assert.ok(!isDirectoryName(name), JSON.stringify(name));
  });
});

describe("the runner's numbers", () => {
  const GOOD = {
    CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN: 't3_AbC-9',
    CUSTOM_ENV_CI_CONCURRENT_ID: '0',
    CUSTOM_ENV_CI_CONCURRENT_PROJECT_ID: '12',
  };
  const names = Object.keys(GOOD);

  it('are read from the variables with their prefix', () => {
    assert.deepEqual(readRunnerNumbers(GOOD), { shortToken: 't3_AbC-9', concurrentId: 0, concurrentProjectId: 12 });
  });

  it('that are missing are a fault of the site: nobody else than the runner calls us', () => {
    for (const name of names) {
      assert.throws(() => readRunnerNumbers({ ...GOOD, [name]: undefined }), {
        name: 'SystemFailure',
        code: 'ERR_RUNNER_ENVIRONMENT',
      });
    }
    const unprefixed = Object.fromEntries(
      Object.entries(GOOD).map(([name, value]) => [name.replace('CUSTOM_ENV_', ''), value]),
    );
    assert.throws(() => readRunnerNumbers(unprefixed), { name: 'SystemFailure' });
  });

  it('that a CI variable forged are refused, and the user is told which in one harmless line', () => {
    const forged = [
      '',
      '../../x',
      '..',
      'a/b',
      '$(id)',
      ' 1',
      '1 ',
      '1\n',
      '-1',
      '0x1',
      '1e3',
      '1234567',
      '１',
      '\u001b[2J',
      'x'.repeat(300),
    ];
    for (const name of names) {
      for (const value of forged.filter((text) => !(name.includes('TOKEN') && isDirectoryName(text)))) {
        assert.throws(
          () => readRunnerNumbers({ ...GOOD, [name]: value }),
          (error) => {
            assert.ok(error instanceof JacamarError && error.code === 'ERR_VARIABLE_FORGED' && error.fault === 'user');
            assert.ok(error.publicMessage.includes(name.replace('CUSTOM_ENV_', '')));
            assert.ok([...error.publicMessage].every((character) => character >= ' '));
            return true;
          },
        );
      }
    }
  });
});
