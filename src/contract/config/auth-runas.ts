// The [auth.runas] table: the site's own program that decides about the account of a job.

import { key, table } from './table.ts';
import * as value from './value.ts';

export const runas = table({
  description: "The site's script that approves a job's account or names another one.",
  keys: {
    validationScript: key('validation_script', value.absolutePath, {
      status: 'works',
      description:
        'Script that approves the account, or prints another one as JSON; it needs to be safe from changes by others.',
      example: '/etc/gitlab-runner/runas.bash',
    }),
    userVariable: key('user_variable', value.variableName, {
      status: 'works',
      description: 'CI variable in which a user may ask for a service account; the script decides.',
      example: 'TARGET_SERVICE_USER',
    }),
    sha256: key('sha256', value.sha256, {
      status: 'works',
      description: 'Checksum of the script, compared just before it is run.',
    }),
    validationEnv: key('validation_env', value.environment, {
      default: [],
      status: 'works',
      description: "Further variables for the script; the program's own ones win.",
      history: 'Upstream merge request 209.',
      example: ['SITE=cluster1'],
    }),
    validationPlugin: key('validation_plugin', value.absolutePath, {
      status: { never: 'a plugin for Go programs cannot be loaded; use validation_script' },
      description: 'Go plugin in place of the script.',
    }),
  },
  rule: {
    holds: (t) =>
      t.validationScript !== undefined ||
      (t.userVariable === undefined && t.sha256 === undefined && t.validationEnv.length === 0),
    wanted: 'validation_script, without which the other keys of this table mean nothing',
  },
});
