// docs/threats.md promises a test for each attack and each kind of mistake. A promise that names no test is none.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENT = 'docs/threats.md';
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** Lines such as "- `file`: title". */
function named(text: string): { file: string; title: string }[] {
  return [...text.matchAll(/^- `((?:test|native)\/[^`]+)`: (.+)$/gm)].map(([, file = '', title = '']) => ({
    file,
    title,
  }));
}

/** Case numbers, each with the file that its table's heading names. */
function cases(text: string): { file: string; number: string }[] {
  const groups = text.split(/^### /m).slice(1);
  return groups.flatMap((group) => {
    const file = /^[^\n]*`(test\/[^`]+)`$/m.exec(group)?.[1];
    const numbers = [...group.matchAll(/^\| (\d+) \|/gm)].map(([, number = '']) => number);
    return file === undefined ? [] : numbers.map((number) => ({ file, number }));
  });
}

/** Whole titles: literal ones, and template literals with anything where a value stands. */
function hasTest(source: string, title: string): boolean {
  const plain = (literal: string) => literal.replace(/\\(['"`])/g, '$1');
  const literals = [...source.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"/g)].map(([, a, b]) =>
    plain(a ?? b ?? ''),
  );
  if (literals.includes(title)) return true;
  const templates = [...source.matchAll(/(?:test|it)\(\s*`((?:[^`\\]|\\.)*)`/g)].map(([, text = '']) => text);
  return templates.some((template) => {
    const fixed = template.split(/\$\{[^}]*\}/).map((part) => plain(part).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${fixed.join('.+')}$`).test(title);
  });
}

it('docs/threats.md names tests that exist under their titles', () => {
  const all = named(read(DOCUMENT));
  assert.ok(all.length > 60, `${all.length} tests are named`);
  assert.deepEqual(
    all.filter(({ file, title }) => !hasTest(read(file), title)),
    [],
  );
});

it('docs/threats.md has every case from 1 to 68 once, and each begins a title in the file of its group', () => {
  const all = cases(read(DOCUMENT));
  const numbers = all.map(({ number }) => Number(number)).toSorted((a, b) => a - b);
  assert.deepEqual(
    numbers,
    Array.from({ length: 68 }, (_, index) => index + 1),
  );
  const begins = (source: string, number: string) => new RegExp(`['"\`(]case ${number}(?:: |\\))`).test(source);
  assert.deepEqual(
    all.filter(({ file, number }) => !begins(read(file), number)),
    [],
  );
});

it('every mistake of others is answered by a test, or says that it is not', () => {
  const text = read(DOCUMENT).split('## Mistakes of others')[1]?.split('## Not shown here')[0] ?? '';
  const classes = text.split(/^(?=\*\*)/m).slice(1);
  assert.ok(classes.length >= 35, `${classes.length} kinds`);
  const open = classes.filter((each) => named(each).length === 0 && !/Not answered|Not used/.test(each));
  assert.deepEqual(open, []);
});

it('a title that no test bears is noticed', () => {
  const source = "test('one thing', () => {});\ntest(`case ${n}: of ${what} things`, () => {});";
  assert.ok(hasTest(source, 'one thing'));
  assert.ok(hasTest(source, 'case 7: of many things'));
  assert.ok(!hasTest(source, 'one'));
  assert.ok(!hasTest(source, 'case 7: of things'));
});
