// The documents against the tree: whatever they name must be there, and whatever is there must have its line. Nothing
// is judged about how well they are written.

import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { NATIVE_DOORS, TYPESCRIPT_DOORS } from '../../script/doors.ts';
import { parseConfiguration, requireAuth } from '../../src/contract/config.ts';
import { contents } from './contents.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENTS = globSync('{*.md,docs/**/*.md}', { cwd: ROOT }).toSorted();
const CODE = globSync('{src,native}/**/*.{ts,cjs,cc,hh}', { cwd: ROOT });

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

/** First groups of all matches. */
function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, found = '']) => found);
}

/** The part of a document below a heading, up to the next heading of any level. */
function section(document: string, heading: string): string {
  const [, rest = ''] = read(document).split(`\n${heading}\n`);
  return rest.split(/\n#+ /)[0] ?? '';
}

/** Rows of the tables in a text, without their two first lines. */
function rows(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  const cells = (line: string) => line.slice(1, -1).split('|');
  return lines.map((line) => cells(line).map((cell) => cell.trim())).filter((row) => !/^-+$/.test(row[0] ?? ''));
}

const codeIn = (text: string) => all(text, /`([^`]+)`/g);

describe('what is packaged of them', () => {
  const place = '/opt/jacamar/share/doc/jacamar';
  const packaged = contents('jacamar-ci').map((entry) => entry.split(' ').at(-1) ?? '');

  for (const document of DOCUMENTS.filter((name) => packaged.includes(join(place, name)))) {
    it(`${document}: every link leads to a file of the package`, () => {
      const links = all(read(document), /\]\((?!https?:)([^)#]+)/g);
      assert.deepEqual(
        links.filter((link) => !packaged.includes(join(place, dirname(document), link))),
        [],
      );
    });
  }
});

describe('what the documents name', () => {
  for (const document of DOCUMENTS) {
    it(`${document}: every path of the repository exists`, () => {
      const paths = all(read(document), /(?<![\w/.-])((?:src|native|test|script|docs|packaging|\.ci)\/[\w./-]*[\w/])/g);
      assert.deepEqual(
        paths.filter((path) => !existsSync(join(ROOT, path))),
        [],
      );
    });

    it(`${document}: every link leads to a file`, () => {
      const links = all(read(document), /\]\((?!https?:)([^)#]+)/g);
      assert.deepEqual(
        links.filter((link) => !existsSync(join(ROOT, dirname(document), link))),
        [],
      );
    });

    it(`${document}: every source file that is named alone exists`, () => {
      const known = new Set(globSync('{src,native,script,test}/**/*', { cwd: ROOT }).map((file) => basename(file)));
      const named = codeIn(read(document)).filter((word) => /^[\w-]+\.(?:ts|cc|hh|cjs)$/.test(word));
      assert.deepEqual(
        named.filter((name) => !known.has(name)),
        [],
      );
    });

    it(`${document}: every error code is one of ours`, () => {
      const source = CODE.map(read).join('\n');
      const unknown = all(read(document), /\b(ERR_[A-Z_]+)\b/g).filter((code) => !source.includes(`'${code}'`));
      assert.deepEqual(unknown, []);
    });

    it(`${document}: every npm script exists`, () => {
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
      const named = all(read(document), /\bnpm run (?:-s |--silent )?([\w:]+)/g);
      assert.deepEqual(
        named.filter((name) => !(name in scripts)),
        [],
      );
    });

    it(`${document}: every configuration is one that jacamar-auth takes`, () => {
      const text = read(document);
      const blocks = [...all(text, /```toml\n([\s\S]*?)```/g), ...all(text, /<<'TOML'\n([\s\S]*?)^TOML$/gm)];
      const start = '[general]\n  executor = "shell"\n  data_dir = "$HOME"\n[auth]\n  downscope = "setuid"\n';
      for (const block of blocks.filter((candidate) => /^\s*\[+(?:general|auth)/m.test(candidate))) {
        const whole = block.includes('[general]') ? block : start + block;
        assert.doesNotThrow(() => requireAuth(parseConfiguration(whole, document)));
      }
    });
  }
});

describe('docs/configuration.md', () => {
  it('tells every variable that the RunAs script gets, and every member that it may answer with', () => {
    const source = read('src/jacamar-auth/runas.ts');
    const variables = all(source, /\b((?:JWT|RUNAS)_[A-Z]+(?:_[A-Z]+)*): /g);
    const members = all(source, /^ {4}(\w+): v\.optional/gm);
    assert.ok(variables.length > 0 && members.length > 0);
    const told = new Set(codeIn(section('docs/configuration.md', '## The RunAs script')));
    assert.deepEqual(
      [...variables, ...members].filter((name) => !told.has(name)),
      [],
    );
  });
});

describe('ARCHITECTURE.md', () => {
  const architecture = read('ARCHITECTURE.md');

  it('has a line for every file of src and native, and no other lines', () => {
    const folders = all(architecture, /^### `((?:src|native)[^`]*)`$/gm);
    const listed = folders.flatMap((folder) =>
      rows(section('ARCHITECTURE.md', `### \`${folder}\``))
        .flatMap(([file = '']) => codeIn(file))
        .map((file) => `${folder}/${file}`),
    );
    const files = CODE.filter((file) => !file.startsWith('native/test/'));
    assert.deepEqual(listed.toSorted(), files.toSorted());
  });

  it('lets each part import what the compiler lets it import', () => {
    const table = rows(section('ARCHITECTURE.md', '## Who may import what')).slice(1);
    for (const [part = '', may = ''] of table) {
      const folder = codeIn(part)[0] ?? '';
      const { references } = JSON.parse(read(`${folder}/tsconfig.json`)) as { references: { path: string }[] };
      assert.deepEqual(
        codeIn(may),
        references.map(({ path }) => join(folder, path)),
      );
    }
  });

  it('has the doors of script/doors.ts', () => {
    const table = rows(section('ARCHITECTURE.md', '### Doors')).filter(([what]) => what !== 'Thing');
    const doors = [...TYPESCRIPT_DOORS, ...NATIVE_DOORS].map(({ what, only }) => [what, [...only]]);
    assert.deepEqual(
      table.map(([what, only = '']) => [what, codeIn(only)]),
      doors,
    );
  });
});

it('docs/privilege.md names tests that exist under their titles', () => {
  const named = [...read('docs/privilege.md').matchAll(/^- `((?:test|native)\/[^`]+)`: (.+)$/gm)];
  const missing = named.filter(([, file = '', title = '']) => !read(file).includes(title)).map(([line]) => line);
  assert.ok(named.length > 0);
  assert.deepEqual(missing, []);
});

it('docs/user-guide.md quotes messages that stand in the source', () => {
  const source = CODE.map(read)
    .join('\n')
    .replaceAll(/['`] \+\s*['`]/g, '');
  const messages = rows(section('docs/user-guide.md', '## Messages')).flatMap(([message = '']) => codeIn(message));
  const invented = messages.filter((message) => message.split('…').some((part) => !source.includes(part.trim())));
  assert.ok(messages.length > 0);
  assert.deepEqual(invented, []);
});
