// JSON that can be read in two ways is refused; everything else means what JSON.parse says.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseStrictJson } from '../../src/jacamar-auth/strict-json.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text));

describe('strict JSON', () => {
  it('is JSON to JSON.parse as well, with the same meaning', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(text.isWellFormed() && !/\\u[dD][89a-fA-F]/.test(text));
        assert.deepEqual(parse(text), JSON.parse(text));
      }),
    );
  });

  it('refuses a member that stands twice at any depth, however it is spelled', () => {
    const twins = [
      '{"a":1,"a":1}',
      '{"a":1,"b":2,"a":3}',
      '{"a":1,"\\u0061":2}',
      '{"x":{"a":1,"a":2}}',
      '[{"a":1},{"a":1,"a":2}]',
      '{"":1,"":2}',
      '{"__proto__":1,"__proto__":2}',
      '{"a":{"b":[1,{"c":"}"}]},"a":1}',
      '{"a\\"":1,"a\\"":2}',
    ];
    for (const text of twins) assert.throws(() => parse(text), { name: 'SyntaxError', message: /stands twice/ }, text);
  });

  it('refuses a twin wherever a generated document is given one', () => {
    const names = fc.string({ unit: 'grapheme', maxLength: 8 });
    fc.assert(
      fc.property(names, fc.dictionary(names, fc.jsonValue({ maxDepth: 2 })), (name, others) => {
        const members = Object.entries({ ...others, [name]: 1 }).map(
          ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
        );
        assert.throws(() => parse(`{${[...members, `${JSON.stringify(name)}:2`].join()}}`), SyntaxError);
      }),
    );
  });

  it('takes one name in several objects, and text that only looks like structure', () => {
    for (const text of [
      '{"a":{"a":{"a":1}},"b":{"a":1}}',
      '[{"a":1},{"a":1}]',
      '{"a":"\\"a\\":1,\\"a\\":2"}',
      '{"a":"{","b":"}"}',
    ]) {
      assert.deepEqual(parse(text), JSON.parse(text));
    }
  });

  it('refuses bytes that are no UTF-8, a byte order mark, and half a surrogate pair', () => {
    const bad = [
      [0x22, 0xff, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
      [0x22, 0xc0, 0x80, 0x22],
    ];
    for (const bytes of bad) assert.throws(() => parseStrictJson(Buffer.from(bytes)), SyntaxError);
    for (const text of ['"\\ud800"', '"\\udc00\\ud800"', '{"\\uDBFF":1}'])
      assert.throws(() => parse(text), SyntaxError);
    assert.equal(parse('"\\ud83d\\ude00"'), '😀');
    assert.equal(parse('"\\\\ud800"'), '\\ud800');
  });

  it('does not repeat the text in its message', () => {
    for (const text of ['secret', '{"a":secret}', '', '{"a":1}secret']) {
      assert.throws(
        () => parse(text),
        (error: Error) => error instanceof SyntaxError && !error.message.includes('secret'),
      );
    }
  });
});
