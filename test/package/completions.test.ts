// The completions that were built, asked as the three shells ask them.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { commandLines } from '../../script/share/command-lines.ts';

const SHARE = join(import.meta.dirname, '../../build/share');
const programs = commandLines();
const commandsOf = (program: string) => programs.find(({ name }) => name === program)?.commands.map(({ name }) => name);

/** What bash offers for the last of these words. */
function inBash(...words: string[]): string[] {
  const [program = ''] = words;
  const script = `source ${SHARE}/bash-completion/completions/${program}
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "$(complete -p ${program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" ${program} "\${@: -1}" "\${@: -2:1}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const offered = execFileSync('bash', ['-euc', script, 'bash', ...words], { encoding: 'utf8', cwd: SHARE });
  return offered.split('\n').filter((word) => word !== '');
}

/** fish makes directories of its own there. */
const home = mkdtempSync(join(tmpdir(), 'jt_'));
after(() => rmSync(home, { recursive: true }));

function inFish(line: string): string[] {
  const [program = ''] = line.split(' ');
  const script = `source ${SHARE}/fish/vendor_completions.d/${program}.fish; complete -C "${line}"`;
  const env = { PATH: process.env['PATH'], HOME: home };
  const { stdout } = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8', cwd: SHARE, env });
  const words = stdout.split('\n').map((offer) => offer.split('\t')[0] ?? '');
  return words.filter((word) => word !== '');
}

/** What zsh makes of a line in which \t is the tab key: a function of the program's name shows its arguments. */
function inZsh(program: string, line: string): string {
  const script = `zmodload zsh/zpty; zpty inner zsh -f -i
    zpty -w inner 'PS1=; fpath=(${SHARE}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D'
    zpty -w inner '${program}() { print -r -- "GOT <$*>" }; print -r -- REA""DY'
    zpty -r -m inner said '*READY*'
    zpty -w inner $'${line.replaceAll('\t', '\\t')}'
    zpty -r -m inner said '*GOT <*>*'; print -r -- $said; zpty -d inner`;
  const { stdout } = spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8', cwd: SHARE, timeout: 120_000 });
  return /GOT <([^>]*)>/.exec(stdout)?.[1] ?? stdout;
}

describe('completion', () => {
  for (const { name } of programs) {
    it(`offers the sub-commands of ${name} in bash and fish`, () => {
      assert.deepEqual(
        inBash(name, '').filter((word) => !word.startsWith('-')),
        commandsOf(name),
      );
      assert.deepEqual(inFish(`${name} `).toSorted(), commandsOf(name)?.toSorted());
    });
  }

  it('offers the options of the sub-command that stands there', () => {
    assert.deepEqual(inBash('jacamar-admin', 'trial', '--c'), ['--configuration', '--cancel-after']);
    assert.deepEqual(inFish('jacamar-admin trial --c').toSorted(), ['--cancel-after', '--configuration']);
    assert.deepEqual(inBash('jacamar-auth', 'prepare', '--c'), []);
    assert.deepEqual(inFish('jacamar-auth prepare --c'), []);
    assert.equal(inZsh('jacamar-auth', 'jacamar-auth cle\t--conf\tx'), 'cleanup --configuration x');
  });

  it('offers the sub-commands of a sub-command, and their options', () => {
    assert.deepEqual(inBash('jacamar', 'lock', 'r'), ['release']);
    assert.deepEqual(inBash('jacamar', 'lock', 'release', '--d'), ['--dead']);
    assert.deepEqual(inFish('jacamar lock r'), ['release']);
    assert.deepEqual(inFish('jacamar lock release --d'), ['--dead']);
    assert.equal(inZsh('jacamar', 'jacamar lock rel\t--de\tx'), 'lock release --dead x');
  });

  it('offers files where an option wants one, and nothing where it wants another word', () => {
    assert.deepEqual(inBash('jacamar-admin', 'trial', '--configuration', 'sbom'), ['sbom.cdx.json']);
    assert.deepEqual(inFish('jacamar-admin trial --configuration sbom'), ['sbom.cdx.json']);
    assert.equal(
      inZsh('jacamar-admin', 'jacamar-admin trial --configuration sbom\tx'),
      'trial --configuration sbom.cdx.json x',
    );
    assert.deepEqual(inBash('jacamar-admin', 'trial', '--user', 's'), []);
    assert.deepEqual(inFish('jacamar-admin trial --user s'), []);
  });
});
