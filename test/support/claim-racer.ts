// One of several programs that take and give back numbers of one directory as fast as they can, without any lock. While
// a racer has a number it holds a file that must not be there twice; it ends with status 1 when it finds one.
// Arguments: directory, rounds. One time in four it leaves a claim behind as a dead job does.

import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { localOwner } from '../../src/jacamar/claim/owner.ts';
import { ClaimStore } from '../../src/jacamar/claim/store.ts';

const [directory = '', rounds = '0'] = process.argv.slice(2);
const store = new ClaimStore(join(directory, 'claims'));
const owner = localOwner({ pid: process.pid, startTime: '' });

for (let round = 0; round < Number(rounds); ) {
  const turns = store.turns();
  // Dead ones are told by their time here.
  const slot = [0, 1, 2].find((number) => {
    const claim = turns.find((turn) => turn.slot === number)?.claim;
    return claim === undefined || claim.until === 0;
  });
  if (slot === undefined) continue;
  const last = turns.find((turn) => turn.slot === slot) ?? { slot, turn: 0 };
  const isLeft = round % 4 === 3;
  const claim = {
    server: 's',
    jobId: round,
    project: 'p',
    owner,
    since: 0,
    until: isLeft ? 0 : 1,
    untilUptime: 0,
  };
  if (!store.take(last, claim)) continue;
  round += 1;
  if (isLeft) continue;
  const held = join(directory, `held-${slot}`);
  closeSync(openSync(held, 'wx'));
  rmSync(held);
  store.free({ slot, turn: last.turn + 1 });
}
