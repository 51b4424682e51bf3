// The [auth.seccomp] table: system calls that a job may not make. Whether a name is a system call is known to
// libseccomp on the host alone, and judged by jacamar-auth (call-filter.ts).

import { key, table } from './table.ts';
import * as value from './value.ts';

export const seccomp = table({
  description:
    "Filter of system calls around `jacamar` and all that it starts for a job (not around `jacamar-auth` and the RunAs script). Needs libseccomp 2.5 or later, and downscope `setuid` or `none`. Without this table, or with one that asks for nothing, there is no filter. With any filter, 32-bit programs (i386, x32) are killed, because their calls have other numbers. It binds the processes of the job on this host, not what a scheduler's daemon, cron or `systemd --user` starts for the account.",
  keys: {
    disabled: key('disabled', value.flag, {
      default: false,
      status: 'works',
      description: 'Switches every filter off, whatever else this table says.',
      history: 'Filters came with upstream 0.5.0.',
    }),
    blockCalls: key('block_calls', value.names, {
      default: [],
      status: 'works',
      description:
        'System calls to refuse, by the names that libseccomp has; an unknown name is an error. Calls that io_uring could make in their place are cut off too: `io_uring_setup` fails with ENOSYS unless `allow_calls` names it.',
      example: ['ptrace', 'process_vm_readv', 'process_vm_writev'],
    }),
    blockAll: key('block_all', value.flag, {
      default: false,
      status: 'works',
      description:
        'Refuses every call but those in `allow_calls`, which have to be enough for `jacamar` (Node.js), the shell and the job.',
    }),
    allowCalls: key('allow_calls', value.names, {
      default: [],
      status: 'works',
      description: 'Calls to allow, whatever else this table says of them.',
    }),
    logAllowedActions: key('log_allowed_actions', value.flag, {
      default: false,
      status: 'works',
      description: 'Has the kernel log the calls that are allowed. For tests: every call costs a line.',
    }),
    disableNoNewPrivs: key('disable_no_new_privs', value.flag, {
      default: false,
      status: 'works',
      description:
        'Keeps the filter from setting `PR_SET_NO_NEW_PRIVS`, which it does otherwise. Possible for root with downscope `setuid` only; `auth.no_new_privs` sets it all the same.',
    }),
    errorNumBlockActions: key('error_num_block_actions', value.errorNumber, {
      default: false,
      status: 'works',
      description:
        'Lets a refused call fail with this error number (`true`: EPERM) instead of killing its process. 0 is the same as `false`.',
      history:
        'Upstream ends the thread only, since merge request 360; a process that lost one of its threads hangs, so the whole process is killed here.',
    }),
    validationPlugin: key('validation_plugin', value.absolutePath, {
      status: { never: 'a plugin for Go programs cannot be loaded' },
      description: 'Go plugin that changes the filter.',
    }),
    limitSetuid: key('limit_setuid', value.flag, {
      default: false,
      status: 'works',
      description:
        "Refuses `setuid`, `setgid` and their kin (`setre…`, `setres…`, `setfs…`) with any id but the account's uid or primary gid, inside user namespaces too.",
      history: 'A fixed rule before upstream merge request 323.',
    }),
    ttyRules: key('tty_rules', value.flag, {
      default: false,
      status: 'works',
      description:
        'Refuses the `ioctl` commands that type into a terminal: `TIOCSTI`, and `TIOCLINUX`, which pastes on a virtual terminal.',
      history: 'A fixed rule before upstream merge request 351, for `TIOCSTI`.',
    }),
  },
});
