// Which server a job's keys come from, and that asking it is bounded, follows nothing, and trusts the configured
// authority alone. Local servers with every fault stand in for GitLab.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import http, { type RequestListener } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { ConfigurationError, SystemFailure } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import { ask, findServer } from '../../src/jacamar-auth/server.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { sampleJob } from '../support/tokens.ts';

const NOWHERE = { url: undefined, caFile: undefined };
const jobOf = (repositoryUrl: string, ...serverUrls: string[]) =>
  sampleJob({ repositoryUrl, variables: serverUrls.map((url) => ({ key: 'CI_SERVER_URL', value: new Secret(url) })) });

describe('the server of a job', () => {
  it('is the configured one, whatever the job says', () => {
    const job = jobOf('https://evil.example.com/a/b.git', 'https://evil.example.com');
    assert.deepEqual(findServer({ url: 'http://gitlab.example.com//', caFile: '/ca' }, job), {
      url: 'http://gitlab.example.com',
      caFile: '/ca',
    });
  });

  const taken: [repository: string, servers: string[], url: string][] = [
    ['https://g.example.com/a/b.git', ['https://g.example.com'], 'https://g.example.com'],
    ['https://g.example.com/a/b.git', ['https://g.example.com/'], 'https://g.example.com'],
    ['https://g.example.com/git/a/b.git', ['https://g.example.com/git'], 'https://g.example.com/git'],
    ['https://g.example.com:8443/a/b.git', ['https://g.example.com:8443'], 'https://g.example.com:8443'],
    ['https://g.example.com/a/b.git', ['https://g.example.com', 'https://evil.example.com'], 'https://g.example.com'],
    ['http://127.0.0.1:80/a/b.git', ['http://127.0.0.1'], 'http://127.0.0.1'],
    ['http://localhost:3000/a/b.git', ['http://localhost:3000'], 'http://localhost:3000'],
    ['http://[::1]:3000/a/b.git', ['http://[::1]:3000'], 'http://[::1]:3000'],
  ];
  for (const [repository, servers, url] of taken) {
    it(`is ${url} for a repository at ${repository}`, () => {
      assert.equal(findServer(NOWHERE, jobOf(repository, ...servers)).url, url);
    });
  }

  const refused: [repository: string, servers: string[]][] = [
    ['https://g.example.com/a/b.git', []],
    ['https://g.example.com/a/b.git', ['']],
    ['https://g.example.com/a/b.git', ['g.example.com']],
    ['https://g.example.com/a/b.git', ['https://evil.example.com', 'https://g.example.com']],
    ['https://g.example.com/a/b.git', ['https://g.example.com.evil.org']],
    ['https://g.example.com/a/b.git', ['https://g.example.com@evil.org']],
    ['https://g.example.com/a/b.git', ['https://g.example.com:444']],
    ['https://g.example.com/a/b.git', ['https://g.example.com/a/b/-/raw/main']],
    ['https://g.example.com/ab/c.git', ['https://g.example.com/a']],
    ['https://g.example.com/a/b.git', ['https://g.example.com?a']],
    ['https://g.example.com/a/b.git', ['https://g.example.com#']],
    ['https://g.example.com/a/b.git', ['http://g.example.com']],
    ['http://g.example.com/a/b.git', ['http://g.example.com']],
    ['http://127.evil.org/a/b.git', ['http://127.evil.org']],
    ['http://localhost.evil.org/a/b.git', ['http://localhost.evil.org']],
    ['ssh://g.example.com/a/b.git', ['ssh://g.example.com']],
    ['file:///srv/b.git', ['file:///srv']],
  ];
  for (const [repository, servers] of refused) {
    it(`is unknown for ${JSON.stringify(servers)} and a repository at ${repository}`, () => {
      assert.throws(() => findServer(NOWHERE, jobOf(repository, ...servers)), {
        name: 'ConfigurationError',
        code: 'ERR_SERVER_UNKNOWN',
      });
    });
  }
});

/** A server of one test; `url` is its base address. */
async function serve(context: Pick<TestContext, 'after'>, answer: RequestListener): Promise<string> {
  const server = http.createServer(answer);
  return `http://127.0.0.1:${await listen(context, server)}`;
}

async function listen(context: Pick<TestContext, 'after'>, server: http.Server | https.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const askAt = (url: string, caFile?: string) => ask({ url, caFile }, '/path');
const unreachable = (pattern: RegExp) => (error: unknown) =>
  error instanceof SystemFailure && error.code === 'ERR_SERVER_UNREACHABLE' && pattern.test(error.message);

describe('asking', { concurrency: true }, () => {
  it('gives status and body, and sends what it is told to', async (context) => {
    const url = await serve(context, (request, response) => {
      response.statusCode = 418;
      response.end(JSON.stringify([request.method, request.url, request.headers]));
    });
    const { status, body } = await ask({ url: `${url}/git`, caFile: undefined }, '/path', { 'job-token': 't' });
    const [method, path, headers] = JSON.parse(body.toString('utf8'));
    assert.deepEqual([status, method, path], [418, 'GET', '/git/path']);
    assert.equal(headers['job-token'], 't');
    assert.equal(headers.connection, 'close');
  });

  for (const status of [301, 302, 307, 308]) {
    it(`does not follow a redirection with ${status}`, async (context) => {
      const target = await serve(context, () => assert.fail('the redirection was followed'));
      const url = await serve(context, (_, response) => response.writeHead(status, { location: target }).end());
      assert.equal((await askAt(url)).status, status);
    });
  }

  it('ends with a fault of the site where nobody listens', async () => {
    await assert.rejects(askAt('http://127.0.0.1:1'), unreachable(/ECONNREFUSED/));
    await assert.rejects(askAt('http://host.invalid'), unreachable(/ENOTFOUND|EAI_AGAIN/));
  });

  it('ends where no HTTP is spoken', async (context) => {
    const server = createServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    context.after(() => server.close());
    await assert.rejects(askAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), unreachable(/./));
  });

  it('takes a mebibyte and not a byte more', async (context) => {
    const url = await serve(context, (request, response) => {
      response.end(Buffer.alloc(1024 * 1024 + (request.url === '/more/path' ? 1 : 0)));
    });
    assert.equal((await askAt(url)).body.length, 1024 * 1024);
    await assert.rejects(askAt(`${url}/more`), unreachable(/larger than/));
  });

  it('stops reading an answer without end', async (context) => {
    const url = await serve(context, (_, response) => {
      const more = () => {
        while (response.writable && response.write(Buffer.alloc(64 * 1024)));
      };
      response.on('drain', more);
      more();
    });
    await assert.rejects(askAt(url), unreachable(/larger than/));
  });

  it('does not take half an answer for a whole one', async (context) => {
    const url = await serve(context, (_, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('{"keys":[]}', () => response.destroy());
    });
    await assert.rejects(askAt(url), unreachable(/middle|ECONNRESET/));
    const chunked = await serve(context, (_, response) => {
      response.write('{"keys":[]}', () => response.destroy());
    });
    await assert.rejects(askAt(chunked), unreachable(/middle|ECONNRESET/));
  });

  const slow: Record<string, RequestListener> = {
    'never answers': () => {},
    'never ends its answer': (_, response) => response.write('{'),
    'sends a byte now and then': (_, response) => {
      const drip = setInterval(() => response.write(' '), 200);
      response.on('close', () => clearInterval(drip));
    },
  };
  for (const [title, answer] of Object.entries(slow)) {
    it(`gives a server that ${title} ten seconds in all`, async (context) => {
      const url = await serve(context, answer);
      const started = performance.now();
      await assert.rejects(askAt(url), unreachable(/no answer within 10 s/));
      const elapsed = performance.now() - started;
      assert.ok(elapsed > 9_500 && elapsed < 60_000, `${elapsed} ms`);
    });
  }
});

describe('certificates', { concurrency: true }, () => {
  let directory: string;
  let url: string;
  const closing: (() => void)[] = [];

  /** Runs openssl(1) in the directory of the test's own authority. */
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: directory, stdio: 'pipe' });

  function issue(name: string, subject: string, days = '2'): { key: Buffer; cert: Buffer } {
    writeFileSync(join(directory, `${name}.ext`), `subjectAltName=${subject}\n`);
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    );
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', days, '-extfile', `${name}.ext`];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing);
    return { key: readFileSync(join(directory, `${name}.key`)), cert: readFileSync(join(directory, `${name}.pem`)) };
  }

  async function serveTls(credentials: { key: Buffer; cert: Buffer }): Promise<string> {
    const server = https.createServer(credentials, (_, response) => response.end('trusted'));
    const port = await listen({ after: (end: () => void) => closing.push(end) } as unknown as TestContext, server);
    return `https://127.0.0.1:${port}`;
  }

  before(async () => {
    directory = scratchDirectory({ after: (end: () => void) => closing.push(end) } as unknown as TestContext);
    const usage = ['-addext', 'basicConstraints=critical,CA:TRUE'];
    for (const name of ['ca', 'other']) {
      openssl(
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-subj',
        `/CN=jt ${name}`,
        ...usage,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.pem`,
      );
    }
    url = await serveTls(issue('server', 'IP:127.0.0.1'));
  });
  after(() => {
    for (const end of closing) end();
  });

  const file = (name: string) => join(directory, name);
  const untrusted = unreachable(/CERT|SELF_SIGNED|UNABLE|ALTNAME|EXPIRED/);

  it('of the configured authority are trusted', async () => {
    assert.equal((await askAt(url, file('ca.pem'))).body.toString(), 'trusted');
  });

  it('of an authority that nobody configured are not, nor with another configured', async () => {
    await assert.rejects(askAt(url), untrusted);
    await assert.rejects(askAt(url, file('other.pem')), untrusted);
  });

  it('for another host are not trusted', async () => {
    const other = await serveTls(issue('stranger', 'DNS:gitlab.example.com'));
    await assert.rejects(askAt(other, file('ca.pem')), untrusted);
  });

  it('that have expired are not trusted', async () => {
    const expired = await serveTls(issue('expired', 'IP:127.0.0.1', '-1')).catch(() => undefined);
    if (expired === undefined) return assert.fail('openssl makes no expired certificate');
    await assert.rejects(askAt(expired, file('ca.pem')), untrusted);
  });

  it('come from a file that only root can write', async () => {
    const copy = file('writable.pem');
    writeFileSync(copy, readFileSync(file('ca.pem')));
    chmodSync(copy, 0o666);
    for (const path of [copy, '/nonexistent/ca.pem', directory]) {
      await assert.rejects(
        askAt(url, path),
        (error) => error instanceof ConfigurationError && error.code === 'ERR_CA_FILE',
      );
    }
  });

  it('that are plain nonsense in the configured file are no reason to trust anybody', async () => {
    writeFileSync(file('nonsense.pem'), 'no certificate');
    await assert.rejects(askAt(url, file('nonsense.pem')), SystemFailure);
  });

  /** Asks in a process of its own, whose runtime has read the variables at its start. */
  async function askWith(variables: Record<string, string>, caFile?: string): Promise<string> {
    const module = new URL('../../src/jacamar-auth/server.ts', import.meta.url).href;
    const program = `
      const { ask } = await import(${JSON.stringify(module)});
      const server = { url: ${JSON.stringify(url)}, caFile: ${JSON.stringify(caFile)} };
      const answer = await ask(server, '/path').then(({ body }) => body.toString(), ({ code }) => code);
      process.stdout.write(answer);`;
    const env = { PATH: '/usr/bin:/bin', ...variables };
    const words = ['--input-type=module', '--eval', program];
    return (await promisify(execFile)(process.execPath, words, { env, cwd: tmpdir() })).stdout;
  }

  it('are judged the same whatever the environment says', async () => {
    const authority = file('ca.pem');
    for (const variables of [
      { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
      { NODE_EXTRA_CA_CERTS: authority },
      { SSL_CERT_FILE: authority, NODE_OPTIONS: '--use-openssl-ca' },
      { SSL_CERT_FILE: authority, NODE_USE_SYSTEM_CA: '1' },
    ]) {
      assert.equal(await askWith(variables), 'ERR_SERVER_UNREACHABLE', JSON.stringify(variables));
    }
  });

  it('are asked for directly, past every proxy of the environment', async () => {
    const proxies = {
      HTTPS_PROXY: 'http://127.0.0.1:1',
      HTTP_PROXY: 'http://127.0.0.1:1',
      https_proxy: 'http://127.0.0.1:1',
    };
    assert.equal(await askWith({ ...proxies, NODE_USE_ENV_PROXY: '1' }, file('ca.pem')), 'trusted');
  });
});
