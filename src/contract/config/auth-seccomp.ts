// The [auth.seccomp] table: system calls that a job may not make.

import { key, table } from './table.ts';
import * as value from './value.ts';

const LATER = { later: 'filters of system calls' } as const;

export const seccomp = table({
  description: 'Filter of system calls.',
  keys: {
    disabled: key('disabled', value.flag, {
      default: false,
      status: { ...LATER, works: [true] },
      description: 'Switches every filter off. There is none yet, so that both values mean the same today.',
      history: 'Filters came with upstream 0.5.0.',
    }),
    blockCalls: key('block_calls', value.names, {
      default: [],
      status: LATER,
      description: 'System calls to refuse.',
    }),
    blockAll: key('block_all', value.flag, {
      default: false,
      status: LATER,
      description: 'Refuses every call but those in `allow_calls`.',
    }),
    allowCalls: key('allow_calls', value.names, {
      default: [],
      status: LATER,
      description: 'Calls to allow, whatever else is said.',
    }),
    logAllowedActions: key('log_allowed_actions', value.flag, {
      default: false,
      status: LATER,
      description: 'Has the kernel log the calls that are allowed; for tests.',
    }),
    disableNoNewPrivs: key('disable_no_new_privs', value.flag, {
      default: false,
      status: LATER,
      description: 'Keeps the filter from setting `PR_SET_NO_NEW_PRIVS`.',
    }),
    errorNumBlockActions: key('error_num_block_actions', value.flagOrNumber, {
      default: false,
      status: LATER,
      description: 'Lets a refused call fail with an error number instead of ending the thread.',
      history: 'Ending the thread is the default since upstream merge request 360.',
    }),
    validationPlugin: key('validation_plugin', value.absolutePath, {
      status: { never: 'a plugin for Go programs cannot be loaded' },
      description: 'Go plugin that changes the filter.',
    }),
    limitSetuid: key('limit_setuid', value.flag, {
      default: false,
      status: LATER,
      description: "Refuses changes to ids other than the account's.",
      history: 'A fixed rule before upstream merge request 323.',
    }),
    ttyRules: key('tty_rules', value.flag, {
      default: false,
      status: LATER,
      description: 'Refuses the ioctl that types into a terminal (`TIOCSTI`).',
      history: 'A fixed rule before upstream merge request 351.',
    }),
  },
});
