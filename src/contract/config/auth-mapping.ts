// The [[auth.mapping]] tables: accounts of people whose login is not the name of their account.

import { key, table } from './table.ts';
import * as value from './value.ts';

export const mapping = table({
  description:
    'Account for a login or user number of GitLab, where the names differ. An entry counts when everything that it names is true of the job; the first such entry decides. A user who is named, but not for the project of the job, is refused.',
  keys: {
    login: key('login', value.name, {
      origin: 'ours',
      status: 'works',
      description: 'Login on GitLab.',
      example: 'alice.example',
    }),
    userId: key('user_id', value.integer({ min: 1 }), {
      origin: 'ours',
      status: 'works',
      description: 'Number of the user on GitLab, which a rename does not change.',
      example: 1234,
    }),
    account: key('account', value.name, {
      required: true,
      origin: 'ours',
      status: 'works',
      description: 'The local account.',
      example: 'alice',
    }),
    projects: key('projects', value.fullPathAllowlist, {
      origin: 'ours',
      status: 'works',
      description:
        'Projects, by full path, for which the entry counts; without it, all. An entry with projects may name a bot or service account.',
      example: ['climate/model'],
    }),
  },
  rule: {
    holds: (entry) => entry.login !== undefined || entry.userId !== undefined,
    wanted: 'login or user_id in this table',
  },
});
