// The GitLab server: which one it is, and asking it. The only user of an HTTP client, loaded only by the
// stage that really asks. No redirects, bounded time and size, and no environment variable has a say.

import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { ConfigurationError, SystemFailure } from '../contract/errors.ts';
import { type Job, variableValues } from '../contract/job.ts';
import { printable } from '../contract/text.ts';
import { readTrustedFile, UntrustedFileError } from './trusted-file.ts';

/** A server we trust, by the administrator's word or by the runner's own. */
export interface Server {
  /** Base address without trailing slash; also the expected issuer of tokens. */
  readonly url: string;
  /** PEM file for a private certificate authority. */
  readonly caFile: string | undefined;
}

/** Longest wait for one answer, connection included, in milliseconds. */
const TIME_LIMIT_MS = 10_000;
/** OpenSSL's names for a certificate that nobody known here has signed. */
const UNKNOWN_ISSUER = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/;
/** Largest answer taken. A key set has a few KiB. */
const SIZE_LIMIT = 1024 * 1024;

/**
 * Finds the job's server. `general.gitlab_server` decides when it is set; else it is the first entry of CI_SERVER_URL
 * in the job response. That is the server's own, as long as the server keeps its order; so it must also be where the
 * address of the repository begins, which no CI variable can change. Any other path of the same host could be a file
 * that somebody keeps there, with keys of his own.
 * @throws {ConfigurationError} no trustworthy address, or http to another host that nobody asked for
 */
export function findServer(configured: { url: string | undefined; caFile: string | undefined }, job: Job): Server {
  if (configured.url !== undefined) return { url: withoutSlash(configured.url), caFile: configured.caFile };
  const url = withoutSlash(variableValues(job, 'CI_SERVER_URL')[0]?.reveal() ?? '');
  if (!URL.canParse(url) || !isAbove(new URL(url), new URL(job.repositoryUrl))) {
    throw unknownServer(`CI_SERVER_URL is "${printable(url)}", the repository is at ${printable(job.repositoryUrl)}`);
  }
  requireSafeTransport(new URL(url));
  return { url, caFile: configured.caFile };
}

function isAbove({ href }: URL, repository: URL): boolean {
  return repository.href.startsWith(`${withoutSlash(href)}/`);
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

function requireSafeTransport(url: URL): void {
  if (isSafeTransport(url)) return;
  throw unknownServer(`${url.origin} is not https; name it in general.gitlab_server if that is what you want`);
}

/** TLS, or no network at all. */
export function isSafeTransport({ protocol, hostname }: URL): boolean {
  const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.[0-9]{1,3}){3}$/.test(hostname);
  return protocol === 'https:' || (protocol === 'http:' && loopback);
}

function unknownServer(why: string): ConfigurationError {
  return new ConfigurationError({
    code: 'ERR_SERVER_UNKNOWN',
    message: `cannot tell which GitLab server to trust: ${why}. Set general.gitlab_server.`,
  });
}

/** What the server said. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/**
 * Asks the server for `path`.
 * @throws {SystemFailure} unreachable, too slow, too large, or not trusted by its certificate
 */
export async function ask(server: Server, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const url = new URL(`${server.url}${path}`);
  const options: RequestOptions = {
    headers: { accept: 'application/json', 'user-agent': 'jacamar-ci', ...headers },
    agent: false,
    signal: AbortSignal.timeout(TIME_LIMIT_MS),
    ...(url.protocol === 'https:' ? { ca: certificateAuthorities(server.caFile), rejectUnauthorized: true } : {}),
  };
  try {
    return await request(url, options);
  } catch (cause) {
    const { name, code, message } = cause as NodeJS.ErrnoException;
    const why = name === 'AbortError' ? `no answer within ${TIME_LIMIT_MS / 1000} s` : (code ?? message);
    const hint = UNKNOWN_ISSUER.test(code ?? '') ? ' (general.tls-ca-file names an authority of your own)' : '';
    throw new SystemFailure({
      code: 'ERR_SERVER_UNREACHABLE',
      message: `GET ${url.href}: ${why}${hint}`,
      publicMessage: 'The GitLab server cannot be asked for its keys at the moment; trying again later may help.',
      cause,
    });
  }
}

async function request(url: URL, options: RequestOptions): Promise<Answer> {
  const { get } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  return new Promise((resolve, reject) => {
    const sent = get(url, options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > SIZE_LIMIT) sent.destroy(new Error(`answer is larger than ${SIZE_LIMIT} bytes`));
        chunks.push(chunk);
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      response.on('error', reject);
      response.on('aborted', () => reject(new Error('connection closed in the middle of the answer')));
    });
    sent.on('error', reject);
  });
}

/** Where distributions keep the authorities that their administrator trusts: RHEL family, Debian family, SUSE. */
const SYSTEM_AUTHORITIES = [
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/ssl/ca-bundle.pem',
];

/** `undefined` leaves the choice to Node's built-in list. */
function certificateAuthorities(caFile: string | undefined): Buffer | undefined {
  if (caFile === undefined) return systemAuthorities();
  try {
    return readTrustedFile(caFile, SIZE_LIMIT * 4);
  } catch (cause) {
    if (!(cause instanceof UntrustedFileError)) throw cause;
    throw new ConfigurationError({ code: 'ERR_CA_FILE', message: `general.tls-ca-file: ${cause.message}`, cause });
  }
}

function systemAuthorities(): Buffer | undefined {
  for (const file of SYSTEM_AUTHORITIES) {
    try {
      return readFileSync(file);
    } catch {
      // another distribution
    }
  }
  return undefined;
}
