// The verification of ID tokens: what is taken, and that everything else is refused, whatever is wrong with it.
// Most tokens here carry a right signature over wrong content, as only the server itself could make them.

import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { AuthorizationError } from '../../src/contract/errors.ts';
import { Secret } from '../../src/contract/secret.ts';
import { generateSigningKey, type SigningKey as KeyPair, signClaims } from '../../src/jacamar-admin/signing-key.ts';
import { type Claims, type Expected, verifyToken } from '../../src/jacamar-auth/token.ts';
import {
  encodePart,
  NOW,
  SAMPLE_FACTS,
  sampleClaims,
  sharedKey,
  signParts,
  signWithSecret,
} from '../support/tokens.ts';

const ISSUER = SAMPLE_FACTS.serverUrl;
let key: KeyPair;

before(async () => {
  key = await sharedKey();
});

function expectation(changes: Partial<Expected> = {}): Expected {
  return {
    issuer: ISSUER,
    expiryGraceMs: 0,
    now: new Date(NOW * 1000),
    findKey: async () => key.jwk,
    ...changes,
  };
}

const verify = (token: string, changes: Partial<Expected> = {}) => verifyToken(new Secret(token), expectation(changes));
const header = (changes: object = {}) => ({ alg: 'RS256', typ: 'JWT', kid: key.kid, ...changes });
const signed = (claims: unknown) => signParts({ header: header(), payload: claims }, key.privateKey);

/** Refuses, in its own words: no part of the token stands in any message of the error or of its causes. */
async function refuses(token: string, code: string | RegExp, changes: Partial<Expected> = {}): Promise<Error> {
  const error = await verify(token, changes).then(
    () => assert.fail('the token was taken'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AuthorizationError, String(error));
  assert.match(error.code, typeof code === 'string' ? new RegExp(`^${code}$`) : code);
  assert.equal(error.publicMessage, 'This job is not authorized to run here.');
  for (let at: unknown = error; at instanceof Error; at = at.cause) assertKeepsToken(at.message, token);
  return error;
}

function assertKeepsToken(message: string, token: string): void {
  for (const part of token.split('.').filter(({ length }) => length >= 8)) {
    assert.ok(!message.includes(part), `part of the token in "${message}"`);
  }
  assert.ok(message.length < 4000, 'message without end');
  assert.ok(
    [...message].every((character) => character >= ' ' && (character < '\x7f' || character > '\x9f')),
    message,
  );
}

const refusesClaims = (changes: Record<string, unknown>, code: string | RegExp, expected: Partial<Expected> = {}) =>
  refuses(signed(sampleClaims(changes)), code, expected);

/** An asker of keys that must not be asked. */
const noKey = { findKey: () => assert.fail('a key was looked up') } as unknown as Partial<Expected>;

describe('an honest token', () => {
  it('is taken, and its claims come back', async () => {
    const claims = await verify(signed(sampleClaims()));
    assert.equal(claims.user_login, 'alice');
    assert.equal(claims.job_id, '302');
    assert.equal(claims.runner_id, 11);
  });

  it('is taken as the stand-in for GitLab signs it', async () => {
    assert.equal((await verify(signClaims(sampleClaims(), key))).user_id, '42');
  });

  it('may leave out what older servers do not send', async () => {
    const names = ['job_project_id', 'job_project_path', 'job_namespace_id', 'job_namespace_path'];
    const older = Object.fromEntries(
      [...names, 'runner_id', 'sha', 'user_access_level'].map((name) => [name, undefined]),
    );
    assert.equal((await verify(signed(sampleClaims(older)))).job_project_id, undefined);
  });

  it('is looked up by its key id and by nothing else', async () => {
    const asked: string[] = [];
    const findKey = async (kid: string) => {
      asked.push(kid);
      return key.jwk;
    };
    await verify(signed(sampleClaims()), { findKey });
    assert.deepEqual(asked, [key.kid]);
  });
});

describe('algorithms', () => {
  for (const alg of [
    'none',
    'None',
    'nOnE',
    'NONE',
    '',
    'rs256',
    'RS384',
    'PS256',
    'ES256',
    'EdDSA',
    'HS256',
    null,
    1,
    ['RS256'],
  ]) {
    it(`${JSON.stringify(alg)} is refused before a key is looked up`, async () => {
      const token = signParts({ header: header({ alg }), payload: sampleClaims() }, key.privateKey);
      await refuses(token, 'ERR_TOKEN_HEADER', noKey);
      await refuses(token.replace(/[^.]+$/, ''), 'ERR_TOKEN_FORM', noKey);
    });
  }

  it('a symmetric signature with the public key as secret is refused, whatever the header says', async () => {
    const forms = [
      key.publicKey.export({ type: 'spki', format: 'pem' }),
      key.publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(key.jwk),
      '',
    ];
    for (const secret of forms) {
      const payload = sampleClaims();
      await refuses(signWithSecret({ header: header({ alg: 'HS256' }), payload }, secret), 'ERR_TOKEN_HEADER', noKey);
      await refuses(signWithSecret({ header: header(), payload }, secret), 'ERR_TOKEN_SIGNATURE');
    }
  });

  it('a right signature of another kind under the name RS256 is wrong', async () => {
    const input = `${encodePart(header())}.${encodePart(sampleClaims())}`;
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const signatures = [
      sign('sha384', Buffer.from(input), key.privateKey),
      sign('sha1', Buffer.from(input), key.privateKey),
      sign('sha256', Buffer.from(input), { key: key.privateKey, ...padding }),
      sign('sha256', Buffer.from(input), ec),
      sign(null, Buffer.from(input), generateKeyPairSync('ed25519').privateKey),
    ];
    for (const signature of signatures) {
      await refuses(`${input}.${signature.toString('base64url')}`, 'ERR_TOKEN_SIGNATURE');
    }
  });

  it('a key of less than 2048 bits verifies nothing, even if it comes from the key store', async () => {
    const weak = await generateSigningKey(1024);
    const token = signParts({ header: header(), payload: sampleClaims() }, weak.privateKey);
    await refuses(token, 'ERR_TOKEN_FORM', { findKey: async () => weak.jwk });
  });
});

describe('headers', () => {
  const bad: Record<string, object> = {
    'no kid': { kid: undefined },
    'a number as kid': { kid: 1 },
    'a list as kid': { kid: ['a'] },
    'an empty kid': { kid: '' },
    'a kid of 10 kB': { kid: 'k'.repeat(10_240) },
    jku: { jku: 'http://127.0.0.1:1/keys' },
    x5u: { x5u: 'http://127.0.0.1:1/keys' },
    jwk: { jwk: { kty: 'RSA' } },
    x5c: { x5c: ['AAAA'] },
    crit: { crit: ['b64'] },
    'b64: false': { b64: false, crit: ['b64'] },
    zip: { zip: 'DEF' },
    cty: { cty: 'JWT' },
    'another typ': { typ: 'at+jwt' },
    'a parameter with a name of the object prototype': { constructor: 'x' },
    'a parameter full of escape sequences': { ['\u001b[2J\n\u009b'.repeat(1000)]: '\u001b[2J' },
    'an algorithm full of escape sequences': { alg: '\u001b[2J\n\u009b'.repeat(1000) },
  };
  for (const [title, changes] of Object.entries(bad)) {
    it(`${title} is refused before a key is looked up`, async () => {
      const token = signParts({ header: header(changes), payload: sampleClaims() }, key.privateKey);
      await refuses(token, 'ERR_TOKEN_HEADER', noKey);
    });
  }

  it('a kid is an opaque name: paths and names of the object prototype go to the key store as they are', async () => {
    for (const kid of ['../../dev/null', "' OR 1=1", '__proto__', 'constructor', 'toString']) {
      const seen: string[] = [];
      const findKey = (asked: string) => {
        seen.push(asked);
        return Promise.reject(new AuthorizationError({ code: 'ERR_TOKEN_KEY_UNKNOWN', message: 'no' }));
      };
      const text = JSON.stringify({ alg: 'RS256' }).replace('}', `,"kid":${JSON.stringify(kid)}}`);
      const token = signParts({ header: text, payload: sampleClaims() }, key.privateKey);
      await refuses(token, 'ERR_TOKEN_KEY_UNKNOWN', { findKey });
      assert.deepEqual(seen, [kid]);
    }
  });

  it('a header that is no JSON object is refused', async () => {
    for (const text of ['[]', 'null', '"x"', '1', '', '{', '{}', '\ufeff{}', '{"alg":"RS256"', '\u001b[2J']) {
      const token = signParts({ header: text === '' ? ' ' : text, payload: sampleClaims() }, key.privateKey);
      await refuses(token, /^ERR_TOKEN_(FORM|HEADER)$/, noKey);
    }
  });

  it('a parameter that stands twice is refused, also when one is spelled with escapes', async () => {
    for (const twin of ['"\x9b":1,"\x9b":1', '"alg":"none"', '"\\u0061lg":"RS256"', `"kid":"other"`]) {
      const text = JSON.stringify(header()).replace('}', `,${twin}}`);
      await refuses(signParts({ header: text, payload: sampleClaims() }, key.privateKey), 'ERR_TOKEN_FORM', noKey);
    }
  });
});

describe('the compact form', () => {
  const good = () => signed(sampleClaims());
  const changes: Record<string, (token: string) => string> = {
    empty: () => '',
    'one part': (token) => token.split('.')[0] ?? '',
    'two parts': (token) => token.split('.').slice(0, 2).join('.'),
    'an extra dot at the end': (token) => `${token}.`,
    'an extra dot in front': (token) => `.${token}`,
    'five parts, as encrypted tokens have': (token) => `${token}.AAAA.AAAA`,
    'an empty payload': (token) => token.replace(/\.[^.]+\./, '..'),
    'an empty signature': (token) => token.replace(/[^.]+$/, ''),
    padding: (token) => `${token}=`,
    'a newline at the end': (token) => `${token}\n`,
    'a blank in front': (token) => ` ${token}`,
    'a blank within': (token) => token.replace('.', ' .'),
    'a plus': (token) => `${token.slice(0, -1)}+`,
    'a slash': (token) => `${token.slice(0, -1)}/`,
    'a NUL': (token) => `${token}\0`,
    'letters that are not ASCII': (token) => `${token}а`,
    'more than 64 KiB': (token) => token + 'A'.repeat(64 * 1024),
    'four megabytes': (token) => token + 'A'.repeat(4 * 1024 * 1024),
  };
  for (const [title, change] of Object.entries(changes)) {
    it(`${title} is refused before a key is looked up`, async () => {
      const started = performance.now();
      await refuses(change(good()), 'ERR_TOKEN_FORM', noKey);
      assert.ok(performance.now() - started < 20_000);
    });
  }

  it('any string at all is refused without another kind of error', async () => {
    const strings = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}$/),
    );
    await fc.assert(
      fc.asyncProperty(strings, async (text) => {
        await assert.rejects(verify(text), AuthorizationError);
      }),
    );
  });
});

describe('signatures', () => {
  it('one changed bit anywhere is noticed', async () => {
    const token = signed(sampleClaims());
    const parts = token.split('.');
    for (const [index, part] of parts.entries()) {
      const bytes = Buffer.from(part, 'base64url');
      for (let position = 0; position < bytes.length; position += Math.ceil(bytes.length / 12)) {
        const changed = Buffer.from(bytes);
        changed[position] = (changed[position] ?? 0) ^ 1;
        await refuses(parts.with(index, changed.toString('base64url')).join('.'), /^ERR_TOKEN_/);
      }
    }
  });

  it('a signature that is cut, of another token or by another key is wrong', async () => {
    const token = signed(sampleClaims());
    const [head, body] = token.split('.');
    const other = signed(sampleClaims({ user_login: 'bob' }));
    await refuses(token.slice(0, -8), 'ERR_TOKEN_SIGNATURE');
    await refuses(`${head}.${body}.${other.split('.')[2]}`, 'ERR_TOKEN_SIGNATURE');
    const stranger = await generateSigningKey();
    await refuses(signParts({ header: header(), payload: sampleClaims() }, stranger.privateKey), 'ERR_TOKEN_SIGNATURE');
  });

  it('a token says the same about itself however its signature is spelled', async () => {
    const token = signed(sampleClaims());
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const position = last.indexOf(token.at(-1) ?? '');
    const respelled = `${token.slice(0, -1)}${last[position ^ 1]}`;
    const outcome = await verify(respelled).then(
      ({ jti }) => jti,
      (error) => error.code,
    );
    assert.ok(['token-1', 'ERR_TOKEN_FORM', 'ERR_TOKEN_SIGNATURE'].includes(outcome), outcome);
  });
});

describe('issuers', () => {
  const others = [
    'https://GITLAB.example.com',
    'https://gitlab.example.com/',
    'https://gitlab.example.com:443',
    'http://gitlab.example.com',
    'https://x@gitlab.example.com',
    'https://gitlab.example.com.evil.org',
    'https://gitlab.examp1e.com',
    'gitlab.example.com',
    ' https://gitlab.example.com',
    '',
    undefined,
    null,
    7,
    [ISSUER],
    { url: ISSUER },
  ];
  for (const iss of others) {
    it(`${JSON.stringify(iss)} is not ours`, async () => {
      await refusesClaims({ iss }, 'ERR_TOKEN_CLAIM');
    });
  }
});

describe('audiences', () => {
  const audiences = ['https://hpc.example.com', 'second'];
  for (const aud of ['https://hpc.example.com', 'second', ['second']]) {
    it(`${JSON.stringify(aud)} is taken where it is on the list`, async () => {
      await verify(signed(sampleClaims({ aud })), { audiences });
    });
  }
  for (const aud of [
    'other',
    '',
    ['other'],
    'https://hpc.example.com/',
    'HTTPS://hpc.example.com',
    'sec',
    'second,other',
  ]) {
    it(`${JSON.stringify(aud)} is refused where it is not on the list`, async () => {
      await refusesClaims({ aud }, 'ERR_TOKEN_AUDIENCE', { audiences });
    });
  }
  for (const aud of [undefined, null, 7, {}, [], ['second', 'other'], ['second', 'second'], [7], [['second']]]) {
    it(`${JSON.stringify(aud)} is refused with a list and without one`, async () => {
      await refusesClaims({ aud }, 'ERR_TOKEN_CLAIM', { audiences });
      await refusesClaims({ aud }, 'ERR_TOKEN_CLAIM');
    });
  }

  it('any single one is taken without a list, as upstream does', async () => {
    await verify(signed(sampleClaims({ aud: 'anything' })));
  });

  it('none is taken with an empty list', async () => {
    await refusesClaims({ aud: 'second' }, 'ERR_TOKEN_AUDIENCE', { audiences: [] });
  });
});

describe('times', () => {
  const table: [title: string, changes: Record<string, unknown>, code: string | undefined][] = [
    ['expiry 29 s ago', { exp: NOW - 29 }, undefined],
    ['expiry 31 s ago', { exp: NOW - 31 }, 'ERR_TOKEN_EXPIRED'],
    ['not before 30 s from now', { nbf: NOW + 30 }, undefined],
    ['not before 31 s from now', { nbf: NOW + 31 }, 'ERR_TOKEN_CLAIM'],
    ['issued 30 s from now', { iat: NOW + 30 }, undefined],
    ['issued 31 s from now', { iat: NOW + 31 }, 'ERR_TOKEN_LIFETIME'],
    ['no expiry', { exp: undefined }, 'ERR_TOKEN_CLAIM'],
    ['no time of issue', { iat: undefined }, 'ERR_TOKEN_CLAIM'],
    ['no start', { nbf: undefined }, 'ERR_TOKEN_CLAIM'],
    ['expiry as a string', { exp: '9999999999' }, 'ERR_TOKEN_CLAIM'],
    ['expiry null', { exp: null }, 'ERR_TOKEN_CLAIM'],
    ['a fractional expiry', { exp: NOW + 0.5 }, 'ERR_TOKEN_CLAIM'],
    ['a negative expiry', { exp: -1 }, 'ERR_TOKEN_EXPIRED'],
    ['expiry before issue', { iat: NOW, exp: NOW - 1 }, 'ERR_TOKEN_LIFETIME'],
    ['an expiry beyond all dates', { exp: 2 ** 41 }, 'ERR_TOKEN_CLAIM'],
    ['a life of 32 days', { iat: NOW, exp: NOW + 32 * 86_400 }, undefined],
    ['a life of 32 days and a second', { iat: NOW, exp: NOW + 32 * 86_400 + 1 }, 'ERR_TOKEN_LIFETIME'],
    ['time of issue as a list', { iat: [NOW] }, 'ERR_TOKEN_CLAIM'],
    ['start as a boolean', { nbf: true }, 'ERR_TOKEN_CLAIM'],
    ['a negative start', { nbf: -1 }, 'ERR_TOKEN_CLAIM'],
  ];
  for (const [title, changes, code] of table) {
    it(`${title}: ${code ?? 'taken'}`, async () => {
      if (code === undefined) await verify(signed(sampleClaims(changes)));
      else await refusesClaims(changes, code);
    });
  }

  it('numbers that JSON has and JavaScript does not are refused', async () => {
    for (const number of ['1e400', '-1e400', '1e999']) {
      const text = JSON.stringify(sampleClaims()).replace(/"exp":[0-9]+/, `"exp":${number}`);
      await refuses(signed(text), /^ERR_TOKEN_(CLAIM|EXPIRED)$/);
    }
  });

  it('no state of the clock opens anything', async () => {
    const token = signed(sampleClaims());
    await refuses(token, 'ERR_TOKEN_CLAIM', { now: new Date(0) });
    await refuses(token, 'ERR_TOKEN_CLAIM', { now: new Date((NOW - 600) * 1000) });
    await refuses(token, 'ERR_TOKEN_EXPIRED', { now: new Date('2100-01-01') });
    await refuses(token, /^ERR_TOKEN_/, { now: new Date(Number.NaN) });
  });
});

describe('the grace after expiry', () => {
  const expired = { iat: NOW - 3700, nbf: NOW - 3705, exp: NOW - 100 };
  const grace = (ms: number) => ({ expiryGraceMs: ms });

  it('takes a token for exactly as long as it lasts', async () => {
    await verify(signed(sampleClaims(expired)), grace(100_000));
    await refusesClaims(expired, 'ERR_TOKEN_EXPIRED', grace(99_999));
    await refusesClaims(expired, 'ERR_TOKEN_EXPIRED');
  });

  it('excuses nothing else', async () => {
    const long = grace(86_400_000);
    await refusesClaims({ ...expired, iss: 'https://other.example.com' }, 'ERR_TOKEN_CLAIM', long);
    await refusesClaims({ ...expired, user_id: 42 }, 'ERR_TOKEN_CLAIM', long);
    await refusesClaims({ ...expired, nbf: NOW }, 'ERR_TOKEN_CLAIM', long);
    const stranger = await generateSigningKey();
    const token = signParts({ header: header(), payload: sampleClaims(expired) }, stranger.privateKey);
    await refuses(token, 'ERR_TOKEN_SIGNATURE', long);
  });
});

describe('claims', () => {
  const ids = ['job_id', 'pipeline_id', 'project_id', 'namespace_id', 'user_id'];
  const texts = [
    ...['sub', 'jti', 'pipeline_source', 'project_path', 'namespace_path', 'user_login', 'user_email'],
    ...['ref', 'ref_type', 'ref_protected'],
  ];
  const wrongTypes: unknown[] = [undefined, null, 0, 1, 1e21, true, false, [], ['alice'], {}, { toString: 'alice' }];

  for (const name of [...ids, ...texts]) {
    it(`${name} must be there, and a string`, async () => {
      for (const value of wrongTypes) await refusesClaims({ [name]: value }, 'ERR_TOKEN_CLAIM');
    });
  }

  for (const name of ['job_project_id', 'job_project_path', 'job_namespace_id', 'runner_environment', 'sha']) {
    it(`${name} may be absent but has no other type`, async () => {
      for (const value of wrongTypes.slice(1)) await refusesClaims({ [name]: value }, 'ERR_TOKEN_CLAIM');
    });
  }

  it('ids are decimal numbers as strings, in their one spelling', async () => {
    const bad = [
      '',
      '0',
      '-1',
      '+1',
      '0302',
      ' 302',
      '302 ',
      '302\n',
      '1e21',
      '0x12e',
      '302.0',
      '３０２',
      '1_000',
      '9'.repeat(20),
    ];
    for (const name of [...ids, 'job_project_id', 'job_namespace_id']) {
      for (const value of bad) await refusesClaims({ [name]: value }, 'ERR_TOKEN_CLAIM');
    }
  });

  it('ref_protected is one of two words, not a boolean', async () => {
    for (const value of ['True', 'yes', '', 'true ', 'null'])
      await refusesClaims({ ref_protected: value }, 'ERR_TOKEN_CLAIM');
  });

  it('runner_id is a number', async () => {
    for (const value of ['11', 1.5, null, [11]]) await refusesClaims({ runner_id: value }, 'ERR_TOKEN_CLAIM');
  });

  it('an empty login is none', async () => {
    await refusesClaims({ user_login: '' }, 'ERR_TOKEN_CLAIM');
    await refusesClaims({ user_login: 'a'.repeat(256) }, 'ERR_TOKEN_CLAIM');
  });

  it('a token that the same server made for a login, with the same key and issuer, is no CI token', async () => {
    const login = {
      iss: ISSUER,
      sub: '42',
      aud: 'some-application',
      exp: NOW + 120,
      iat: NOW,
      nbf: NOW,
      jti: 'x',
      auth_time: NOW,
      nickname: 'alice',
      preferred_username: 'alice',
    };
    await refuses(signed(login), 'ERR_TOKEN_CLAIM');
  });

  it('a claim that stands twice is refused although the signature is right', async () => {
    for (const twin of ['"user_login":"root"', '"user_login":"alice"', '"\\u0075ser_login":"root"', '"exp":9']) {
      const text = JSON.stringify(sampleClaims()).replace('{', `{${twin},`);
      await refuses(signed(text), /^ERR_TOKEN_(FORM|CLAIM|EXPIRED)$/);
      const last = JSON.stringify(sampleClaims()).replace(/\}$/, `,${twin}}`);
      await refuses(signed(last), /^ERR_TOKEN_(FORM|EXPIRED)$/);
    }
  });

  it('the same name twice on different levels is no twin', async () => {
    const identities = [{ provider: 'a', extern_uid: 'x' }];
    await verify(signed(sampleClaims({ user_identities: identities, nested: { user_login: 'root' } })));
  });

  it('__proto__ in a payload lends no claims and changes no other object', async () => {
    const { user_login: _, ...others } = sampleClaims();
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const text = JSON.stringify(others).replace(/\}$/, `,"${name}":{"user_login":"root","polluted":true}}`);
      await refuses(signed(text), 'ERR_TOKEN_CLAIM');
    }
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  it('bytes that are no UTF-8, a byte order mark, and lone surrogates are refused', async () => {
    const text = JSON.stringify(sampleClaims({ ref: 'MARK' }));
    const withBytes = (...bytes: number[]) => {
      const [front = '', back = ''] = text.split('MARK');
      return Buffer.concat([Buffer.from(front), Buffer.from(bytes), Buffer.from(back)]);
    };
    await verify(signed(withBytes(0xc3, 0xa9)));
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
      await refuses(signed(withBytes(...bytes)), 'ERR_TOKEN_FORM');
    }
    await refuses(signed(`\ufeff${text}`), 'ERR_TOKEN_FORM');
    await refuses(signed(text.replace('MARK', '\\ud800')), 'ERR_TOKEN_FORM');
    await refuses(signed(text.replace('MARK', '\\udc00\\ud800')), 'ERR_TOKEN_FORM');
    await verify(signed(text.replace('MARK', '\\ud83d\\ude00')));
  });

  it('a payload that is no object is refused', async () => {
    for (const payload of ['[]', '"x"', '1', 'null', '{', 'x'])
      await refuses(signed(payload), /^ERR_TOKEN_(FORM|CLAIM)$/);
  });

  it('deep nesting and many members cost little', async () => {
    const started = performance.now();
    const deep = `${'['.repeat(15_000)}${']'.repeat(15_000)}`;
    const nested = JSON.stringify(sampleClaims()).replace(/\}$/, `,"x":${deep}}`);
    assert.equal((await verify(signed(nested))).user_login, 'alice');
    const many = Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`c${index}`, 1]));
    assert.equal((await verify(signed(sampleClaims(many)))).user_login, 'alice');
    assert.ok(performance.now() - started < 20_000);
  });

  it('whatever stands in a claim, the outcome is a refusal or a value of the right type', async () => {
    const names = fc.constantFrom(...ids, ...texts, 'iss', 'aud', 'exp', 'iat', 'nbf', 'runner_id', 'user_identities');
    await fc.assert(
      fc.asyncProperty(names, fc.jsonValue(), async (name, value) => {
        const claims: Claims | AuthorizationError = await verify(signed(sampleClaims({ [name]: value }))).catch(
          (error) => error,
        );
        if (claims instanceof AuthorizationError) return;
        assert.ok(!(claims instanceof Error), String(claims));
        assert.deepEqual(claims[name as keyof Claims], value);
        if (ids.includes(name)) assert.match(claims[name as 'job_id'], /^[1-9][0-9]*$/);
      }),
      { numRuns: 300 },
    );
  });
});
