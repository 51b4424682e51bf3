// Verifies the job's ID token: RFC 7515, 7519, and the advice of RFC 8725. The only user of jose, which
// checks signature and times; what it leaves to its caller is checked here.

import { errors, importJWK, type JWTPayload, jwtVerify } from 'jose';
import * as v from 'valibot';
import { AuthorizationError, JacamarError } from '../contract/errors.ts';
import type { Secret } from '../contract/secret.ts';
import { printable } from '../contract/text.ts';
import type { SigningKey } from './keys.ts';
import { parseStrictJson } from './strict-json.ts';

/** Larger than any token GitLab makes, 200 group paths included. */
const LONGEST_TOKEN = 64 * 1024;
/** How far clocks may differ, in seconds. */
const LEEWAY_SECONDS = 30;
/** GitLab's longest job timeout is a month. */
const LONGEST_LIFE_SECONDS = 32 * 24 * 3600;

const id = v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,18}$/));
const text = v.pipe(v.string(), v.maxLength(4096));
const optionalText = v.optional(v.nullable(text));
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 40));

const claimsSchema = v.object({
  iss: text,
  sub: text,
  aud: v.union([text, v.pipe(v.array(text), v.length(1))]),
  exp: seconds,
  iat: seconds,
  nbf: seconds,
  jti: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  job_id: id,
  pipeline_id: id,
  pipeline_source: text,
  project_id: id,
  project_path: text,
  namespace_id: id,
  namespace_path: text,
  job_project_id: v.optional(id),
  job_project_path: v.optional(text),
  job_namespace_id: v.optional(id),
  job_namespace_path: v.optional(text),
  user_id: id,
  user_login: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  user_email: text,
  user_access_level: optionalText,
  user_identities: v.optional(v.nullable(v.array(v.object({ provider: text, extern_uid: text })))),
  ref: text,
  ref_type: text,
  ref_protected: v.picklist(['true', 'false']),
  runner_id: v.optional(v.pipe(v.number(), v.safeInteger())),
  runner_environment: v.optional(text),
  sha: v.optional(text),
});

/** The claims of a CI token. A token of the same server for another purpose lacks most of them. */
export type Claims = v.InferOutput<typeof claimsSchema>;

/** What a token must agree with. */
export interface Expected {
  readonly issuer: string;
  /** Acceptable audiences; absent: any single one, as upstream does without `jwt_required_aud`. */
  readonly audiences?: readonly string[] | undefined;
  /** How long after its expiry a token is still taken, in milliseconds; for cleanup with a record only. */
  readonly expiryGraceMs: number;
  readonly now: Date;
  readonly findKey: (kid: string) => Promise<SigningKey>;
}

/**
 * Verifies a token and returns its claims.
 * @throws {AuthorizationError} with a code per reason; the message holds no part of the token but its claims
 */
export async function verifyToken(token: Secret, expected: Expected): Promise<Claims> {
  const compact = token.reveal();
  const kid = inspectHeader(compact);
  const { n, e } = await expected.findKey(kid);
  const key = await importJWK({ kty: 'RSA', n, e, alg: 'RS256' });
  const payload = await verifySignatureAndTimes(compact, key, expected);
  refuseTwins(compact);
  return checkClaims(payload, expected);
}

/** Form of a compact JWS, before anything is looked up: three base64url parts, a small header. */
function inspectHeader(compact: string): string {
  if (compact.length > LONGEST_TOKEN) throw refuse('ERR_TOKEN_FORM', `it has ${compact.length} characters`);
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(compact)) {
    throw refuse('ERR_TOKEN_FORM', 'it is not three base64url parts');
  }
  const header = strictPart(compact, 0);
  const parsed = v.safeParse(headerSchema, header);
  if (parsed.success) return parsed.output.kid;
  const where = v.getDotPath(parsed.issues[0]) ?? 'header';
  throw refuse(
    'ERR_TOKEN_HEADER',
    `its header is not acceptable: ${printable(`${where}: ${parsed.issues[0].message}`)}`,
  );
}

/** No `jku`, `jwk`, `x5u`, `crit`, `zip`: keys come from the configured server alone. */
const headerSchema = v.strictObject({
  alg: v.literal('RS256'),
  kid: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  typ: v.optional(v.literal('JWT')),
});

function strictPart(compact: string, index: 0 | 1): unknown {
  try {
    return parseStrictJson(Buffer.from(compact.split('.')[index] ?? '', 'base64url'));
  } catch (cause) {
    throw refuse('ERR_TOKEN_FORM', `part ${index + 1} is not acceptable: ${printable((cause as Error).message)}`);
  }
}

/** jose takes the last of two members of one name; here such a payload is refused (its signature is right). */
function refuseTwins(compact: string): void {
  strictPart(compact, 1);
}

type VerificationKey = Awaited<ReturnType<typeof importJWK>>;

async function verifySignatureAndTimes(
  compact: string,
  key: VerificationKey,
  expected: Expected,
  now = expected.now,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(compact, key, {
      algorithms: ['RS256'],
      issuer: expected.issuer,
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf'],
      clockTolerance: LEEWAY_SECONDS,
      currentDate: now,
    });
    return payload;
  } catch (error) {
    const graceful = withinGrace(error, expected);
    if (graceful && now === expected.now) return verifySignatureAndTimes(compact, key, expected, graceful);
    throw translated(error);
  }
}

/** A moment at which an expired token was still good, when that lies within the grace; else nothing. */
function withinGrace(error: unknown, { now, expiryGraceMs }: Expected): Date | undefined {
  if (!(error instanceof errors.JWTExpired) || typeof error.payload.exp !== 'number') return undefined;
  const expiry = error.payload.exp * 1000;
  return now.getTime() <= expiry + expiryGraceMs ? new Date(expiry - 1000) : undefined;
}

function translated(error: unknown): Error {
  if (error instanceof JacamarError) return error;
  if (error instanceof errors.JWTExpired) {
    return refuse('ERR_TOKEN_EXPIRED', `it expired at ${describeTime(error.payload.exp)}`, error);
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    const value = printable(JSON.stringify(error.payload[error.claim]) ?? 'nothing');
    return refuse('ERR_TOKEN_CLAIM', `claim ${error.claim} is not acceptable: ${value} (${error.message})`, error);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('ERR_TOKEN_SIGNATURE', 'its signature is wrong', error);
  }
  return refuse('ERR_TOKEN_FORM', `it cannot be verified: ${(error as Error).message}`, error);
}

function describeTime(seconds: number | undefined): string {
  const time = new Date((seconds ?? Number.NaN) * 1000);
  return Number.isNaN(time.getTime()) ? 'an unknown time' : time.toISOString();
}

function checkClaims(payload: JWTPayload, { audiences, now }: Expected): Claims {
  const parsed = v.safeParse(claimsSchema, payload);
  if (!parsed.success) {
    const where = v.getDotPath(parsed.issues[0]) ?? 'payload';
    const why = printable(parsed.issues[0].message);
    throw refuse('ERR_TOKEN_CLAIM', `claim ${printable(where)} of a CI token is not acceptable: ${why}`);
  }
  const claims = parsed.output;
  const isFromFuture = claims.iat > Math.floor(now.getTime() / 1000) + LEEWAY_SECONDS;
  if (claims.exp - claims.iat > LONGEST_LIFE_SECONDS || claims.exp < claims.iat || isFromFuture) {
    throw refuse('ERR_TOKEN_LIFETIME', `it lives from ${describeTime(claims.iat)} to ${describeTime(claims.exp)}`);
  }
  const audience = typeof claims.aud === 'string' ? claims.aud : (claims.aud[0] ?? '');
  if (audiences !== undefined && !audiences.includes(audience)) {
    throw refuse('ERR_TOKEN_AUDIENCE', `its audience is "${printable(audience)}", not ${audiences.join(' or ')}`);
  }
  return claims;
}

function refuse(code: string, why: string, cause?: unknown): AuthorizationError {
  return new AuthorizationError({ code, message: `the job's token is refused: ${why}`, cause });
}
