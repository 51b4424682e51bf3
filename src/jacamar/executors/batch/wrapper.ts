// What is submitted: a small script of ours that runs the job's script and tells, in files, how far it came. The
// scheduler runs a copy of what it gets, reads directives in it, and may forget or garble its exit code; the job's
// own script keeps its name, and its result, this way. Pure.

import { commandsFor, inShell, MARKS, OUTLIVES_SIGNALS, type Progress, readProgress } from '../../login-shell.ts';
import type { Usage } from './scheduler.ts';

/** What the wrapper depends on. */
export interface WrapperParts {
  readonly script: string;
  /** Private to the job; the markers go here. */
  readonly directory: string;
  /** Stands in every marker, so that nothing left by another job is taken for this one's. */
  readonly nonce: string;
  readonly bash: string;
  readonly options: readonly string[];
  /** For the login shell, on top of what the scheduler sets. */
  readonly environment: Readonly<Record<string, string>>;
  readonly preamble: string;
  readonly unset: readonly string[];
  /** Where the job's output goes unless the scheduler has it there already. */
  readonly output: string | undefined;
}

/** Names of the files below the job's directory. */
export const MARKERS = { started: 'started', exit: 'exit', again: 'again' } as const;
/** A directory: whoever makes it has begun the job, or has seen to it that nobody can any more. */
export const BEGUN = 'begun';

/**
 * The wrapper. It begins once: a scheduler that runs a job again (requeue, node failure) finds that out by mkdir(2),
 * which also NFS does atomically. It survives the signals that end a job, so that the script has the time that the
 * scheduler grants it, and passes on those that it gets alone to whoever in the job waits for them. What runs in the
 * background ignores SIGINT and SIGQUIT, bash(1), unless it is told otherwise.
 *
 * What it writes at the end has its room from the beginning, and is written over that: the job may have used up its
 * quota by then. A here-document would need room as well, in a temporary directory of the node (bash before 5.1).
 */
export function wrapperText(parts: WrapperParts): string {
  const { script, directory, nonce, bash, options, environment, preamble, unset, output } = parts;
  const exports = Object.entries(environment).map(([name, value]) => `  export ${name}=${inShell(value)}`);
  return `#!/bin/bash
# Written by Jacamar CI for one job. It runs the job's script and writes down how it ended.
umask 077
directory=${inShell(directory)} nonce=${inShell(nonce)} code= shell=
mark() {
  { printf '%s\\n' "$nonce"; cat; } 1<>"$directory/.$1" && mv -f "$directory/.$1" "$directory/$1"
}
if ! mkdir "$directory/${BEGUN}"; then
  uname -n | mark ${MARKERS.again}
  echo 'This job has begun before, or its CI job is over; it is not run.' >&2
  exit 1
fi
uname -n | mark ${MARKERS.started}
for name in .${MARKERS.exit} times marks; do printf '%4095s\\n' '' | tr ' ' '\\n' >"$directory/$name"; done
catches() {
  local name= value= caught=0
  while read -r name value; do [ "$name" = SigCgt: ] && caught=$((16#$value)); done
  (((caught >> ($1 - 1)) & 1))
}
pass() {
  local child
  for child in $(cat "/proc/$2/task/$2/children"); do
    if catches "$1" <"/proc/$child/status"; then kill -"$1" "$child"; fi
    pass "$1" "$child"
  done
} 2>/dev/null
asked=
trap 'asked=15' TERM
trap 'asked=2' INT
trap 'asked=1' HUP
trap 'pass 10 $$' USR1
trap 'pass 12 $$' USR2
${unset.length === 0 ? ':' : `unset ${unset.join(' ')}`}
${output === undefined ? ':' : `[ "/proc/$$/fd/1" -ef ${inShell(output)} ] || exec >>${inShell(output)}`}
# Flux and others carry the two apart, and do not keep the order of their lines.
exec 2>&1
(
  trap - INT QUIT
  umask 022
${exports.join('\n')}
  cd "$HOME" 2>/dev/null || cd /
  exec ${[bash, ...options].map(inShell).join(' ')} ${MARKS}<>"$directory/marks"
) < <(printf '%s' ${inShell(`${OUTLIVES_SIGNALS}
${preamble}${commandsFor(script)}`)}) &
shell=$!
while
  wait "$shell"
  code=$?
  kill -0 "$shell" 2>/dev/null
do :; done
export LC_ALL=C
peak() {
  local path=
  path=$(grep -E '^0::|:memory:' /proc/$$/cgroup | grep -m 1 -iE 'job|slurm|pbs|lsf|flux') && path=\${path##*:} || return 0
  cat "/sys/fs/cgroup$path/memory.peak" "/sys/fs/cgroup/memory$path/memory.max_usage_in_bytes" 2>/dev/null
}
times 1<>"$directory/times"
{
  printf '%s %s\\n' "$code" "$(stat -Lc '%F %s' "/proc/$$/fd/1")"
  printf 'used %s %s %s\\n' "$SECONDS" "$(sed -n 2p "$directory/times")" "$(peak)"
  [ -z "$asked" ] || printf 'asked %s\\n' "$asked"
  tr -s '\\n' <"$directory/marks"
} 2>/dev/null | mark ${MARKERS.exit}
while read -r word value; do [ "$word" = ended ] && exit "$value"; done <"$directory/marks"
exit "$((code ? code : 1))"
`;
}

/** What the wrapper wrote at its end. */
export interface ExitMarker {
  /** Of the login shell, as bash(1) tells it. */
  readonly shellCode: number;
  readonly progress: Progress;
  /** Number of the signal that the whole job got to end, the wrapper as well. */
  readonly signal: number | undefined;
  /** Size of the output in bytes at that moment, if it went to a file. */
  readonly outputSize: number | undefined;
  /** As far as the first node can tell. */
  readonly usage: Pick<Usage, 'wallSeconds' | 'cpuSeconds' | 'memoryPeak'>;
}

/** Undefined for a marker that is not whole (yet), or not of this job. */
export function readExitMarker(text: string, nonce: string): ExitMarker | undefined {
  const [found, status = '', ...marks] = text.split('\n');
  const code = status.match(/^([0-9]{1,3}) (?:(regular(?: empty)? file) ([0-9]+))?/);
  if (found !== nonce || code === null) return undefined;
  const told = marks.join('\n');
  const [, signal] = told.match(/^asked ([0-9]{1,2})$/m) ?? [];
  return {
    shellCode: Number(code[1]),
    progress: readProgress(told),
    signal: signal === undefined ? undefined : Number(signal),
    outputSize: code[3] === undefined ? undefined : Number(code[3]),
    usage: readUsage(marks[0] ?? ''),
  };
}

/** Seconds of wall time, bash's `times` of what it waited for (user, system), and bytes where a control group tells. */
const USED = /^used ([0-9]+) ([0-9]+)m([0-9.]+)s ([0-9]+)m([0-9.]+)s(?: ([0-9]+))?/;

function readUsage(line: string): ExitMarker['usage'] {
  const found = line.match(USED);
  if (found === null) return {};
  const [wall = 0, userMinutes = 0, user = 0, systemMinutes = 0, system = 0] = found.slice(1).map(Number);
  const memory = found[6] === undefined ? {} : { memoryPeak: Number(found[6]) };
  return { wallSeconds: wall, cpuSeconds: (userMinutes + systemMinutes) * 60 + user + system, ...memory };
}
