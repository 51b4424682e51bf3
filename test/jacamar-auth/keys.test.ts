// Where the public keys come from: the cache between processes, when the server is asked, and that nothing it
// says badly does harm.

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { AuthorizationError, ConfigurationError, SystemFailure } from '../../src/contract/errors.ts';
import { generateSigningKey, type SigningKey as KeyPair } from '../../src/jacamar-admin/signing-key.ts';
import { findKey, type KeySource, pinnedKey } from '../../src/jacamar-auth/keys.ts';
import type { Answer } from '../../src/jacamar-auth/server.ts';
import { loadBuiltLock } from '../native/built.ts';
import { scratchDirectory } from '../support/scratch.ts';

const SERVER = { url: 'https://gitlab.example.com', caFile: undefined };
const MAX_AGE_MS = 600_000;
const START = 1_800_000_000_000;
const lock = loadBuiltLock();
let [first, second]: KeyPair[] = [];

before(async () => {
  [first, second] = await Promise.all([generateSigningKey(), generateSigningKey()]);
});

const pair = (which: KeyPair | undefined): KeyPair => which ?? assert.fail('no key was made');
const keySet = (...keys: unknown[]): Answer => ({ status: 200, body: Buffer.from(JSON.stringify({ keys })) });

/** A server whose answer and clock a test can change; it counts the questions. */
class FakeServer {
  asked: string[] = [];
  nowMs = START;
  answer: Answer | Error = keySet(pair(first).jwk);
  readonly source: KeySource;

  constructor(stateDirectory: string, changes: Partial<KeySource> = {}) {
    const ask = async (_: unknown, path: string) => {
      this.asked.push(path);
      await new Promise((resolve) => setImmediate(resolve));
      if (this.answer instanceof Error) throw this.answer;
      return this.answer;
    };
    this.source = {
      server: SERVER,
      stateDirectory,
      maxAgeMs: MAX_AGE_MS,
      lock,
      ask,
      now: () => this.nowMs,
      ...changes,
    };
  }

  find(kid = pair(first).kid) {
    return findKey(this.source, kid);
  }
}

const serverFor = (context: TestContext, changes: Partial<KeySource> = {}) =>
  new FakeServer(scratchDirectory(context), changes);
const UNKNOWN = { name: 'AuthorizationError', code: 'ERR_TOKEN_KEY_UNKNOWN' };
const UNAVAILABLE = { name: 'SystemFailure', code: 'ERR_KEYS_UNAVAILABLE' };

/** The one cache file below a state directory. */
function cacheFile({ source }: FakeServer): string {
  const directory = join(source.stateDirectory, 'keys');
  const name = readdirSync(directory).find((entry) => entry.endsWith('.json'));
  return join(directory, name ?? assert.fail('no cache was written'));
}

describe('the key cache', () => {
  it('asks once at the fixed address, and serves everybody for as long as it is young', async (context) => {
    const server = serverFor(context);
    assert.equal((await server.find()).n, pair(first).jwk.n);
    server.nowMs += MAX_AGE_MS - 1;
    await server.find();
    assert.deepEqual(server.asked, ['/oauth/discovery/keys']);
    server.nowMs += 1;
    await server.find();
    assert.equal(server.asked.length, 2);
  });

  it('is a file that only its owner can read, in a directory that only he can enter', async (context) => {
    const server = serverFor(context);
    await server.find();
    assert.equal(statSync(cacheFile(server)).mode & 0o7777, 0o600);
    assert.equal(statSync(join(server.source.stateDirectory, 'keys')).mode & 0o7777, 0o700);
  });

  it('leaves nothing behind but the cache and its lock', async (context) => {
    const server = serverFor(context);
    await server.find();
    assert.equal(readdirSync(join(server.source.stateDirectory, 'keys')).length, 2);
  });

  it('learns a new key by one question', async (context) => {
    const server = serverFor(context);
    await server.find();
    server.answer = keySet(pair(first).jwk, pair(second).jwk);
    server.nowMs += 30_000;
    assert.equal((await server.find(pair(second).kid)).n, pair(second).jwk.n);
    assert.equal(server.asked.length, 2);
  });

  it('asks about unknown key ids at most twice a minute, and goes on serving the known ones', async (context) => {
    const server = serverFor(context);
    await assert.rejects(server.find('unknown'), UNKNOWN);
    for (let round = 0; round < 50; round += 1) await assert.rejects(server.find(`unknown-${round}`), UNKNOWN);
    await server.find();
    assert.equal(server.asked.length, 1);
    server.nowMs += 29_999;
    await assert.rejects(server.find('unknown'), UNKNOWN);
    server.nowMs += 1;
    await assert.rejects(server.find('unknown'), UNKNOWN);
    assert.equal(server.asked.length, 2);
  });

  it('forgets a key that the server removed once it is old enough', async (context) => {
    const server = serverFor(context);
    await server.find();
    server.answer = keySet(pair(second).jwk);
    server.nowMs += MAX_AGE_MS - 1;
    await server.find();
    server.nowMs += 1;
    await assert.rejects(server.find(), UNKNOWN);
  });

  it('forgets a removed key at once when another key made it ask', async (context) => {
    const server = serverFor(context);
    await server.find();
    server.answer = keySet(pair(second).jwk);
    server.nowMs += 30_000;
    await server.find(pair(second).kid);
    await assert.rejects(server.find(), UNKNOWN);
  });

  it('has no key under names of the object prototype', async (context) => {
    const server = serverFor(context);
    for (const kid of ['__proto__', 'constructor', '../../etc/passwd', ''])
      await assert.rejects(server.find(kid), UNKNOWN);
  });

  it('is per server', async (context) => {
    const server = serverFor(context);
    await server.find();
    const other = new FakeServer(server.source.stateDirectory, {
      server: { url: 'https://other.example.com', caFile: undefined },
    });
    other.answer = keySet(pair(second).jwk);
    await assert.rejects(other.find(), UNKNOWN);
    assert.equal(other.asked.length, 1);
  });
});

describe('bad answers', () => {
  const answers: Record<string, Answer | Error> = {
    'a failure of the network': new Error('ECONNREFUSED'),
    'a redirection': { status: 302, body: Buffer.from('') },
    'a server error': { status: 500, body: Buffer.from('{"keys":[]}') },
    HTML: { status: 200, body: Buffer.from('<html></html>') },
    'an empty body': { status: 200, body: Buffer.alloc(0) },
    'bytes that are no UTF-8': { status: 200, body: Buffer.from([0x7b, 0xff, 0x7d]) },
    'an object without keys': { status: 200, body: Buffer.from('{}') },
    null: { status: 200, body: Buffer.from('null') },
    'an empty key set': keySet(),
    'keys that are no list': { status: 200, body: Buffer.from('{"keys":{"0":{}}}') },
    'more than a hundred keys': keySet(...Array.from({ length: 101 }, (_, index) => ({ kid: String(index) }))),
    'a key set without a usable key': keySet({ kty: 'oct', kid: 'a', k: 'AAAA' }, null, 7, 'x', []),
  };
  for (const [title, answer] of Object.entries(answers)) {
    it(`${title} is a fault of the site, and leaves the good keys in place`, async (context) => {
      const server = serverFor(context);
      server.answer = answer;
      await assert.rejects(server.find(), UNAVAILABLE);
      server.nowMs += 5_000;
      server.answer = keySet(pair(first).jwk);
      await server.find();
      server.answer = answer;
      server.nowMs += 30_000;
      await assert.rejects(server.find('unknown'), UNAVAILABLE);
      assert.equal((await server.find()).kid, pair(first).kid);
    });
  }

  it('are told with the address that was asked', async (context) => {
    const server = serverFor(context);
    server.answer = { status: 404, body: Buffer.alloc(0) };
    const message = new RegExp(`${SERVER.url}/oauth/discovery/keys: .*404`);
    await assert.rejects(server.find(), { ...UNAVAILABLE, message });
  });

  it('keep others from asking again for five seconds', async (context) => {
    const server = serverFor(context);
    server.answer = new Error('ECONNREFUSED');
    for (let round = 0; round < 20; round += 1) await assert.rejects(server.find(), UNAVAILABLE);
    server.nowMs += 4_999;
    await assert.rejects(server.find(), UNAVAILABLE);
    assert.equal(server.asked.length, 1);
    server.nowMs += 1;
    server.answer = keySet(pair(first).jwk);
    await server.find();
    assert.equal(server.asked.length, 2);
  });

  it('do not prolong the life of old keys', async (context) => {
    const server = serverFor(context);
    await server.find();
    server.answer = new Error('ECONNREFUSED');
    server.nowMs += 30_000;
    await assert.rejects(server.find('unknown'), UNAVAILABLE);
    server.nowMs = START + MAX_AGE_MS;
    await assert.rejects(server.find(), UNAVAILABLE);
  });
});

describe('usable keys', () => {
  const others = (): Record<string, object> => ({
    'an oct key': { kty: 'oct', kid: 'x', k: 'AAAA' },
    'an elliptic key': { kty: 'EC', kid: 'x', crv: 'P-256', x: 'AAAA', y: 'AAAA' },
    'a key for encryption': { ...pair(second).jwk, use: 'enc' },
    'a key of another algorithm': { ...pair(second).jwk, alg: 'RS512' },
    'a key of 1024 bits': { ...pair(second).jwk, n: pair(second).jwk.n.slice(0, 171) },
    'a key of more than 16384 bits': { ...pair(second).jwk, n: 'A'.repeat(2732) },
    'a key with the exponent 1': { ...pair(second).jwk, e: 'AQ' },
    'a key with a modulus that is no base64url': { ...pair(second).jwk, n: `${pair(second).jwk.n.slice(1)}=` },
    'a key without modulus': { ...pair(second).jwk, n: undefined },
    'a key without id': { ...pair(second).jwk, kid: undefined },
    'a key with a number as id': { ...pair(second).jwk, kid: 7 },
  });
  it('are RSA signing keys of 2048 bits or more; the others beside them are passed over', async (context) => {
    for (const [title, other] of Object.entries(others())) {
      const server = serverFor(context);
      server.answer = keySet(other, pair(first).jwk);
      await server.find();
      for (const kid of ['x', pair(second).kid, '7']) await assert.rejects(server.find(kid), UNKNOWN, title);
    }
  });

  it('need neither use nor alg', async (context) => {
    const { use: _, alg: __, ...plain } = pair(first).jwk;
    const server = serverFor(context);
    server.answer = keySet(plain);
    await server.find();
  });

  it('have ids that stand once: of two with one id none is used', async (context) => {
    const server = serverFor(context);
    server.answer = keySet({ ...pair(second).jwk, kid: pair(first).kid }, pair(first).jwk, pair(second).jwk);
    await assert.rejects(server.find(), UNKNOWN);
    await server.find(pair(second).kid);
  });
});

describe('a cache file that is not to be trusted', () => {
  const damages: Record<string, (file: string) => void> = {
    'is cut short': (file) => writeFileSync(file, readFileSync(file, 'utf8').slice(0, 100)),
    'is empty': (file) => writeFileSync(file, ''),
    'is other JSON': (file) => writeFileSync(file, '[]'),
    'belongs to another account': (file) => chownSync(file, 65534, 0),
    'can be written by its group': (file) => chmodSync(file, 0o660),
    'can be written by all': (file) => chmodSync(file, 0o602),
    'is a symbolic link': (file) => {
      renameSync(file, `${file}.real`);
      symlinkSync(`${file}.real`, file);
    },
    'is of another server': (file) => {
      writeFileSync(file, readFileSync(file, 'utf8').replace('gitlab.example.com', 'other.example.com'));
    },
    'is larger than a mebibyte': (file) => writeFileSync(file, readFileSync(file, 'utf8') + ' '.repeat(1024 * 1024)),
    'is from the future': (file) => {
      const cache = JSON.parse(readFileSync(file, 'utf8'));
      writeFileSync(file, JSON.stringify({ ...cache, fetchedAt: START + 60_000, askedAt: START + 60_000 }));
    },
    'holds a weak key': (file) => {
      const cache = JSON.parse(readFileSync(file, 'utf8'));
      writeFileSync(file, JSON.stringify({ ...cache, keys: [{ ...cache.keys[0], e: 'AQ' }] }));
    },
  };
  for (const [title, damage] of Object.entries(damages)) {
    it(`${title}: the server is asked again, and the file replaced`, async (context) => {
      const server = serverFor(context);
      await server.find();
      const file = cacheFile(server);
      damage(file);
      assert.equal((await server.find()).n, pair(first).jwk.n);
      assert.equal(server.asked.length, 2);
      assert.ok(statSync(file).isFile());
      assert.equal(statSync(file).uid, 0);
      await server.find();
      assert.equal(server.asked.length, 2);
    });
  }

  it('in a directory that others can write to, it is not even looked at', async (context) => {
    const server = serverFor(context);
    await server.find();
    chmodSync(join(server.source.stateDirectory, 'keys'), 0o770);
    await assert.rejects(server.find(), { name: 'SystemFailure', code: 'ERR_STATE_DIRECTORY' });
    assert.equal(server.asked.length, 1);
  });
});

describe('many at one time', () => {
  it('lead to one question', async (context) => {
    const server = serverFor(context);
    const found = await Promise.all(Array.from({ length: 50 }, () => server.find()));
    assert.equal(new Set(found.map(({ n }) => n)).size, 1);
    assert.equal(server.asked.length, 1);
  });

  it('with keys that do not exist lead to one question as well', async (context) => {
    const server = serverFor(context);
    const all = await Promise.allSettled(Array.from({ length: 50 }, (_, index) => server.find(`unknown-${index}`)));
    assert.ok(all.every((one) => one.status === 'rejected' && one.reason instanceof AuthorizationError));
    assert.equal(server.asked.length, 1);
  });

  it('do not wait for ever for one that holds the lock', async (context) => {
    let elapsed = 0;
    context.mock.method(performance, 'now', () => {
      elapsed += 1_000;
      return elapsed;
    });
    const server = serverFor(context, { lock: { tryLock: () => false } });
    await assert.rejects(
      server.find(),
      (error) => error instanceof SystemFailure && /another process/.test(error.message),
    );
    assert.equal(server.asked.length, 0);
  });
});

describe('pinned keys', () => {
  const pin = (context: TestContext, content: string | Buffer) => {
    const file = join(scratchDirectory(context), 'jwks.json');
    writeFileSync(file, content, { mode: 0o644 });
    return file;
  };
  const refused = (error: unknown) => error instanceof ConfigurationError && error.code === 'ERR_CONFIG_JWKS_FILE';

  it('come from the file alone', (context) => {
    const file = pin(context, keySet(pair(first).jwk).body);
    assert.equal(pinnedKey(file, pair(first).kid).n, pair(first).jwk.n);
    assert.throws(() => pinnedKey(file, pair(second).kid), UNKNOWN);
    assert.throws(() => pinnedKey(file, '__proto__'), UNKNOWN);
  });

  it('need a file that holds a usable key', (context) => {
    for (const content of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"oct"}]}', 'x']) {
      const file = pin(context, content);
      assert.throws(() => pinnedKey(file, 'x'), refused);
    }
    assert.throws(() => pinnedKey('/nonexistent/jwks.json', 'x'), refused);
  });

  it('need a file that only root can write', (context) => {
    const file = pin(context, keySet(pair(first).jwk).body);
    chmodSync(file, 0o664);
    assert.throws(() => pinnedKey(file, pair(first).kid), refused);
    chmodSync(file, 0o644);
    chownSync(file, 65534, 65534);
    assert.throws(() => pinnedKey(file, pair(first).kid), refused);
  });
});
