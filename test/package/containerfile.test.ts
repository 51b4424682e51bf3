// Containerfile, as far as it can be looked at without containers: what it copies is there, and the steps of the image
// that it makes are run on a machine that is this one with a layer above it. Not shown: that the base images
// have what is taken from them, and that the build stage finds everything it installs.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { onMachine } from '../support/machine.ts';
import { buildPackages } from '../support/packages.ts';

const ROOT = join(import.meta.dirname, '../..');
const packages = mkdtempSync(join(tmpdir(), 'jt_container_'));
after(() => rmSync(packages, { recursive: true }));

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

const lines = readFileSync(join(ROOT, 'Containerfile'), 'utf8').split('\n');
const instructions: Instruction[] = lines
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => ({ word: line.split(' ', 1)[0] ?? '', rest: line.slice(line.indexOf(' ') + 1) }));
const lastStage = instructions.slice(instructions.findLastIndex(({ word }) => word === 'FROM'));

describe('Containerfile', () => {
  it('runs only scripts that are there, in the stage that builds', () => {
    const [, ...build] = instructions.slice(
      0,
      instructions.findIndex(({ rest }) => rest.endsWith(' AS runner')),
    );
    const scripts = build.filter(({ word }) => word === 'RUN').map(({ rest }) => rest);
    assert.deepEqual(scripts, ['script/deb']);
    for (const script of scripts) assert.ok(existsSync(join(ROOT, script)), script);
  });

  it('names base images by full name and version', () => {
    const images = instructions.filter(({ word }) => word === 'FROM').map(({ rest }) => rest);
    for (const image of images) assert.match(image, /^docker\.io\/\S+:\S*\d+\S*(?: AS \w+)?$/);
  });

  it('copies the package from where script/deb puts it', () => {
    const [copied] = lastStage.filter(({ rest }) => rest.startsWith('--from=build'));
    const [, pattern = ''] = /^--from=build \/src\/build\/packages\/(\S+) \/tmp\/$/.exec(copied?.rest ?? '') ?? [];
    const file = buildPackages('deb', packages)['jacamar-ci'];
    assert.match(file, new RegExp(`/${pattern.replaceAll('*', '[^/]*')}$`));
  });

  if (existsSync('/usr/bin/apt-get')) {
    it('the steps of the image install the package, and the programs are in PATH', async () => {
      const steps = lastStage.filter(({ word }) => word === 'RUN').map(({ rest }) => rest);
      const path = lastStage.find(({ word }) => word === 'ENV')?.rest ?? '';
      // Nothing is downloaded: for packages of the distribution it is enough that there are such.
      const apt = `apt-get() { case "$*" in
          update) ;;
          *.deb) command apt-get "$@" ;;
          *) command apt-get --simulate "$@" >/dev/null ;;
        esac; }
        rm() { [ "$1" = -rf ]; }`;
      const { status, stdout, stderr } = await onMachine(
        [
          apt,
          `cp ${packages}/*.deb /tmp/`,
          ...steps,
          `export ${path}`,
          'jacamar --version',
          'jacamar-auth --version',
        ].join('\n'),
        [packages],
      );
      assert.equal(status, 0, stderr);
      assert.equal(stdout.match(/^Version: /gm)?.length, 2, stdout);
    });
  }
});
