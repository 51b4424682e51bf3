// Where the log goes: a file, or the local syslog. A destination that cannot be opened is the site's fault and ends the
// stage, unless that is cleanup (site.ts); one that fills up later must not end a job that runs.

import { constants, fstatSync, openSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigurationError } from '../contract/errors.ts';
import type { LogLevel, LogSink } from '../contract/log.ts';
import { tell, writeFully } from '../contract/program.ts';
import type { Credentials } from './credentials.ts';
import { isClosed, resolveTrusted } from './trusted-file.ts';

/** Priorities of syslog(3). */
const PRIORITIES: Record<LogLevel, number> = { error: 3, warn: 4, info: 6, debug: 7 };

/**
 * Opens the destination.
 * @param location `syslog`, or the absolute path of a file; `auth.logging.location`
 */
export function openLogSink(location: string, credentials: Pick<Credentials, 'syslog'>): LogSink {
  const toSyslog: LogSink = (line, level) => {
    try {
      credentials.syslog(PRIORITIES[level], line.trimEnd());
    } catch {
      // No daemon listens. Nothing more can be done, and a job need not fail for it.
    }
  };
  if (location === 'syslog') return toSyslog;
  const descriptor = openLogFile(location);
  let isTorn = endsWithinLine(descriptor);
  return (line, level) => {
    try {
      writeFully(descriptor, isTorn ? `\n${line}` : line);
      isTorn = false;
    } catch (error) {
      tell(`The log of this runner cannot be written (${(error as NodeJS.ErrnoException).code}).`);
      isTorn = endsWithinLine(descriptor);
      toSyslog(line, level);
    }
  };
}

/** A full disk takes the beginning of a line. The next one must not become its end, which nobody could read. */
function endsWithinLine(descriptor: number): boolean {
  const last = Buffer.alloc(1);
  try {
    const { size } = fstatSync(descriptor);
    return size > 0 && readSync(descriptor, last, { position: size - 1 }) === 1 && last.toString() !== '\n';
  } catch {
    // A file server that is gone, for example; writing will tell.
    return false;
  }
}

/** Never through a symbolic link or into a FIFO, and never where others could have put something in its place. */
function openLogFile(path: string): number {
  try {
    const directory = resolveTrusted(dirname(path));
    const flags =
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const descriptor = openSync(join(directory, basename(path)), flags, 0o600);
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new Error('is not a regular file');
    if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) throw new Error(`is owned by uid ${stats.uid}`);
    if ((stats.mode & 0o022) !== 0) throw new Error('can be written by group or others');
    // In a directory such as /tmp anybody may give a file of root's another name: protected_hardlinks in proc_sys_fs(5).
    if (stats.nlink > 1 && !isClosed(directory)) throw new Error('has another name, in a directory open to others');
    return descriptor;
  } catch (cause) {
    throw new ConfigurationError({
      code: 'ERR_CONFIG_LOG_FILE',
      message: `auth.logging.location: ${path} cannot be used: ${(cause as Error).message}`,
      cause,
    });
  }
}
