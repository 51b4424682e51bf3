// Group D of the threat cases: the server's key set, and everything that can be between it and us. Every test has a
// state directory of its own, so that no key is known before. Numbers are those of docs/threats.md.

import assert from 'node:assert/strict';
import { chmod, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import { generateSigningKey, type SigningKey } from '../../src/jacamar-admin/signing-key.ts';
import { eventually } from '../support/eventually.ts';
import type { JobWishes } from '../support/job-wishes.ts';
import { makeAuthorities, serveTls } from '../support/threats-tls.ts';
import { allowed, ask, failed, refused } from '../support/threats-verdict.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { gitlab, account } = world;
// Everything that is waited for comes first: the world closes when no registered test is left.
const tls = await makeAuthorities(world.at('tls'));
const foreign = await generateSigningKey();
let states = 0;

/** Wishes of a site that knows no key yet; give the directory to share what it learns. */
function fresh(
  auth: Record<string, unknown> = {},
  general: Record<string, unknown> = {},
): JobWishes & { state: string } {
  states += 1;
  const state = world.at(`state-${states}`);
  return { state, options: { general, auth: { state_dir: state, ...auth } } };
}

const withKey = (key: SigningKey) => (facts: JobFacts) => gitlab.tokenFor(facts, { key });
const keySet = (...keys: unknown[]) => ({ body: JSON.stringify({ keys }) });

test('case 38: of a key set only a well-formed RSA signing key of 2048 bits or more is used, and no id that stands twice', async () => {
  const { jwk } = gitlab.jobKey;
  const small = await generateSigningKey(1024);
  const second = await generateSigningKey();
  const sets: [string, unknown[]][] = [
    ['two keys of one id', [jwk, { ...second.jwk, kid: jwk.kid }, gitlab.loginKey.jwk]],
    ['a shared secret', [{ kty: 'oct', kid: jwk.kid, k: jwk.n, alg: 'HS256' }, gitlab.loginKey.jwk]],
    ['a key for encryption', [{ ...jwk, use: 'enc' }, gitlab.loginKey.jwk]],
    ['a key of another algorithm', [{ ...jwk, alg: 'PS256' }, gitlab.loginKey.jwk]],
    ['an exponent of 1', [{ ...jwk, e: 'AQ' }, gitlab.loginKey.jwk]],
    ['an elliptic curve', [{ kty: 'EC', kid: jwk.kid, crv: 'P-256', x: jwk.n, y: jwk.n }, gitlab.loginKey.jwk]],
    ['no key of this id', [gitlab.loginKey.jwk]],
  ];
  for (const [what, keys] of sets) {
    gitlab.behaviour.keys = keySet(...keys);
    const { record } = await ask(world, fresh());
    assert.equal(record.outcome.kind, 'build-failure', what);
    await refused(world, fresh(), 'ERR_TOKEN_KEY_UNKNOWN');
  }
  gitlab.behaviour.keys = keySet(small.jwk, gitlab.loginKey.jwk);
  await refused(world, { ...fresh(), token: withKey(small) }, 'ERR_TOKEN_KEY_UNKNOWN');
  const { alg: _, ...withoutAlgorithm } = jwk;
  gitlab.behaviour.keys = keySet(withoutAlgorithm);
  await allowed(world, fresh());
  gitlab.behaviour.keys = {};
});

test('case 53: a server that refuses connections is a fault of the site, with a hint to try again', async () => {
  await gitlab.stopListening();
  const { record } = await failed(world, fresh(), 'ERR_KEYS_UNAVAILABLE', /ECONNREFUSED/);
  await gitlab.listen();
  assert.match(record.stderr, /trying again later may help/);
});

test('case 53: a server that closes the connection without an answer is a fault of the site', async () => {
  gitlab.behaviour.keys = { hangUp: true };
  await failed(world, fresh(), 'ERR_KEYS_UNAVAILABLE');
  gitlab.behaviour.keys = {};
});

const strange: Record<string, RequestListener> = {
  'never answers': () => {},
  'answers one byte a second': (_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(' '), 1000);
    response.on('close', () => clearInterval(timer));
  },
  'closes in the middle of its answer': (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('{"keys":[');
    setTimeout(() => response.destroy(), 100);
  },
  'never ends its answer': (_, response) => {
    response.writeHead(200);
    const more = () => {
      while (response.write(Buffer.alloc(65_536, 32)));
    };
    response.on('drain', more);
    more();
  },
};
test('case 53: servers that never answer, dribble, break off or never end cost ten seconds at most', async () => {
  const asked = Object.entries(strange).map(async ([what, listener]) => {
    const server = await listen(listener);
    const started = performance.now();
    const wishes = fresh({}, { gitlab_server: server.url });
    await failed(world, wishes, 'ERR_KEYS_UNAVAILABLE');
    server.close();
    assert.ok(performance.now() - started < 60_000, what);
  });
  await Promise.all(asked);
});

test('case 53: a host name that does not exist is a fault of the site', async () => {
  const wishes = fresh({}, { gitlab_server: 'http://gitlab.invalid' });
  await failed(world, wishes, 'ERR_KEYS_UNAVAILABLE');
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`case 54: a redirect with status ${status} is not followed, wherever it leads`, async () => {
    for (const location of [`${gitlab.url}/elsewhere`, 'file:///etc/passwd', 'http://169.254.169.254/latest']) {
      const asked = gitlab.requests.length;
      gitlab.behaviour.keys = { status, headers: { location } };
      await failed(world, fresh(), 'ERR_KEYS_UNAVAILABLE', new RegExp(`status ${status}`));
      assert.deepEqual(gitlab.requests.slice(asked), ['GET /oauth/discovery/keys']);
    }
    gitlab.behaviour.keys = {};
  });
}

const bad: Record<string, { body: string; headers?: Record<string, string> }> = {
  'an HTML page': { body: '<html>Sign in</html>', headers: { 'content-type': 'text/html' } },
  nothing: { body: '' },
  'an empty object': { body: '{}' },
  'no keys': { body: '{"keys":[]}' },
  'keys that are none': { body: '{"keys":[1,null,{}]}' },
  'two megabytes': { body: `{"keys":[${' '.repeat(2_000_000)}]}` },
  '20,000 keys': { body: JSON.stringify({ keys: Array.from({ length: 20_000 }, () => ({ kty: 'RSA' })) }) },
  'bytes that are not UTF-8': { body: '\ud800' },
};
for (const [what, behaviour] of Object.entries(bad)) {
  test(`case 55: a key set that is ${what} is a fault of the site and does not take the place of a good one`, async () => {
    const wishes = fresh();
    await allowed(world, wishes);
    gitlab.behaviour.keys = behaviour;
    const impatient = { options: { auth: { state_dir: wishes.state, jwks_max_age: '0s' } } };
    await failed(world, impatient, 'ERR_KEYS_UNAVAILABLE');
    await allowed(world, wishes);
    gitlab.behaviour.keys = {};
  });
}

const secure = async (certificate: string) => {
  const server = await serveTls(tls, certificate, gitlab.url);
  world.onClose(async () => server.close());
  return server;
};
const at = (url: string): Pick<JobWishes, 'facts'> => ({
  facts: { serverUrl: url, repositoryUrl: `${url}/demo/hello.git` },
});

test('case 56: with tls-ca-file a server that it vouches for is trusted', async () => {
  const { url } = await secure('good');
  await allowed(world, { ...fresh({}, { 'tls-ca-file': tls.ca }), ...at(url) });
});

const certificates = {
  // The administrator is told which key of the configuration ends it.
  good: { what: 'of an authority that nobody named', reason: /UNABLE_TO_VERIFY.*tls-ca-file/ },
  'self-signed': { what: 'that vouches for itself', reason: /SELF_SIGNED.*tls-ca-file/ },
  expired: { what: 'that has expired', reason: /CERT_HAS_EXPIRED$/ },
  'other-host': { what: 'of another host', reason: /ALTNAME/ },
} as const;
for (const [name, { what, reason }] of Object.entries(certificates)) {
  test(`case 56: a certificate ${what} is not trusted, and no variable of the environment changes that`, async () => {
    const { url } = await secure(name);
    const ca = name === 'good' ? {} : { 'tls-ca-file': tls.ca };
    const environment = {
      PATH: '/usr/bin:/bin',
      ...{
        NODE_TLS_REJECT_UNAUTHORIZED: '0',
        NODE_EXTRA_CA_CERTS: tls.ca,
        SSL_CERT_FILE: tls.ca,
        SSL_CERT_DIR: tls.directory,
      },
      ...{ NODE_OPTIONS: '--use-openssl-ca', OPENSSL_CONF: tls.ca, GIT_SSL_NO_VERIFY: '1' },
    };
    const wishes = { ...fresh({}, ca), ...at(url), settings: { environment } };
    await failed(world, wishes, 'ERR_KEYS_UNAVAILABLE', reason);
    const variables = Object.entries(environment).map(([key, value]) => ({ key, value }));
    await failed(world, { ...fresh({}, ca), ...at(url), variables }, 'ERR_KEYS_UNAVAILABLE');
  });
}

test('case 56: a tls-ca-file that others could have written is an error of the configuration', async () => {
  const { url } = await secure('good');
  const open = world.at('open-ca.pem');
  await writeFile(open, await readFile(tls.ca));
  await chmod(open, 0o666);
  const { record } = await ask(world, { ...fresh({}, { 'tls-ca-file': open }), ...at(url) });
  assert.equal(record.outcome.kind, 'system-failure');
});

test('case 57: a proxy of the environment is not used', async () => {
  const connections: string[] = [];
  const proxy = await listen((request, response) => {
    connections.push(String(request.url));
    response.end();
  });
  proxy.server.on('connect', (request, socket) => {
    connections.push(String(request.url));
    socket.destroy();
  });
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'];
  const environment = {
    PATH: '/usr/bin:/bin',
    NODE_USE_ENV_PROXY: '1',
    ...Object.fromEntries(names.map((name) => [name, proxy.url])),
  };
  const { url } = await secure('good');
  await allowed(world, { ...fresh({}, { 'tls-ca-file': tls.ca }), ...at(url), settings: { environment } });
  await allowed(world, { ...fresh(), settings: { environment } });
  assert.deepEqual(connections, []);
  proxy.close();
});

test('case 57: CI_SERVER_URL of the job names no other server', async () => {
  const elsewhere: string[] = [];
  const server = await listen((request, response) => {
    elsewhere.push(String(request.url));
    response.end(JSON.stringify({ keys: [foreign.jwk] }));
  });
  const forged = (facts: JobFacts) => gitlab.tokenFor(facts, { key: foreign, claims: { iss: server.url } });
  const variables = [{ key: 'CI_SERVER_URL', value: server.url }];
  const { record } = await ask(world, { ...fresh(), variables, token: forged });
  assert.notEqual(record.outcome.kind, 'success');
  await allowed(world, { ...fresh(), variables });
  assert.deepEqual(elsewhere, []);
  server.close();
});

// GitLab sorts variables by their references to each other, and older ones so that a forged one can come to stand first.
test('case 57: a CI_SERVER_URL below the real server is no server, even where it stands first', async () => {
  const raw = '/mallory/keys/-/raw/main';
  const server = await listen((request, response) => {
    const isForged = request.url === `${raw}/oauth/discovery/keys`;
    if (!isForged) response.statusCode = 404;
    response.end(JSON.stringify({ keys: [foreign.jwk] }));
  });
  const forged = (facts: JobFacts) =>
    gitlab.tokenFor(facts, { key: foreign, claims: { iss: server.url + raw, user_login: account.name } });
  await failed(
    world,
    {
      ...fresh(),
      login: 'mallory',
      facts: { serverUrl: server.url },
      token: forged,
      forge: (job) => ({
        ...job,
        variables: [
          { key: 'CI_SERVER_URL', value: server.url + raw, public: true, file: false, masked: false, raw: false },
          ...job.variables,
        ],
      }),
    },
    'ERR_SERVER_UNKNOWN',
  );
  server.close();
});

test('case 58: many jobs at once cost one request for keys', async () => {
  const before = gitlab.keysFetched;
  const wishes = fresh();
  await Promise.all(Array.from({ length: 16 }, () => allowed(world, wishes)));
  assert.equal(gitlab.keysFetched - before, 1);
});

test('case 58: a flood of unknown key ids costs one request, and locks no good job out', async () => {
  const wishes = fresh();
  await allowed(world, wishes);
  await olderBy(wishes.state, 31_000);
  const before = gitlab.keysFetched;
  const bads = Array.from({ length: 10 }, (_, n) =>
    refused(
      world,
      { ...wishes, token: (facts) => gitlab.tokenFor(facts, { header: { kid: `unknown-${n}` } }) },
      'ERR_TOKEN_KEY_UNKNOWN',
    ),
  );
  await Promise.all([...bads, ...Array.from({ length: 4 }, () => allowed(world, wishes))]);
  assert.equal(gitlab.keysFetched - before, 1);
});

test('case 58: while a failure is fresh, others do not run into it as well', async () => {
  const wishes = fresh();
  // Late, so that all of them have begun, and wait for the first, when it fails.
  gitlab.behaviour.keys = { delayMs: 4_000, status: 500 };
  const before = gitlab.keysFetched;
  await Promise.all(Array.from({ length: 6 }, () => failed(world, wishes, 'ERR_KEYS_UNAVAILABLE')));
  assert.equal(gitlab.keysFetched - before, 1);
  gitlab.behaviour.keys = {};
});

const spoil: Record<string, (file: string) => Promise<unknown>> = {
  'writable by all': (file) => chmod(file, 0o666),
  "the user's": async (file) => (await import('node:fs/promises')).chown(file, account.uid, account.gid),
  'a symbolic link': async (file) => {
    await rename(file, `${file}.real`);
    await symlink(`${file}.real`, file);
  },
  truncated: async (file) => writeFile(file, (await readFile(file, 'utf8')).slice(0, 40)),
  'from the future': (file) => changeCache(file, (cache) => ({ ...cache, fetchedAt: Date.now() + 3_600_000 })),
  'of another server': (file) => changeCache(file, (cache) => ({ ...cache, url: 'https://gitlab.example.com' })),
};
for (const [what, act] of Object.entries(spoil)) {
  test(`case 59: a key cache that is ${what} is not believed and is made anew`, async () => {
    const wishes = fresh();
    await allowed(world, wishes);
    const file = await cacheOf(wishes.state);
    await changeCache(file, (cache) => ({ ...cache, keys: [foreign.jwk] }));
    await allowed(world, { ...wishes, token: withKey(foreign) });
    await act(file);
    const before = gitlab.keysFetched;
    await refused(world, { ...wishes, token: withKey(foreign) }, 'ERR_TOKEN_KEY_UNKNOWN');
    assert.equal(gitlab.keysFetched - before, 1);
    await allowed(world, wishes);
  });
}

test('case 60: a key that the server no longer lists is refused once the cache is older than jwks_max_age', async () => {
  const wishes = fresh({ jwks_max_age: '1s' });
  const old = gitlab.jobKey;
  await allowed(world, { ...wishes, token: withKey(old) });
  await gitlab.rotateJobKey();
  const refusal = await eventually('the old key is refused', async () => {
    const { record, log } = await ask(world, { ...wishes, token: withKey(old) });
    return record.outcome.kind === 'success' ? undefined : log;
  });
  assert.equal(refusal.find(({ msg }) => msg === 'job refused')?.details?.['code'], 'ERR_TOKEN_KEY_UNKNOWN');
});

test('case 60: a key that is new is taken after one request, half a minute after the last', async () => {
  const wishes = fresh();
  await allowed(world, wishes);
  await gitlab.rotateJobKey();
  await refused(world, wishes, 'ERR_TOKEN_KEY_UNKNOWN');
  await olderBy(wishes.state, 31_000);
  const before = gitlab.keysFetched;
  await allowed(world, wishes);
  assert.equal(gitlab.keysFetched - before, 1);
});

test('jwks_file: pinned keys count alone, and the server is not asked for any', async () => {
  const pinned = world.at('jwks.json');
  await writeFile(pinned, JSON.stringify({ keys: [gitlab.jobKey.jwk] }), { mode: 0o644 });
  const before = gitlab.keysFetched;
  await allowed(world, fresh({ jwks_file: pinned }));
  await refused(world, { ...fresh({ jwks_file: pinned }), token: withKey(gitlab.loginKey) }, 'ERR_TOKEN_KEY_UNKNOWN');
  assert.equal(gitlab.keysFetched, before);
});

test('jwks_file: a file that others could have written, or that holds no key, is an error of the configuration', async () => {
  const pinned = world.at('bad-jwks.json');
  await writeFile(pinned, '{"keys":[]}', { mode: 0o644 });
  await failed(world, fresh({ jwks_file: pinned }), 'ERR_CONFIG_JWKS_FILE');
  await writeFile(pinned, JSON.stringify({ keys: [gitlab.jobKey.jwk] }));
  await chmod(pinned, 0o666);
  await failed(world, fresh({ jwks_file: pinned }), 'ERR_CONFIG_JWKS_FILE');
  await failed(world, fresh({ jwks_file: world.at('none.json') }), 'ERR_CONFIG_JWKS_FILE');
});

async function cacheOf(state: string): Promise<string> {
  const directory = join(state, 'keys');
  const name = (await readdir(directory)).find((each) => each.endsWith('.json'));
  return join(directory, String(name));
}

async function changeCache(file: string, change: (cache: Record<string, number>) => unknown): Promise<void> {
  await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')))));
}

/** As if the last request had been so much earlier. */
async function olderBy(state: string, milliseconds: number): Promise<void> {
  const back = (time = 0) => time - milliseconds;
  await changeCache(await cacheOf(state), (cache) => ({
    ...cache,
    fetchedAt: back(cache['fetchedAt']),
    askedAt: back(cache['askedAt']),
  }));
}

async function listen(listener: RequestListener): Promise<{ url: string; server: Server; close: () => void }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  world.onClose(async () => close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, close };
}
