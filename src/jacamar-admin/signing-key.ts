// RSA keys and compact signatures of the GitLab stand-in. Written by hand on node:crypto and not with a JOSE library:
// tests need forgeries (no algorithm, a symmetric one, a foreign header) which a good library refuses to produce.
import { constants, createHash, createHmac, generateKeyPair, type KeyObject, sign as signBytes } from 'node:crypto';
import { promisify } from 'node:util';

/** A key pair and its public half in the form of GitLab's key set. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: { kty: 'RSA'; kid: string; e: string; n: string; use: 'sig'; alg: 'RS256' };
}

export type SignatureAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'HS256' | 'none';

/** How a token differs from an honest one. */
export interface SignOptions {
  readonly key?: SigningKey;
  readonly algorithm?: SignatureAlgorithm;
  /** Laid over the honest header; a value of undefined removes the parameter. */
  readonly header?: Readonly<Record<string, unknown>>;
}

/** Makes a key whose id is its RFC 7638 thumbprint, as GitLab's are. */
export async function generateSigningKey(modulusLength = 2048): Promise<SigningKey> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength });
  const { e, n } = publicKey.export({ format: 'jwk' }) as { e: string; n: string };
  const kid = createHash('sha256')
    .update(JSON.stringify({ e, kty: 'RSA', n }))
    .digest('base64url');
  return { kid, privateKey, publicKey, jwk: { kty: 'RSA', kid, e, n, use: 'sig', alg: 'RS256' } };
}

/** Compact JWS of the claims, by the given key unless the options name another. */
export function signClaims(claims: unknown, honestKey: SigningKey, options: SignOptions = {}): string {
  const key = options.key ?? honestKey;
  const alg = options.algorithm ?? 'RS256';
  const header = { alg, typ: 'JWT', kid: key.kid, ...options.header };
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signature(input, alg, key).toString('base64url')}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function signature(input: string, algorithm: SignatureAlgorithm, key: SigningKey): Buffer {
  const bytes = Buffer.from(input);
  switch (algorithm) {
    case 'none':
      return Buffer.alloc(0);
    case 'HS256':
      // The classic confusion attack: the verifier's public key, which everybody knows, used as the shared secret.
      return createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'pem' }))
        .update(bytes)
        .digest();
    case 'PS256':
      return signBytes('sha256', bytes, {
        key: key.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      });
    default:
      return signBytes(`sha${algorithm.slice(2)}`, bytes, key.privateKey);
  }
}
