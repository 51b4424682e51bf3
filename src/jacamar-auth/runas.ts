// The site's RunAs script: it may refuse a job, or say as which account it runs. Executed by the descriptor
// whose owner, mode and checksum were checked, in a clean environment, within time and size limits.

import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import * as v from 'valibot';
import { dataDirectory } from '../contract/config/value.ts';
import { SYSTEM_PATH } from '../contract/environment.ts';
import { AuthorizationError, ConfigurationError, JacamarError } from '../contract/errors.ts';
import type { Lock } from '../contract/lock.ts';
import { ProcessTree } from '../contract/process-tree.ts';
import { printable } from '../contract/text.ts';
import type { Credentials, ExitStatus } from './credentials.ts';
import { waitForExit } from './exit-status.ts';
import { parseStrictJson } from './strict-json.ts';
import type { Claims } from './token.ts';
import { openTrustedFile } from './trusted-file.ts';

/** `[auth.runas]`, as far as the script is concerned. */
export interface RunAsScript {
  readonly path: string;
  /** Lower-case hex; absent: not checked. */
  readonly sha256: string | undefined;
  /** `NAME=value`, as configured. */
  readonly environment: readonly string[];
}

/** Whom the script is asked about. */
export interface RunAsQuestion {
  /** The account that the job would get without the script. */
  readonly current: string;
  /** The account that the job asks for in `user_variable`; absent: it asks for none. */
  readonly target: string | undefined;
}

const replySchema = v.strictObject(
  {
    username: v.optional(v.string()),
    data_dir: v.optional(dataDirectory.schema),
    user_message: v.optional(v.string()),
    error_message: v.optional(v.string()),
  },
  ({ received }) => `expected username, data_dir, user_message or error_message, got ${received}`,
);

/** What the script said, `username` filled in. */
export interface RunAsReply {
  readonly username: string;
  readonly dataDir: string | undefined;
  readonly userMessage: string | undefined;
  /** For the log: what the script wrote. */
  readonly output: { readonly stdout: string; readonly stderr: string };
}

/** Longest run of the script, and how long after its end its output may stay open, in milliseconds. */
const TIME_LIMIT_MS = 30_000;
const LINGER_MS = 1_000;
const OUTPUT_LIMIT = 64 * 1024;
const SCRIPT_LIMIT = 16 * 1024 * 1024;

/**
 * Asks the script.
 * @throws {AuthorizationError} it refuses, or says anything that is no clear reply
 * @throws {ConfigurationError} it may not be executed
 */
export async function askRunAs(
  script: RunAsScript,
  question: RunAsQuestion,
  claims: Claims,
  addons: Addons,
): Promise<RunAsReply> {
  const descriptor = openChecked(script);
  try {
    const argv = [script.path, ...(question.target === undefined ? [] : [question.target]), question.current];
    const ended = await execute(descriptor, argv, scriptEnvironment(script, question, claims), addons);
    return judge(ended, question);
  } finally {
    closeSync(descriptor);
  }
}

function openChecked({ path, sha256 }: RunAsScript): number {
  let descriptor: number;
  try {
    descriptor = openTrustedFile(path);
  } catch (cause) {
    throw unusable((cause as Error).message, cause);
  }
  if (sha256 === undefined || checksum(descriptor) === sha256) return descriptor;
  closeSync(descriptor);
  throw unusable(`${path}: its SHA-256 checksum is not the one in auth.runas.sha256`);
}

function unusable(why: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError({ code: 'ERR_RUNAS_SCRIPT', message: `auth.runas.validation_script: ${why}`, cause });
}

/** Reads by position, so that the script's interpreter still finds the descriptor at its start. */
function checksum(descriptor: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(64 * 1024);
  for (let position = 0; position <= SCRIPT_LIMIT; ) {
    const length = readSync(descriptor, chunk, 0, chunk.length, position);
    if (length === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, length));
    position += length;
  }
  throw unusable(`it is larger than ${SCRIPT_LIMIT} bytes`);
}

/** The site's own entries have the lowest priority: none of them replaces what we say. */
function scriptEnvironment(script: RunAsScript, question: RunAsQuestion, claims: Claims): string[] {
  const ours = context(question, claims);
  const extra = script.environment.filter((entry) => !Object.hasOwn(ours, entry.slice(0, entry.indexOf('='))));
  const entries = Object.entries(ours).filter(([, value]) => !value.includes('\0'));
  return [...entries.map(([name, value]) => `${name}=${value}`), ...extra];
}

function context({ current, target }: RunAsQuestion, claims: Claims): Record<string, string> {
  return {
    PATH: SYSTEM_PATH,
    LANG: 'C.UTF-8',
    RUNAS_CURRENT_USER: current,
    ...(target === undefined ? {} : { RUNAS_TARGET_USER: target }),
    JWT_USER_LOGIN: claims.user_login,
    JWT_USER_EMAIL: claims.user_email,
    JWT_USER_ID: claims.user_id,
    JWT_NAMESPACE_ID: claims.job_namespace_id ?? claims.namespace_id,
    JWT_PROJECT_ID: claims.job_project_id ?? claims.project_id,
    JWT_PROJECT_PATH: claims.job_project_path ?? claims.project_path,
    JWT_JOB_ID: claims.job_id,
    JWT_PIPELINE_ID: claims.pipeline_id,
    JWT_PIPELINE_SOURCE: claims.pipeline_source,
    JWT_ISS: claims.iss,
    ...identities(claims),
  };
}

/** External identities the user shares, the provider's name in capitals: `JWT_IDENTITY_<PROVIDER>`. */
function identities({ user_identities: list }: Claims): Record<string, string> {
  const entries = (list ?? []).map(({ provider, extern_uid }) => {
    const name = provider.toUpperCase().replace(/[^A-Z0-9]+/g, '_');
    return [`JWT_IDENTITY_${name.slice(0, 64)}`, extern_uid];
  });
  return Object.fromEntries(entries);
}

/** What starting the script takes. */
export interface Addons {
  readonly credentials: Credentials;
  readonly lock: Lock;
}

interface Ended {
  readonly status: ExitStatus;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Why the run cannot count, whatever the script said. */
  readonly broken: string | undefined;
}

async function execute(file: number, argv: string[], env: string[], { credentials, lock }: Addons): Promise<Ended> {
  const tree = new ProcessTree(lock);
  const [stdout, stderr] = [openCapture(credentials), openCapture(credentials)];
  const stdin = openSync('/dev/null', 'r');
  const stdio: [number, number, number] = [stdin, stdout.theirs, stderr.theirs];
  let pid: number;
  try {
    const limits = { cwd: '/', umask: 0o077, noNewPrivileges: false, deathSignal: 9, newSession: true };
    pid = credentials.launch({ file, argv, env, stdio, ...limits });
  } catch (cause) {
    throw unusable(`it cannot be started: ${whyNotStarted(cause as NodeJS.ErrnoException)}`, cause);
  } finally {
    for (const descriptor of stdio) closeSync(descriptor);
  }
  tree.adopt(pid);
  const timeout = setTimeout(() => void tree.end(0), TIME_LIMIT_MS);
  const started = performance.now();
  const status = await waitForExit(pid, credentials);
  clearTimeout(timeout);
  const lingering = !(await Promise.all([stdout.end(LINGER_MS), stderr.end(LINGER_MS)])).every(Boolean);
  await tree.end(0);
  const broken = whyBroken(performance.now() - started, lingering, stdout.overflown || stderr.overflown);
  return { status, stdout: stdout.bytes(), stderr: stderr.bytes(), broken };
}

/** The file is open, so what the kernel misses is the program that the first line names: execve(2). */
function whyNotStarted({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `the interpreter that its first line (#!) names is not there; ${message}`;
  if (code === 'ENOEXEC') return `its first line does not name an interpreter (#!/bin/bash, say); ${message}`;
  return message;
}

function whyBroken(elapsed: number, lingering: boolean, overflown: boolean): string | undefined {
  if (elapsed >= TIME_LIMIT_MS) return `it took longer than ${TIME_LIMIT_MS / 1000} s`;
  if (lingering) return 'it ended, but something it started kept its output open';
  return overflown ? `it wrote more than ${OUTPUT_LIMIT} bytes` : undefined;
}

/** Collects one output stream up to the limit. */
function openCapture(credentials: Credentials) {
  const [ours, theirs] = credentials.pipe();
  const chunks: Buffer[] = [];
  let size = 0;
  const stream = new Socket({ fd: ours, readable: true, writable: false });
  const closed = new Promise<boolean>((resolve) => stream.on('close', () => resolve(true)));
  stream.on('data', (chunk) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT) chunks.push(chunk);
  });
  stream.on('error', () => stream.destroy());
  return {
    theirs,
    get overflown() {
      return size > OUTPUT_LIMIT;
    },
    bytes: () => Buffer.concat(chunks),
    /** True when the stream ends within `patience` milliseconds; it is closed in any case. */
    async end(patience: number): Promise<boolean> {
      const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), patience).unref());
      const inTime = await Promise.race([closed, late]);
      stream.destroy();
      return inTime;
    },
  };
}

function judge({ status, stdout, stderr, broken }: Ended, { current, target }: RunAsQuestion): RunAsReply {
  const output = { stdout: printable(stdout.toString('utf8')), stderr: printable(stderr.toString('utf8')) };
  if (broken !== undefined) throw refuse('ERR_RUNAS_BROKEN', broken);
  const reply = parseReply(stdout);
  if (reply instanceof JacamarError && !('exitCode' in status && status.exitCode !== 0)) throw reply;
  const said = reply instanceof JacamarError ? {} : reply;
  if (!('exitCode' in status) || status.exitCode !== 0) throw refused(status, said, output);
  return {
    username: said.username ?? target ?? current,
    dataDir: said.data_dir,
    userMessage: said.user_message,
    output,
  };
}

type Reply = v.InferOutput<typeof replySchema>;

/** No output is a reply too: no overrides. */
function parseReply(stdout: Buffer): Reply | AuthorizationError {
  if (stdout.toString('latin1').trim() === '') return {};
  try {
    const reply = parseStrictJson(stdout);
    // To valibot a list is an object too, and every member of ours is optional.
    if (Array.isArray(reply)) throw new TypeError('a list');
    return v.parse(replySchema, reply);
  } catch (cause) {
    return refuse('ERR_RUNAS_REPLY', `its output is no acceptable reply: ${(cause as Error).message}`, cause);
  }
}

function refused(status: ExitStatus, reply: Reply, output: RunAsReply['output']): AuthorizationError {
  const how = 'exitCode' in status ? `exit status ${status.exitCode}` : `signal ${status.signal}`;
  const why = reply.error_message ?? output.stderr;
  const message = `the RunAs script refused the job with ${how}${why === '' ? '' : `: ${printable(why)}`}`;
  const forUser = reply.user_message;
  return new AuthorizationError({
    code: 'ERR_RUNAS_REFUSED',
    message,
    ...(forUser === undefined ? {} : { publicMessage: printable(forUser) }),
  });
}

function refuse(code: string, why: string, cause?: unknown): AuthorizationError {
  return new AuthorizationError({ code, message: `the RunAs script's answer cannot count: ${why}`, cause });
}
