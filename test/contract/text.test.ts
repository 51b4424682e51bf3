// Foreign text made harmless, and secrets that stay out of text.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { format, inspect } from 'node:util';
import fc from 'fast-check';
import { Secret } from '../../src/contract/secret.ts';
import { printable } from '../../src/contract/text.ts';

describe('printable text', () => {
  it('is itself when it is harmless', () => {
    for (const text of ['', 'abc', 'äöü €', '日本語', '😀', '"quoted" \\ / \'', ' '])
      assert.equal(printable(text), text);
  });

  it('has escapes for control characters and for marks that turn text around', () => {
    assert.equal(
      printable('\n\r\t\0\u001b\u007f\u0080\u009f'),
      '\\u000a\\u000d\\u0009\\u0000\\u001b\\u007f\\u0080\\u009f',
    );
    assert.equal(
      printable('\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069'),
      '\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a\\u202e\\u2066\\u2069',
    );
  });

  it('never holds one of them, and is never long', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 3000, size: 'max' }), (text) => {
        const shown = printable(text);
        assert.ok(!/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u.test(shown));
        assert.ok(shown.length < 6500);
      }),
    );
  });

  it('says how much of a long text was cut', () => {
    assert.equal(printable('x'.repeat(1024)), 'x'.repeat(1024));
    assert.equal(printable('x'.repeat(1025)), `${'x'.repeat(1024)}… (1025 characters)`);
  });
});

describe('a secret', () => {
  const secret = new Secret('canary');
  const ways: Record<string, () => string> = {
    'a template': () => `${secret}`,
    'string addition': () => 'x'.concat(secret as unknown as string),
    String: () => String(secret),
    'a join': () => [secret, secret].join(),
    JSON: () => JSON.stringify({ secret, list: [secret] }),
    inspect: () => inspect(secret) + inspect({ secret }, { showHidden: true, depth: null }),
    'inspect without its own form': () => inspect(secret, { customInspect: false, showHidden: true }),
    'util.format': () => format('%s %o %O %j %d', secret, secret, secret, secret, secret),
    'the message of an error': () => new Error(`no ${secret}`).message,
    'an inspected error with properties': () =>
      inspect(Object.assign(new Error('x'), { secret }), { showHidden: true }),
    'its members': () =>
      JSON.stringify([Object.keys(secret), Object.entries(secret), Object.getOwnPropertyNames(secret), { ...secret }]),
    'a copy': () => inspect(structuredClone(secret), { showHidden: true }),
    'a comparison that fails': () => {
      try {
        assert.deepEqual(secret, new Secret('other'));
        return '';
      } catch (error) {
        return String(error);
      }
    },
  };
  for (const [title, way] of Object.entries(ways)) {
    it(`does not appear by ${title}`, () => assert.ok(!way().includes('canary')));
  }

  it('is given back when asked for by name', () => assert.equal(secret.reveal(), 'canary'));
});
