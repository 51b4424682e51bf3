// The manual pages that were built: nothing that the programs and the configuration know is missing in them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { namedTables } from '../../script/generate-docs.ts';
import { commandLines } from '../../script/share/command-lines.ts';
import { configurationFile } from '../../src/contract/config.ts';

const PAGES = join(import.meta.dirname, '../../build/share/man');
const pages = globSync('man*/*', { cwd: PAGES }).toSorted();

/** As a reader sees it, without lines being cut. */
function rendered(page: string): string {
  const { stdout } = spawnSync('groff', ['-man', '-Tutf8', '-rLL=1000n', '-P-cbu', join(PAGES, page)], {
    encoding: 'utf8',
  });
  return stdout.replaceAll('‐', '-');
}

const pageOf = (program: string) => pages.find((page) => basename(page).startsWith(`${program}.`)) ?? '';

describe('the manual', () => {
  it('has a page for each program, and one for the configuration', () => {
    const names = ['man1/jacamar.1', 'man5/custom.toml.5', 'man8/jacamar-admin.8', 'man8/jacamar-auth.8'];
    assert.deepEqual(pages, names);
  });

  for (const page of pages) {
    it(`${page} is one that groff has nothing to say about`, () => {
      const { status, stderr } = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-z', join(PAGES, page)]);
      assert.deepEqual([status, stderr.toString()], [0, '']);
      assert.doesNotMatch(readFileSync(join(PAGES, page), 'utf8'), /@[A-Z]+@/);
    });
  }

  for (const program of commandLines()) {
    it(`names every sub-command and option of ${program.name}, and what they are for`, () => {
      const text = rendered(pageOf(program.name));
      const [, synopsis = ''] = /\n *SYNOPSIS\n([\s\S]*?)\n *DESCRIPTION\n/.exec(text) ?? [];
      const inner = program.commands.flatMap(({ commands }) => commands);
      for (const command of [...program.commands, ...inner]) {
        assert.ok(synopsis.includes(command.name), `${command.name} in the synopsis`);
        assert.ok(text.includes(command.description.slice(1)), command.name);
      }
      for (const { names, description } of [program, ...program.commands, ...inner].flatMap(({ options }) => options)) {
        assert.ok(names.includes('--help') || names.every((name) => text.includes(name)), names.join());
        assert.ok(names.includes('--help') || text.includes(description.slice(1)), description);
      }
    });
  }

  it('has every key of the configuration', () => {
    const text = rendered(pageOf('custom.toml'));
    for (const [name, table] of namedTables(configurationFile, '')) {
      const [, section = ''] = text.split(new RegExp(`^ *\\[+${name.replace('.', '\\.')}\\]+$`, 'm'));
      const keys = Object.values(table.keys).map((key) => key.name);
      assert.deepEqual(
        keys.filter((key) => !new RegExp(`^ +${key}(?: |$)`, 'm').test(section)),
        [],
      );
    }
  });
});
