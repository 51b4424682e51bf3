// The line that an error message names is the line where an administrator finds the key.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { type KeyPath, lineFinder } from '../../src/contract/config/key-line.ts';

describe('the line of a key', () => {
  const cases: [string, string, KeyPath, number | undefined][] = [
    ['in a table', '[a]\nx = 1\ny = 2', ['a', 'y'], 3],
    ['at the top', '\n# note\nx = 1', ['x'], 3],
    ['with CRLF line ends', '[a]\r\nx = 1\r\ny = 2\r\n', ['a', 'y'], 3],
    ['after a byte order mark', '\ufeff[a]\nx = 1', ['a', 'x'], 2],
    ['with dots', 'a.b.c = 1\na.b.d = 2', ['a', 'b', 'd'], 2],
    ['with dots and blanks', '[t]\na . "b" . c = 1', ['t', 'a', 'b', 'c'], 2],
    ['with double quotes', '[t]\n"a.b" = 1', ['t', 'a.b'], 2],
    ['with an escape in quotes', '[t]\n"a\\tb" = 1', ['t', 'a\tb'], 2],
    ['with single quotes', "[t]\n'a\\b' = 1", ['t', 'a\\b'], 2],
    ['with quotes in a header', '[t."u.v"]\n\nx = 1', ['t', 'u.v', 'x'], 3],
    ['with blanks in a header', '[ t . u ]\nx = 1', ['t', 'u', 'x'], 2],
    ['in an inline table', '[t]\nx = { y = 1, z = { w = 2 } }', ['t', 'x', 'z', 'w'], 2],
    ['after an inline table', 'x = {}\ny = { }\nz = 1', ['z'], 3],
    ['after a multi-line text that looks like TOML', 'x = """\n[t]\nz = 1\n"""\nz = 2', ['z'], 5],
    ['after a multi-line literal that looks like TOML', "x = '''\n[t]\nz = 1\n'''\nz = 2", ['z'], 5],
    ['after a text that ends in five quotes', 'x = """a"""""\nz = 2', ['z'], 2],
    ['after escaped quotes', 'x = "a\\"\\\\"\ny = """\\""""\nz = 2', ['z'], 3],
    ['after a text with signs of TOML', 'x = "] } # = ["\nz = 2', ['z'], 2],
    ['after a comment with signs of TOML', 'x = 1 # [t] "\n# """\nz = 2', ['z'], 3],
    ['after a date', 'x = 1979-05-27 07:32:00\nz = 1', ['z'], 2],
    ['that is an element of an array', 'x = [\n  "a", # one\n  "b",\n]\ny = 1', ['x', 1], 3],
    ['after an array', 'x = [\n  ["a"], [],\n]\ny = 1', ['y'], 4],
    ['in an array of tables', '[[m]]\nx = 1\n[[m]]\nx = 2', ['m', 1, 'x'], 4],
    ['in a table below an array of tables', '[[m]]\n[m.n]\nx = 1\n[[m]]\n[m.n]\nx = 2', ['m', 1, 'n', 'x'], 6],
    ['in an inline array of tables', 'm = [\n { x = 1 },\n { x = 2 } ]', ['m', 1, 'x'], 3],
    ['that is a table', 'x = 1\n[t]\n', ['t'], 2],
    ['that is not there: the line of its table', 'x = 1\n[t]\ny = 1', ['t', 'z'], 2],
    ['whose table is not there either: none', 'x = 1', ['t', 'z'], undefined],
  ];
  for (const [what, text, path, line] of cases) {
    it(`is found for a key ${what}`, () => {
      parse(text); // the case itself has to be TOML
      assert.equal(lineFinder(text)(path), line);
    });
  }

  it('is found for every key of any document', () => {
    const name = fc.string({ minLength: 1, maxLength: 6 }).filter((text) => text !== '__proto__');
    const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string()));
    fc.assert(
      fc.property(fc.dictionary(name, fc.dictionary(name, leaf)), (document) => {
        const text = stringify(document);
        const lines = text.split('\n');
        const lineOf = lineFinder(text);
        for (const [table, keys] of Object.entries(document)) {
          for (const key of Object.keys(keys)) {
            const line = lines[(lineOf([table, key]) ?? 0) - 1] ?? '';
            const isKeys = line === keyLine(key, keys[key]);
            const isHeader = line.startsWith('['); // a key with escapes that only TOML has
            assert.ok(isKeys || (isHeader && /\\[Ue]/.test(stringify({ [key]: 1 }))), `${line} is not ${key}`);
          }
        }
      }),
    );
  });

  it('ends for any text, even one that is not TOML', () => {
    const text = fc.string({ unit: fc.constantFrom(...'[]{}=.,"\'\\#\n\r ab1') });
    fc.assert(fc.property(text, (given) => void lineFinder(given)(['a', 'b'])));
  });

  it('takes no noticeable time for a megabyte of anything', () => {
    const size = 500_000;
    const texts = [
      `x = "${'a'.repeat(size)}"`,
      `x = [${'1,'.repeat(size)}]`,
      `${'a.'.repeat(size)}a = 1`,
      '\n#'.repeat(size),
    ];
    const start = performance.now();
    for (const text of texts) lineFinder(`${text}\n[t]\ny = 1`)(['t', 'y']);
    assert.ok(performance.now() - start < 60_000);
  });
});

function keyLine(key: string, value: unknown): string {
  return stringify({ [key]: value }).split('\n', 1)[0] ?? '';
}
