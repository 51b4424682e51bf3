// The claims of a GitLab id token (`id_tokens:`) for one job, in GitLab's own JSON types: ids are strings, except
// `runner_id`; `ref_protected` is a string. Source: GitLab, lib/gitlab/ci/jwt.rb and jwt_v2.rb.
import { randomUUID } from 'node:crypto';
import type { JobFacts } from './job.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** What a token of this job asserts. A `claims` entry of undefined removes the claim. */
export interface ClaimsOptions {
  /** Default: the server's URL. */
  readonly aud?: string | readonly string[];
  /** Unix seconds; default now. */
  readonly issuedAt?: number;
  readonly claims?: Claims;
}

/** All claims that a server of 18.9 puts into the token of this job. */
export function idTokenClaims(facts: JobFacts, options: ClaimsOptions = {}): Claims {
  const issuedAt = options.issuedAt ?? Math.floor(Date.now() / 1000);
  const honest = {
    ...projectClaims(facts),
    ...userClaims(facts),
    ...pipelineClaims(facts),
    jti: randomUUID(),
    iss: facts.serverUrl,
    iat: issuedAt,
    nbf: issuedAt - 5,
    exp: issuedAt + facts.timeoutSeconds,
    sub: `project_path:${facts.projectPath}:ref_type:${facts.refType}:ref:${facts.ref}`,
    aud: options.aud ?? facts.serverUrl,
  };
  return { ...honest, ...options.claims };
}

function projectClaims(facts: JobFacts): Claims {
  const namespacePath = facts.projectPath.split('/').slice(0, -1).join('/');
  return {
    namespace_id: String(facts.namespaceId),
    namespace_path: namespacePath,
    project_id: String(facts.projectId),
    project_path: facts.projectPath,
    job_project_id: String(facts.projectId),
    job_project_path: facts.projectPath,
    job_namespace_id: String(facts.namespaceId),
    job_namespace_path: namespacePath,
    project_visibility: 'private',
  };
}

function userClaims(facts: JobFacts): Claims {
  return {
    user_id: String(facts.userId),
    user_login: facts.login,
    user_email: `${facts.login}@example.com`,
    user_access_level: facts.userAccessLevel,
  };
}

function pipelineClaims(facts: JobFacts): Claims {
  const refPath = `refs/${facts.refType === 'tag' ? 'tags' : 'heads'}/${facts.ref}`;
  return {
    pipeline_id: String(facts.pipelineId),
    pipeline_source: facts.pipelineSource,
    job_id: String(facts.id),
    job_source: facts.pipelineSource,
    ref: facts.ref,
    ref_type: facts.refType,
    ref_path: refPath,
    ref_protected: String(facts.refProtected),
    runner_id: facts.runnerId,
    runner_environment: 'self-hosted',
    sha: facts.sha,
    ci_config_ref_uri: `${new URL(facts.serverUrl).host}/${facts.projectPath}//.gitlab-ci.yml@${refPath}`,
    ci_config_sha: facts.sha,
  };
}
