// What one call of jacamar-auth works with: the site's configuration from a trusted file, the log, the addons,
// and the runner's environment. Opened once, passed on as a value.

import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { type AuthConfiguration, parseConfiguration, requireAuth } from '../contract/config.ts';
import { JOB_ENVIRONMENT, RUNNER_ENVIRONMENT } from '../contract/custom-executor.ts';
import { ConfigurationError, SystemFailure } from '../contract/errors.ts';
import { type Job, parseJobResponse } from '../contract/job.ts';
import { restoreOpenFiles } from '../contract/limits.ts';
import { type Lock, loadLock } from '../contract/lock.ts';
import { createLog, errorDetails, type Log, SILENT_LOG } from '../contract/log.ts';
import type { Environment } from '../contract/program.ts';
import { type Credentials, isRoot, loadCredentials } from './credentials.ts';
import { openLogSink } from './log-sink.ts';
import { readTrustedFile, UntrustedFileError } from './trusted-file.ts';

/** The outside, as far as it is known before the job is read. */
export interface Site {
  readonly configuration: AuthConfiguration;
  readonly configurationPath: string;
  readonly environment: Environment;
  readonly credentials: Credentials;
  readonly lock: Lock;
  readonly log: Log;
  readonly stateDirectory: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const LARGEST_CONFIGURATION = 1024 * 1024;
/** Holds every variable of the job, file variables included. */
const LARGEST_JOB_RESPONSE = 64 * 1024 * 1024;

/**
 * Opens the site for one stage. The path of the configuration comes from the command line, or from what our
 * own config stage told the runner; the file itself is checked either way.
 * @throws {ConfigurationError} the configuration cannot be used
 */
export function openSite(configurationOption: string | undefined, stage: string, environment: Environment): Site {
  const credentials = loadCredentials();
  credentials.harden();
  const configurationPath = configurationOption ?? environment[JOB_ENVIRONMENT.configuration];
  if (configurationPath === undefined) throw withoutConfiguration(stage);
  const configuration = readConfiguration(configurationPath);
  const lock = loadLock();
  restoreOpenFiles(environment, lock);
  return {
    configuration,
    configurationPath,
    environment,
    credentials,
    lock,
    log: openLog(configuration, stage, credentials),
    stateDirectory: configuration.auth.stateDir ?? defaultStateDirectory(),
    now: Date.now,
  };
}

/**
 * Reads a configuration that nobody but its owner could have written.
 * @throws {ConfigurationError} it cannot be used
 */
export function readConfiguration(path: string): AuthConfiguration {
  try {
    return requireAuth(parseConfiguration(readTrustedFile(path, LARGEST_CONFIGURATION), path));
  } catch (cause) {
    if (!(cause instanceof UntrustedFileError)) throw cause;
    throw new ConfigurationError({ code: 'ERR_CONFIG_FILE', message: `configuration ${cause.message}`, cause });
  }
}

function withoutConfiguration(stage: string): ConfigurationError | SystemFailure {
  const code = 'ERR_NO_CONFIGURATION';
  const message = `no configuration is known at ${stage}: `;
  const takesOption = stage === 'config_exec' || stage === 'cleanup_exec';
  if (takesOption) {
    const why = "the option --configuration is missing from the runner's arguments";
    return new ConfigurationError({ code, message: message + why });
  }
  const why = 'it comes from the config stage, which did not run or did not end well; look at earlier errors';
  return new SystemFailure({ code, message: message + why });
}

/** A service account has no place in /run of its own; its home is as trustworthy as itself. */
export function defaultStateDirectory(): string {
  if (isRoot()) return '/run/jacamar';
  return join(userInfo().homedir, '.local/state/jacamar');
}

/** Job and runner are filled in once the job is read. */
function openLog({ general, auth }: AuthConfiguration, stage: string, credentials: Credentials): Log {
  if (!auth.logging.enabled) return SILENT_LOG;
  const fields = {
    job: 0,
    runner: '',
    stage,
    processID: process.pid,
    hostname: hostname(),
    ...(general.name === undefined ? {} : { name: general.name }),
  };
  const logTo = (location: string) => createLog(auth.logging.level, fields, openLogSink(location, credentials));
  try {
    return logTo(auth.logging.location);
  } catch (error) {
    if (stage !== 'cleanup_exec') throw error;
    // What was let in with a log has to go without it, too.
    const log = logTo('syslog');
    log.error('the log cannot be used', errorDetails(error));
    return log;
  }
}

/**
 * Reads what the runner says of the job.
 * @throws {SystemFailure} the runner's file is missing or not the runner's
 */
export function readJob(environment: Environment): Job {
  const path = environment[RUNNER_ENVIRONMENT.jobResponseFile];
  if (path === undefined)
    throw noJob(`${RUNNER_ENVIRONMENT.jobResponseFile} is not set; is this a call by GitLab Runner?`);
  try {
    return parseJobResponse(readTrustedFile(path, LARGEST_JOB_RESPONSE).toString('utf8'));
  } catch (cause) {
    if (!(cause instanceof UntrustedFileError)) throw cause;
    throw noJob(`job response file ${cause.message}`, cause);
  }
}

function noJob(message: string, cause?: unknown): SystemFailure {
  return new SystemFailure({ code: 'ERR_JOB_RESPONSE', message, cause });
}
