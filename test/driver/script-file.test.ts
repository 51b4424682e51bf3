// The runner's script: read with the rights of jacamar-auth, so only if nobody but the runner could have written it.

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

const spoilers: Record<string, (path: string) => Promise<unknown>> = {
  'can be written by others': (path) => chmod(path, 0o702),
  'belongs to somebody else': (path) => chown(path, account.uid, account.gid),
  'is a link to a file of root': async (path) => {
    await writeFile(`${path}.real`, 'true', { mode: 0o600 });
    await symlink(`${path}.real`, `${path}.link`);
    return `${path}.link`;
  },
  'is a directory': async (path) => {
    await mkdir(`${path}.directory`);
    return `${path}.directory`;
  },
  'is not there': async (path) => `${path}.missing`,
};
for (const [title, spoil] of Object.entries(spoilers)) {
  test(`a script file that ${title} is not run`, async () => {
    const job = await (await world.stages()).configured();
    const path = world.at(`script-${title.replaceAll(' ', '-')}`);
    await writeFile(path, 'echo ran\n', { mode: 0o700 });
    const spoiled = await spoil(path);
    const args = ['run', typeof spoiled === 'string' ? spoiled : path, 'build_script'];
    const { outcome, stdout } = await job.attempt.call('run', { args });
    assert.deepEqual([outcome.kind, stdout], ['system-failure', '']);
    const logged = (await job.log()).find(({ level }) => level === 'ERROR');
    assert.equal(logged?.details?.['code'], 'ERR_SCRIPT_FILE');
  });
}
