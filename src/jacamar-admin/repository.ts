// The git repository of the GitLab stand-in and its smart HTTP side, served by git's own CGI program, so that the
// get_sources stage of a trial clones as the job's user over the same protocol as in earnest.
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { SystemFailure } from '../contract/errors.ts';

const AUTHOR = { name: 'Demo', email: 'demo@example.com', date: '2026-01-01T00:00:00Z' };

// Neither the administrator's nor the host's git settings may change what the stand-in does.
const GIT_ENVIRONMENT = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: AUTHOR.name,
  GIT_AUTHOR_EMAIL: AUTHOR.email,
  GIT_AUTHOR_DATE: AUTHOR.date,
  GIT_COMMITTER_NAME: AUTHOR.name,
  GIT_COMMITTER_EMAIL: AUTHOR.email,
  GIT_COMMITTER_DATE: AUTHOR.date,
};

/**
 * Creates `<root>/<projectPath>.git` with one commit on `main` and returns the commit's name.
 * With the default file it is always the same commit (`SAMPLE_SHA`).
 */
export async function createRepository(
  root: string,
  projectPath: string,
  files: Readonly<Record<string, string>> = { 'README.md': 'hello\n' },
): Promise<string> {
  const directory = join(root, `${projectPath}.git`);
  await mkdir(directory, { recursive: true });
  const git = (args: string[], input = '') => runGit(['-C', directory, ...args], input);
  await git(['init', '--quiet', '--bare', '--initial-branch=main']);
  await git(['config', 'http.receivepack', 'false']);
  const entries: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    entries.push(`100644 blob ${await git(['hash-object', '-w', '--stdin'], text)}\t${name}\n`);
  }
  const tree = await git(['mktree'], entries.join(''));
  const commit = await git(['commit-tree', '-m', 'Initial commit', tree]);
  await git(['update-ref', 'refs/heads/main', commit]);
  return commit;
}

/** Is this request a clone or fetch? Pushing is not served at all. */
export function isGitRequest(method: string, url: URL): boolean {
  if (method === 'POST') return url.pathname.endsWith('.git/git-upload-pack');
  const service = url.searchParams.get('service');
  return method === 'GET' && url.pathname.endsWith('.git/info/refs') && service === 'git-upload-pack';
}

/** Hands one request to `git http-backend` and its answer back. */
export function serveGit(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const child = spawn('git', ['http-backend'], {
    env: cgiEnvironment(root, request, url),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.on('error', () => fail(response));
  // A client that hangs up early closes our end of the pipe; that is its right and no fault.
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  let head = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    if (response.headersSent) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    head = forwardHead(head, response);
  });
  child.on('close', () => (response.headersSent ? response.end() : fail(response)));
}

function cgiEnvironment(root: string, request: IncomingMessage, url: URL): NodeJS.ProcessEnv {
  const header = (name: string) => String(request.headers[name] ?? '');
  const environment: NodeJS.ProcessEnv = {
    ...GIT_ENVIRONMENT,
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    REQUEST_METHOD: request.method ?? 'GET',
    PATH_INFO: decodeURIComponent(url.pathname),
    QUERY_STRING: url.search.slice(1),
    CONTENT_TYPE: header('content-type'),
    HTTP_CONTENT_ENCODING: header('content-encoding'),
    GIT_PROTOCOL: header('git-protocol'),
    REMOTE_ADDR: '127.0.0.1',
  };
  const length = header('content-length');
  return length === '' ? environment : { ...environment, CONTENT_LENGTH: length };
}

// CGI (RFC 3875, section 6): header lines, a blank line, the body. Returns what is still waiting for its blank line.
function forwardHead(bytes: Buffer<ArrayBuffer>, response: ServerResponse): Buffer<ArrayBuffer> {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return bytes;
  const headers: Record<string, string> = {};
  for (const line of bytes.subarray(0, end).toString('latin1').split('\r\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const { status, ...rest } = headers;
  response.writeHead(Number.parseInt(status ?? '200', 10), rest);
  response.write(bytes.subarray(end + 4));
  return Buffer.alloc(0);
}

function fail(response: ServerResponse): void {
  if (!response.headersSent) response.writeHead(500);
  response.end();
}

async function runGit(args: string[], input: string): Promise<string> {
  const child = spawn('git', args, { env: GIT_ENVIRONMENT, stdio: ['pipe', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code === 0) return output.stdout.trim();
  throw new SystemFailure({ code: 'ERR_TRIAL_GIT', message: `git ${args.join(' ')} failed: ${output.stderr.trim()}` });
}
