// The lists of a site: their precedence, completely, and the rules on what a job's claims must say.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ACCESS_LEVELS,
  type AccountLists,
  type ClaimRules,
  judgeByLists,
  requireClaims,
  requireShell,
} from '../../src/jacamar-auth/policy.ts';
import type { Claims } from '../../src/jacamar-auth/token.ts';
import { verifiedClaims } from '../support/tokens.ts';

const NO_LISTS: AccountLists = {
  userAllowlist: undefined,
  userBlocklist: [],
  groupsAllowlist: undefined,
  groupsBlocklist: [],
};
const code = (value: string) => ({ name: 'AuthorizationError', code: value });

/** Absent, without the account, with it. */
const STATES = ['absent', 'others', 'names'] as const;
type State = (typeof STATES)[number];
const list = (state: State, own: string) =>
  state === 'absent' ? undefined : state === 'others' ? ['other'] : ['other', own];

/** What the documentation promises, written down a second time. */
function expected(userAllow: State, userBlock: State, groupAllow: State, groupBlock: State): string {
  if (userAllow === 'names') return 'user_allowlist: alice';
  if (userBlock === 'names') return 'ERR_USER_BLOCKED';
  if (groupBlock === 'names') return 'ERR_GROUP_BLOCKED';
  if (groupAllow === 'names') return 'groups_allowlist: hpc';
  return userAllow === 'absent' && groupAllow === 'absent' ? 'no allowlist' : 'ERR_NOT_ALLOWED';
}

describe('the four lists', () => {
  for (const userAllow of STATES) {
    for (const userBlock of STATES) {
      for (const groupAllow of STATES) {
        for (const groupBlock of STATES) {
          const outcome = expected(userAllow, userBlock, groupAllow, groupBlock);
          it(`user allow ${userAllow}, user block ${userBlock}, group allow ${groupAllow}, group block ${groupBlock}: ${outcome}`, () => {
            const lists: AccountLists = {
              userAllowlist: list(userAllow, 'alice'),
              userBlocklist: list(userBlock, 'alice') ?? [],
              groupsAllowlist: list(groupAllow, 'hpc'),
              groupsBlocklist: list(groupBlock, 'hpc') ?? [],
            };
            const judge = () => judgeByLists('alice', ['hpc'], lists);
            if (outcome.startsWith('ERR_')) assert.throws(judge, code(outcome));
            else assert.equal(judge(), outcome);
          });
        }
      }
    }
  }

  it('a block of one group is stronger than the allowance of another', () => {
    const lists = { ...NO_LISTS, groupsAllowlist: ['hpc'], groupsBlocklist: ['guests'] };
    assert.equal(judgeByLists('alice', ['hpc'], lists), 'groups_allowlist: hpc');
    assert.throws(() => judgeByLists('alice', ['hpc', 'guests'], lists), code('ERR_GROUP_BLOCKED'));
    assert.throws(() => judgeByLists('alice', [], lists), code('ERR_NOT_ALLOWED'));
  });

  it('entries mean themselves to the byte: no case, blanks, patterns or numbers', () => {
    for (const entry of ['Alice', 'alice ', ' alice', 'ali*', '*', '.*', '1001', 'alicе', 'alic']) {
      assert.throws(() => judgeByLists('alice', [], { ...NO_LISTS, userAllowlist: [entry] }), code('ERR_NOT_ALLOWED'));
      assert.equal(judgeByLists('alice', [], { ...NO_LISTS, userBlocklist: [entry] }), 'no allowlist');
    }
  });

  it('an empty allowlist allows nobody', () => {
    assert.throws(() => judgeByLists('alice', ['hpc'], { ...NO_LISTS, userAllowlist: [] }), code('ERR_NOT_ALLOWED'));
    assert.throws(() => judgeByLists('alice', ['hpc'], { ...NO_LISTS, groupsAllowlist: [] }), code('ERR_NOT_ALLOWED'));
  });
});

describe('shells', () => {
  const account = (shell: string) => ({ name: 'alice', uid: 1, gid: 1, home: '/', shell, groups: [] });
  it('are not asked for without a list', () => requireShell(account('/usr/sbin/nologin'), undefined));
  it('must stand on the list exactly', () => {
    requireShell(account('/bin/bash'), ['/bin/sh', '/bin/bash']);
    for (const shell of ['/usr/sbin/nologin', '/bin/false', '', '/bin/bash2', '/bin', '/BIN/BASH']) {
      assert.throws(() => requireShell(account(shell), ['/bin/sh', '/bin/bash']), code('ERR_SHELL_NOT_ALLOWED'));
    }
  });
});

describe('rules on claims', () => {
  const none: ClaimRules = {
    pipelineSourceAllowlist: undefined,
    allowForkPipelines: false,
    projectAllowlist: undefined,
    namespaceAllowlist: undefined,
    requireProtectedRef: false,
    minAccessLevel: undefined,
    runnerIdAllowlist: undefined,
  };
  const FORK = {
    project_id: '99',
    project_path: 'bob/project',
    job_project_id: '7',
    job_project_path: 'group/project',
  };
  const check = (rules: Partial<ClaimRules>, claims: Partial<Claims> = {}) =>
    requireClaims(verifiedClaims(claims), { ...none, ...rules });

  it("ask for nothing when the site asks for nothing, but for the project's own code on a runner of one's own", () => {
    check({});
    check({}, { job_project_id: undefined });
    check({}, { runner_environment: undefined });
    assert.throws(() => check({}, { runner_environment: 'gitlab-hosted' }), code('ERR_RUNNER_NOT_ALLOWED'));
    assert.throws(() => check({}, FORK), code('ERR_FORK_PIPELINE'));
    check({ allowForkPipelines: true }, FORK);
  });

  const table: [title: string, rules: Partial<ClaimRules>, claims: Partial<Claims>, code: string | undefined][] = [
    ['a source on the list', { pipelineSourceAllowlist: ['push'] }, {}, undefined],
    [
      'a source not on it',
      { pipelineSourceAllowlist: ['push'] },
      { pipeline_source: 'schedule' },
      'ERR_PIPELINE_SOURCE',
    ],
    ['an empty list of sources', { pipelineSourceAllowlist: [] }, {}, 'ERR_PIPELINE_SOURCE'],
    ['a project on the list', { projectAllowlist: ['group/project'] }, {}, undefined],
    ['a project below one on the list', { projectAllowlist: ['group'] }, {}, 'ERR_PROJECT_NOT_ALLOWED'],
    ['a project with a longer name', { projectAllowlist: ['group/pro'] }, {}, 'ERR_PROJECT_NOT_ALLOWED'],
    [
      'a fork, judged by the project that runs it',
      { allowForkPipelines: true, projectAllowlist: ['group/project'] },
      FORK,
      undefined,
    ],
    [
      'a fork on the list under its own name',
      { allowForkPipelines: true, projectAllowlist: ['bob/project'] },
      FORK,
      'ERR_PROJECT_NOT_ALLOWED',
    ],
    ['a namespace on the list', { namespaceAllowlist: ['group'] }, {}, undefined],
    ['a namespace below it', { namespaceAllowlist: ['group'] }, { job_namespace_path: 'group/sub/deep' }, undefined],
    [
      'a namespace with a longer name',
      { namespaceAllowlist: ['group'] },
      { job_namespace_path: 'group-evil' },
      'ERR_NAMESPACE_NOT_ALLOWED',
    ],
    [
      'a namespace above it',
      { namespaceAllowlist: ['group/sub'] },
      { job_namespace_path: 'group' },
      'ERR_NAMESPACE_NOT_ALLOWED',
    ],
    ['a namespace by the old claim', { namespaceAllowlist: ['group'] }, { job_namespace_path: undefined }, undefined],
    ['a protected ref', { requireProtectedRef: true }, {}, undefined],
    ['a ref that is not protected', { requireProtectedRef: true }, { ref_protected: 'false' }, 'ERR_REF_NOT_PROTECTED'],
    ['the runner on the list', { runnerIdAllowlist: [1, 11] }, {}, undefined],
    ['another runner', { runnerIdAllowlist: [1] }, {}, 'ERR_RUNNER_NOT_ALLOWED'],
    ['a token without runner', { runnerIdAllowlist: [1, 11] }, { runner_id: undefined }, 'ERR_RUNNER_NOT_ALLOWED'],
    ['no access level', { minAccessLevel: 'guest' }, { user_access_level: null }, 'ERR_ACCESS_LEVEL'],
    ['an absent access level', { minAccessLevel: 'guest' }, { user_access_level: undefined }, 'ERR_ACCESS_LEVEL'],
    ['an unknown access level', { minAccessLevel: 'guest' }, { user_access_level: 'admin' }, 'ERR_ACCESS_LEVEL'],
    ['an access level in capitals', { minAccessLevel: 'guest' }, { user_access_level: 'OWNER' }, 'ERR_ACCESS_LEVEL'],
  ];
  for (const [title, rules, claims, expectedCode] of table) {
    it(`${title}: ${expectedCode ?? 'taken'}`, () => {
      if (expectedCode === undefined) check(rules, claims);
      else assert.throws(() => check(rules, claims), code(expectedCode));
    });
  }

  it('order the access levels', () => {
    for (const [have, level] of ACCESS_LEVELS.entries()) {
      for (const [want, minAccessLevel] of ACCESS_LEVELS.entries()) {
        const judge = () => check({ minAccessLevel }, { user_access_level: level });
        if (have >= want) judge();
        else assert.throws(judge, code('ERR_ACCESS_LEVEL'));
      }
    }
  });

  it('name what a user wrote in a form that splits no line', () => {
    const claims = { ref: 'a\nb\u001b[2J', ref_protected: 'false' as const };
    assert.throws(
      () => check({ requireProtectedRef: true }, claims),
      (error: Error) => !/\p{Cc}/u.test(error.message),
    );
  });
});
