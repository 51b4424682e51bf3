// One honest job, its claims, and signatures over any bytes whatever: tests of jacamar-auth start from what is
// right and change one thing. Signing is by hand, since a good library refuses to make most of the tokens needed here.

import { createHmac, type KeyObject, sign } from 'node:crypto';
import type { Job } from '../../src/contract/job.ts';
import { Secret } from '../../src/contract/secret.ts';
import { idTokenClaims } from '../../src/jacamar-admin/id-token.ts';
import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import { generateSigningKey, type SigningKey } from '../../src/jacamar-admin/signing-key.ts';
import type { Claims } from '../../src/jacamar-auth/token.ts';

/** The moment at which the sample job is in full swing, in seconds since 1970. */
export const NOW = 1_800_000_000;

export const SAMPLE_FACTS: JobFacts = {
  serverUrl: 'https://gitlab.example.com',
  id: 302,
  token: 'glcbt-sample-job-token',
  name: 'build',
  stage: 'test',
  pipelineId: 88,
  pipelineSource: 'push',
  projectId: 7,
  projectPath: 'group/project',
  namespaceId: 3,
  userId: 42,
  login: 'alice',
  userAccessLevel: 'developer',
  ref: 'main',
  refType: 'branch',
  refProtected: true,
  sha: 'a'.repeat(40),
  repositoryUrl: 'https://gitlab.example.com/group/project.git',
  timeoutSeconds: 3600,
  runnerId: 11,
};

/** Everything the server puts into the sample job's token; an entry of undefined removes a claim. */
export function sampleClaims(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...idTokenClaims(SAMPLE_FACTS, { issuedAt: NOW - 60, claims: { jti: 'token-1', ...changes } }) };
}

/** The same as verified claims. */
export function verifiedClaims(changes: Partial<Claims> = {}): Claims {
  return sampleClaims(changes) as Claims;
}

/** The sample job as the response file describes it. */
export function sampleJob(changes: Partial<Job> = {}): Job {
  return {
    id: SAMPLE_FACTS.id,
    token: new Secret(SAMPLE_FACTS.token),
    name: SAMPLE_FACTS.name,
    stage: SAMPLE_FACTS.stage,
    pipelineId: SAMPLE_FACTS.pipelineId,
    projectId: SAMPLE_FACTS.projectId,
    userId: SAMPLE_FACTS.userId,
    scopedUserId: undefined,
    projectPath: SAMPLE_FACTS.projectPath,
    repositoryCredentials: undefined,
    repositoryUrl: SAMPLE_FACTS.repositoryUrl,
    commit: SAMPLE_FACTS.sha,
    timeoutSeconds: SAMPLE_FACTS.timeoutSeconds,
    variables: [],
    ...changes,
  };
}

let made: Promise<SigningKey> | undefined;

/** A key that all tests of one file share: making one takes a while. */
export function sharedKey(): Promise<SigningKey> {
  made ??= generateSigningKey();
  return made;
}

/** The two signed parts of a compact token, as text or as bytes that are no text. */
export interface TokenParts {
  readonly header: unknown;
  readonly payload: unknown;
}

/** Strings and bytes stand for themselves, everything else for its JSON. */
export function encodePart(part: unknown): string {
  const bytes = typeof part === 'string' || part instanceof Uint8Array ? part : JSON.stringify(part);
  return Buffer.from(bytes as string).toString('base64url');
}

/** RS256 over exactly these parts. */
export function signParts({ header, payload }: TokenParts, privateKey: KeyObject): string {
  const input = `${encodePart(header)}.${encodePart(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}

/** HS256 with any secret. */
export function signWithSecret({ header, payload }: TokenParts, secret: string | Buffer): string {
  const input = `${encodePart(header)}.${encodePart(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}
