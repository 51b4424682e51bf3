// The server's public keys for CI tokens. Every stage is a process of its own, so the keys are cached in the
// state directory: one fetch serves all jobs for `auth.jwks_max_age`, an unknown key id asks again at most
// every half minute, and only one process asks at a time. A bad answer never replaces a good one.

import { closeSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { AuthorizationError, ConfigurationError, SystemFailure } from '../contract/errors.ts';
import { type Lock, waitForLock } from '../contract/lock.ts';
import { printable } from '../contract/text.ts';
import type { Answer, Server } from './server.ts';
import { fileNameOf, openLockFile, replaceFile, stateDirectory } from './state-directory.ts';
import { readTrustedFile } from './trusted-file.ts';

/** Where GitLab serves its key set, as its discovery document says; never taken from a token. */
const KEYS_PATH = '/oauth/discovery/keys';
/** How long an unknown key id, or a failed fetch, keeps others from asking again. */
const COOLDOWN_MS = { unknownKey: 30_000, failure: 5_000 };
/** Longest wait for another process that is fetching. */
const LOCK_WAIT_MS = 15_000;
const CACHE_LIMIT = 1024 * 1024;
const MOST_KEYS = 100;

const key = v.object({
  kty: v.literal('RSA'),
  kid: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  n: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{342,2731}$/)),
  /** 65537, as every generator makes them; with an exponent of 1 everybody could sign. */
  e: v.pipe(v.string(), v.value('AQAB')),
  use: v.optional(v.literal('sig')),
  alg: v.optional(v.literal('RS256')),
});

/** A public RSA key for signatures, of 2048 bits or more. */
export type SigningKey = v.InferOutput<typeof key>;

const keySet = v.object({ keys: v.pipe(v.array(v.unknown()), v.maxLength(MOST_KEYS)) });

const cacheSchema = v.object({
  url: v.string(),
  /** Milliseconds since 1970: the last good answer, and the last question. */
  fetchedAt: v.number(),
  askedAt: v.number(),
  failure: v.optional(v.string()),
  keys: v.array(key),
});
type Cache = v.InferOutput<typeof cacheSchema>;

/** What finding a key depends on; time, network and locks come as values so that tests can hold them. */
export interface KeySource {
  readonly server: Server;
  readonly stateDirectory: string;
  readonly maxAgeMs: number;
  readonly lock: Pick<Lock, 'tryLock'>;
  readonly ask: (server: Server, path: string) => Promise<Answer>;
  readonly now: () => number;
}

/**
 * The server's key with this id.
 * @throws {AuthorizationError} the server has no such key
 * @throws {SystemFailure} the server cannot be asked, or its answer is no key set
 */
export async function findKey(source: KeySource, kid: string): Promise<SigningKey> {
  const file = cacheFile(source);
  const known = answerFrom(readCache(file, source), kid, source) ?? (await refresh(file, source, kid));
  if (known === 'unknown') {
    throw new AuthorizationError({
      code: 'ERR_TOKEN_KEY_UNKNOWN',
      message: `the token is signed with a key that ${source.server.url} does not list: kid "${printable(kid)}"`,
    });
  }
  return known;
}

/**
 * Keys that a site has pinned in a file instead of asking the server.
 * @throws {ConfigurationError} the file is not trusted or holds no usable key
 */
export function pinnedKey(path: string, kid: string): SigningKey {
  const keys = readPinned(path);
  const found = keys.find((candidate) => candidate.kid === kid);
  if (found) return found;
  throw new AuthorizationError({
    code: 'ERR_TOKEN_KEY_UNKNOWN',
    message: `the token is signed with a key that auth.jwks_file ${path} does not list: kid "${printable(kid)}"`,
  });
}

function readPinned(path: string): SigningKey[] {
  try {
    return usableKeys(readTrustedFile(path, CACHE_LIMIT));
  } catch (cause) {
    throw new ConfigurationError({
      code: 'ERR_CONFIG_JWKS_FILE',
      message: `auth.jwks_file cannot be used: ${(cause as Error).message}`,
      cause,
    });
  }
}

/** A cache's verdict on a key id; `undefined`: it cannot tell, the server has to be asked. */
function answerFrom(cache: Cache | undefined, kid: string, source: KeySource): SigningKey | 'unknown' | undefined {
  if (cache === undefined) return undefined;
  const now = source.now();
  const isFresh = isRecent(cache.fetchedAt, now, source.maxAgeMs);
  const found = isFresh ? cache.keys.find((candidate) => candidate.kid === kid) : undefined;
  if (found) return found;
  if (cache.failure !== undefined && isRecent(cache.askedAt, now, COOLDOWN_MS.failure)) throw failed(cache.failure);
  return isFresh && isRecent(cache.askedAt, now, COOLDOWN_MS.unknownKey) ? 'unknown' : undefined;
}

/** A time in the future is not recent: a clock was set back, or somebody is trying something. */
function isRecent(time: number, now: number, age: number): boolean {
  return time <= now && now - time < age;
}

async function refresh(file: string, source: KeySource, kid: string): Promise<SigningKey | 'unknown'> {
  const descriptor = openLockFile(`${file}.lock`);
  try {
    if (!(await waitForLock(source.lock, descriptor, { limitMs: LOCK_WAIT_MS }))) {
      throw failed(`another process has been fetching for ${LOCK_WAIT_MS / 1000} s`);
    }
    const before = readCache(file, source);
    const meanwhile = answerFrom(before, kid, source);
    if (meanwhile !== undefined) return meanwhile;
    const cache = await fetchKeys(source, before);
    replaceFile(file, JSON.stringify(cache));
    if (cache.failure !== undefined) throw failed(cache.failure);
    return cache.keys.find((candidate) => candidate.kid === kid) ?? 'unknown';
  } finally {
    closeSync(descriptor);
  }
}

/** Asks once. A failure is kept beside the keys known before, so that others need not run into it as well. */
async function fetchKeys(source: KeySource, before: Cache | undefined): Promise<Cache> {
  const askedAt = source.now();
  const base = { url: source.server.url, askedAt };
  try {
    const { status, body } = await source.ask(source.server, KEYS_PATH);
    if (status !== 200) throw new Error(`it answered with status ${status}`);
    return { ...base, fetchedAt: askedAt, keys: usableKeys(body) };
  } catch (cause) {
    const failure = whyUnavailable(cause, source);
    return { ...base, fetchedAt: before?.fetchedAt ?? 0, keys: before?.keys ?? [], failure };
  }
}

/** An answer of the wrong address is one of the wrong kind: the address is part of the reason. */
function whyUnavailable(cause: unknown, { server }: KeySource): string {
  const { message } = cause as Error;
  return cause instanceof SystemFailure ? message : `GET ${server.url}${KEYS_PATH}: ${message}`;
}

/** Only well-formed RSA signing keys count, and none whose id stands twice. */
function usableKeys(body: Uint8Array): SigningKey[] {
  const listed = v.safeParse(keySet, JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)));
  if (!listed.success) throw new Error('its answer is not a key set');
  const usable = listed.output.keys.flatMap((candidate) => {
    const parsed = v.safeParse(key, candidate);
    return parsed.success ? [parsed.output] : [];
  });
  const unique = usable.filter(({ kid }) => usable.filter((other) => other.kid === kid).length === 1);
  if (unique.length === 0) throw new Error('its answer holds no usable RSA key of 2048 bits or more');
  return unique;
}

function failed(why: string): SystemFailure {
  return new SystemFailure({
    code: 'ERR_KEYS_UNAVAILABLE',
    message: `the keys of the GitLab server cannot be had: ${why}`,
    publicMessage: 'The keys of the GitLab server cannot be had at the moment; trying again later may help.',
  });
}

function cacheFile({ server, stateDirectory: root }: KeySource): string {
  return join(stateDirectory(root, 'keys'), `${fileNameOf(server.url)}.json`);
}

/** A cache that is missing, damaged, of another server or not ours alone counts as none. */
function readCache(file: string, { server }: KeySource): Cache | undefined {
  try {
    const cache = v.parse(cacheSchema, JSON.parse(readTrustedFile(file, CACHE_LIMIT).toString('utf8')));
    return cache.url === server.url ? cache : undefined;
  } catch {
    return undefined;
  }
}
