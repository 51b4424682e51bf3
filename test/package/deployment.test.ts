// The commands of docs/deployment.md, as they stand there, on a machine that is this one with a layer of its own
// above. Each block of commands says in the line above it in which deployment it is run, or why it is not.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { onMachine } from '../support/machine.ts';
import { buildPackages } from '../support/packages.ts';

const DOCUMENT = join(import.meta.dirname, '../../docs/deployment.md');

interface Block {
  /** Undefined: not run. */
  readonly deployment: string | undefined;
  /** Runs only where this command is. */
  readonly where: string | undefined;
  readonly reason: string | undefined;
  readonly commands: string;
}

function blocks(): Block[] {
  const all = readFileSync(DOCUMENT, 'utf8').matchAll(/(?:<!-- (.*) -->\n)?```sh\n([\s\S]*?)```/g);
  return [...all].map(([, remark = '', commands = '']) => {
    const [, deployment, where] = /^run: ([^,]+)(?:, where (\S+) is)?$/.exec(remark) ?? [];
    return { deployment, where, reason: /^not run: (.+)$/.exec(remark)?.[1], commands };
  });
}

const has = (command: string) => ['/usr/bin', '/usr/sbin'].some((place) => existsSync(join(place, command)));
const here = blocks().filter(({ where }) => where === undefined || has(where));

const packages = mkdtempSync(join(tmpdir(), 'jt_deployment_'));
after(() => rmSync(packages, { recursive: true }));
buildPackages(has('apt-get') ? 'deb' : 'rpm', packages);

describe('docs/deployment.md', () => {
  it('says of every block of commands where it is run, or why it is not', () => {
    const silent = blocks().filter(({ deployment, reason }) => deployment === undefined && reason === undefined);
    assert.deepEqual(silent, []);
  });

  for (const [deployment, title] of [
    ['root', "the commands for a runner of root's end with a job that succeeds, and with nothing left after removal"],
    ['service account', 'the commands for a service account end with a job that succeeds'],
    ['sudo', 'the commands for sudo end with a job that succeeds'],
  ] as const) {
    it(title, async () => {
      const commands = here.filter((block) => block.deployment === deployment).map((block) => block.commands);
      assert.ok(commands.length > 1);
      const script = [`cp ${packages}/* .`, 'set -x', ...commands, 'ls /opt/jacamar 2>&1 || true'].join('\n');
      const { status, stdout, stderr } = await onMachine(script, [packages]);
      assert.equal(status, 0, `${stdout}\n${stderr}`);
      assert.match(stdout, /The job of alice succeeded; this installation runs jobs\./);
      if (deployment === 'root') assert.match(stdout, /cannot access '\/opt\/jacamar'/);
    });
  }
});
