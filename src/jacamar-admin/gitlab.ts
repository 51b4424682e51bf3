// A GitLab server that is just enough for a driver and a runner: the key set, the job behind a job token, and a
// repository to clone. It listens on the loopback interface only. Used by the trial and by the test suite, which can
// tell it to misbehave; it is a stand-in and holds no privilege and no real secret.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClaimsOptions, idTokenClaims } from './id-token.ts';
import type { JobFacts } from './job.ts';
import { isGitRequest, serveGit } from './repository.ts';
import { generateSigningKey, type SigningKey, type SignOptions, signClaims } from './signing-key.ts';

/** How the stand-in deviates from an honest server, per kind of request; change it at any time. */
export interface Misbehaviour {
  /** Wait so long before answering. */
  delayMs?: number;
  /** Answer with this status instead of the honest one. */
  status?: number;
  /** Answer with this body instead of the honest one. */
  body?: string;
  headers?: Record<string, string>;
  /** Close the connection instead of answering. */
  hangUp?: boolean;
}

/** The kinds of request that are told apart in `behaviour` and `counts`. */
export type RequestKind = 'keys' | 'discovery' | 'job' | 'git' | 'other';

/** What `GET /api/v4/job` says about a job, apart from its facts. */
export interface JobAnswer {
  status?: string;
  bot?: boolean;
  /** Laid over the honest answer. */
  overrides?: Record<string, unknown>;
}

export interface GitLabOptions {
  /** Directory that holds `<projectPath>.git`; absent: nothing can be cloned. */
  readonly repositoryRoot?: string;
  /** Clone needs the job token as password (default), or is open to everybody. */
  readonly openRepository?: boolean;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

const KEY_CACHE_CONTROL = 'max-age=86400, public, must-revalidate, no-transform';

/** Starts the stand-in on an unused port of 127.0.0.1. */
export async function startGitLab(options: GitLabOptions = {}): Promise<GitLab> {
  const [loginKey, jobKey] = await Promise.all([generateSigningKey(), generateSigningKey()]);
  const gitlab = new GitLab(options, loginKey, jobKey);
  await gitlab.listen();
  return gitlab;
}

/** A running stand-in; `close` it in a `finally`. */
export class GitLab {
  /** Signs login tokens only. GitLab lists it in the same key set, so a verifier has to choose by key id. */
  loginKey: SigningKey;
  /** Signs the id tokens of jobs. */
  jobKey: SigningKey;
  readonly behaviour: Partial<Record<RequestKind, Misbehaviour>> = {};
  readonly counts: Record<RequestKind, number> = { keys: 0, discovery: 0, job: 0, git: 0, other: 0 };
  /** Method and path of every request, oldest first. */
  readonly requests: string[] = [];
  readonly #options: GitLabOptions;
  readonly #jobs = new Map<string, { facts: JobFacts; answer: JobAnswer }>();
  #server: Server;
  #port = 0;

  constructor(options: GitLabOptions, loginKey: SigningKey, jobKey: SigningKey) {
    this.#options = options;
    this.loginKey = loginKey;
    this.jobKey = jobKey;
    this.#server = this.#newServer();
  }

  /** `http://127.0.0.1:<port>`, without a trailing slash. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** How often the key set was asked for. */
  get keysFetched(): number {
    return this.counts.keys;
  }

  /** Makes a job known, so that its token opens `GET /api/v4/job` and the repository. */
  addJob(facts: JobFacts, answer: JobAnswer = {}): void {
    this.#jobs.set(facts.token, { facts, answer });
  }

  /** A signed token of any content. */
  sign(claims: unknown, options: SignOptions = {}): string {
    return signClaims(claims, this.jobKey, options);
  }

  /** The id token that GitLab would issue for this job, apart from what the options change. */
  tokenFor(facts: JobFacts, options: ClaimsOptions & SignOptions = {}): string {
    return this.sign(idTokenClaims(facts, options), options);
  }

  /** A new job key; tokens of the old one can no longer be verified with the key set. */
  async rotateJobKey(): Promise<void> {
    this.jobKey = await generateSigningKey();
  }

  /** Accepts connections, again on the same port after `stopListening`. */
  async listen(): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  /** From now on connections are refused. Safe to call twice. */
  async stopListening(): Promise<void> {
    const server = this.#server;
    this.#server = this.#newServer();
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** Ends the server and all its connections. Safe to call twice. */
  async close(): Promise<void> {
    await this.stopListening();
  }

  #newServer(): Server {
    return createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const kind = requestKind(request.method ?? 'GET', url);
    this.counts[kind] += 1;
    this.requests.push(`${request.method} ${request.url}`);
    const behaviour = this.behaviour[kind] ?? {};
    // Unreferenced: a delayed answer must not keep a test or a trial alive.
    if (behaviour.delayMs !== undefined) await sleep(behaviour.delayMs, undefined, { ref: false });
    if (behaviour.hangUp) return void response.destroy();
    if (kind === 'git' && behaviour.status === undefined) return this.#serveRepository(url, request, response);
    send(response, this.#honestAnswer(kind, request), behaviour);
  }

  #honestAnswer(kind: RequestKind, request: IncomingMessage): Answer {
    switch (kind) {
      case 'keys':
        return { status: 200, body: this.#keySet(), headers: { 'cache-control': KEY_CACHE_CONTROL } };
      case 'discovery':
        return { status: 200, body: this.#discovery() };
      case 'job':
        return this.#jobAnswer(String(request.headers['job-token'] ?? ''));
      case 'git':
      case 'other':
        return { status: 404, body: { error: '404 Not Found' } };
    }
  }

  #keySet(): unknown {
    return { keys: [this.loginKey.jwk, this.jobKey.jwk] };
  }

  #discovery(): unknown {
    return {
      issuer: this.url,
      jwks_uri: `${this.url}/oauth/discovery/keys`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'project_path', 'ref_path', 'sha', 'jti'],
    };
  }

  #jobAnswer(token: string): Answer {
    const job = this.#jobs.get(token);
    if (job === undefined) return { status: 401, body: { message: '401 Unauthorized' } };
    const { facts, answer } = job;
    const body = {
      id: facts.id,
      status: answer.status ?? 'running',
      stage: facts.stage,
      name: facts.name,
      ref: facts.ref,
      tag: facts.refType === 'tag',
      user: { id: facts.userId, username: facts.login, name: facts.login, state: 'active', bot: answer.bot ?? false },
      pipeline: {
        id: facts.pipelineId,
        project_id: facts.projectId,
        sha: facts.sha,
        ref: facts.ref,
        status: 'running',
      },
      ...answer.overrides,
    };
    return { status: 200, body };
  }

  #serveRepository(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const root = this.#options.repositoryRoot;
    const project = /^\/(.+)\.git\/(?:info\/refs|git-upload-pack)$/.exec(decodeURIComponent(url.pathname))?.[1];
    const job = [...this.#jobs.values()].find(({ facts }) => facts.projectPath === project);
    if (root === undefined || job === undefined) {
      send(response, { status: 404, body: '' }, {});
    } else if (!this.#options.openRepository && !this.#mayRead(request, project)) {
      const challenge = { 'www-authenticate': 'Basic realm="GitLab"' };
      send(response, { status: 401, body: 'HTTP Basic: Access denied\n', headers: challenge }, {});
    } else {
      serveGit(root, request, response);
    }
  }

  #mayRead(request: IncomingMessage, project: string | undefined): boolean {
    const encoded = /^Basic (\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const [user, password] = Buffer.from(encoded, 'base64').toString().split(':');
    const job = this.#jobs.get(password ?? '');
    return user === 'gitlab-ci-token' && job !== undefined && job.facts.projectPath === project;
  }
}

function requestKind(method: string, url: URL): RequestKind {
  if (isGitRequest(method, url)) return 'git';
  if (method !== 'GET') return 'other';
  switch (url.pathname) {
    case '/oauth/discovery/keys':
    case '/-/jwks':
      return 'keys';
    case '/.well-known/openid-configuration':
      return 'discovery';
    case '/api/v4/job':
      return 'job';
    default:
      return 'other';
  }
}

function send(response: ServerResponse, honest: Answer, behaviour: Misbehaviour): void {
  const honestBody = typeof honest.body === 'string' ? honest.body : JSON.stringify(honest.body);
  const type = typeof honest.body === 'string' ? 'text/plain' : 'application/json; charset=utf-8';
  const status = behaviour.status ?? honest.status;
  response.writeHead(status, { 'content-type': type, ...honest.headers, ...behaviour.headers });
  response.end(behaviour.body ?? honestBody);
}
