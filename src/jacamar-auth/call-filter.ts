// What `[auth.seccomp]` means: from the site's settings to the rules of a filter for one account. A setting that
// cannot be kept ends the stage; nothing here falls back to a weaker filter.

import { closest } from '../contract/closest.ts';
import type { Configuration } from '../contract/config.ts';
import { ConfigurationError } from '../contract/errors.ts';
import { type FilterCompiler, type FilterRules, loadFilterCompiler } from './filter-compiler.ts';

type Auth = Configuration['auth'];
type Settings = Auth['seccomp'];

/** A filter that waits for its account. */
export interface CallFilter {
  /** Whether jobs lose the way to new privileges for the filter's sake. */
  readonly noNewPrivileges: boolean;
  compileFor(account: { readonly uid: number; readonly gid: number }): Uint8Array;
}

/** Capability sets of this process, as credentials.ts gives them. */
interface Rights {
  capabilities(): { readonly permitted: string };
}

/** Calls of the launch itself, made when the filter stands: exec, and the report that it failed. */
const LAUNCH_CALLS = ['execve', 'write', 'exit_group'];

/** setuid(2) and its kin: how many ids each takes, and of which kind. */
const ID_CALLS = [
  { call: 'setuid', arguments: 1, kind: 'uid' },
  { call: 'setreuid', arguments: 2, kind: 'uid' },
  { call: 'setresuid', arguments: 3, kind: 'uid' },
  { call: 'setfsuid', arguments: 1, kind: 'uid' },
  { call: 'setgid', arguments: 1, kind: 'gid' },
  { call: 'setregid', arguments: 2, kind: 'gid' },
  { call: 'setresgid', arguments: 3, kind: 'gid' },
  { call: 'setfsgid', arguments: 1, kind: 'gid' },
] as const;

/** ioctl_tty(2): TIOCSTI types into a terminal; TIOCLINUX pastes into a text console, which comes to the same. */
const TYPING_IOCTLS = [0x5412, 0x541c];

/** Of io_uring(7): submits other calls past every filter, so that blocking those would mean little. */
const FILTER_BYPASS = 'io_uring_setup';

/** errno(3) EPERM, the answer where the site gives no number. */
const EPERM = 1;

/** CAP_SYS_ADMIN: capabilities(7). */
const ADMIN = 1n << 21n;

/**
 * The filter that a site asks for, or nothing.
 * @throws {ConfigurationError} a name is no system call, no job could start, or this process cannot install it
 */
export function callFilter(
  { auth, fileName }: Pick<Configuration, 'auth' | 'fileName'>,
  rights: Rights,
  load: () => FilterCompiler = loadFilterCompiler,
): CallFilter | undefined {
  const { seccomp } = auth;
  if (!isWanted(seccomp)) return undefined;
  const compiler = load();
  for (const [key, names] of [
    ['block_calls', seccomp.blockCalls],
    ['allow_calls', seccomp.allowCalls],
  ] as const) {
    requireKnown(names, `auth.seccomp.${key} (${fileName})`, compiler);
  }
  requireStart(seccomp, fileName);
  requireRight(auth, fileName, rights);
  return {
    noNewPrivileges: !seccomp.disableNoNewPrivs,
    compileFor: (account) => compiled(rulesOf(seccomp, account), fileName, compiler),
  };
}

/** A table that refuses nothing and logs nothing is as good as none. `allow_calls` alone changes nothing. */
function isWanted({ disabled, blockCalls, blockAll, limitSetuid, ttyRules, logAllowedActions }: Settings): boolean {
  return !disabled && (blockCalls.length > 0 || blockAll || limitSetuid || ttyRules || logAllowedActions);
}

function requireKnown(names: readonly string[], where: string, compiler: FilterCompiler): void {
  const complaints = names
    .filter((name) => !compiler.knows(name))
    .map((name) => {
      const meant = closest(name, compiler.names());
      return `${where}: ${JSON.stringify(name)} is no system call${meant === undefined ? '' : `; did you mean ${meant}?`}`;
    });
  if (complaints.length === 0) return;
  throw unusable(`${complaints.join('\n')}\n(known to libseccomp ${compiler.version()} on this host)`);
}

function requireStart({ blockAll, blockCalls, allowCalls }: Settings, fileName: string): void {
  const isBlocked = (call: string) => !allowCalls.includes(call) && (blockAll || blockCalls.includes(call));
  const missing = LAUNCH_CALLS.filter(isBlocked);
  if (missing.length === 0) return;
  const why = 'the filter is in force when jacamar is started, so no job could run';
  throw unusable(`auth.seccomp (${fileName}) blocks ${missing.join(', ')}: ${why}; name them in allow_calls`);
}

function requireRight({ downscope, noNewPrivs, seccomp }: Auth, fileName: string, rights: Rights): void {
  const where = `auth.seccomp (${fileName})`;
  if (downscope === 'sudo' || downscope === 'su') {
    throw unusable(
      `${where} needs downscope "setuid" or "none": "${downscope}" is a program that a filter would break`,
    );
  }
  if (!seccomp.disableNoNewPrivs || noNewPrivs) return;
  const isAdmin = (BigInt(`0x${rights.capabilities().permitted}`) & ADMIN) !== 0n;
  if (downscope === 'setuid' && isAdmin) return;
  const why = 'without no_new_privs the kernel takes a filter from root only (CAP_SYS_ADMIN), with downscope "setuid"';
  throw unusable(`${where}, disable_no_new_privs: ${why}`);
}

/** What is allowed by name wins over everything else. */
function rulesOf(settings: Settings, ids: { readonly uid: number; readonly gid: number }): FilterRules {
  const { blockAll, allowCalls, blockCalls, limitSetuid, ttyRules, logAllowedActions } = settings;
  const isFree = ({ call }: { readonly call: string }) => !allowCalls.includes(call) && !blockCalls.includes(call);
  const typing = TYPING_IOCTLS.map((value) => ({ call: 'ioctl', argument: 1, value }));
  const limits = ID_CALLS.map(({ call, arguments: count, kind }) => ({ call, arguments: count, id: ids[kind] }));
  return {
    onlyAllowed: blockAll,
    allowed: allowCalls,
    blocked: [...new Set(blockCalls)].filter((call) => !allowCalls.includes(call)),
    absent: [FILTER_BYPASS].filter((call) => blockCalls.length > 0 && isFree({ call })),
    refusals: ttyRules ? typing.filter(isFree) : [],
    limits: limitSetuid && !blockAll ? limits.filter(isFree) : [],
    error: errorOf(settings.errorNumBlockActions),
    logAllowed: logAllowedActions,
  };
}

/** Too many rules, or a call of ours that the host's libseccomp is too old for. */
function compiled(rules: FilterRules, fileName: string, compiler: FilterCompiler): Uint8Array {
  try {
    return compiler.compile(rules);
  } catch (cause) {
    const reason = (cause as Error).message;
    const message = `auth.seccomp (${fileName}): libseccomp ${compiler.version()} cannot make this filter: ${reason}`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_SECCOMP', message, cause });
  }
}

/** 0, in the addon and for the site, is no error: the process is killed. */
function errorOf(setting: boolean | number): number {
  if (typeof setting === 'number') return setting;
  return setting ? EPERM : 0;
}

function unusable(message: string): ConfigurationError {
  return new ConfigurationError({ code: 'ERR_CONFIG_SECCOMP', message });
}
