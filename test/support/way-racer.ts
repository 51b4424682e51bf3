// One of several programs that make a private directory below one base and remove it again, with the levels above it that
// became empty, as jobs do with their scripts. Arguments: base, name of a level that is this one's alone, rounds. Ends with
// status 1 when a directory could not be made or removed.

import { join } from 'node:path';
import type { Handoff } from '../../src/contract/handoff.ts';
import { removeBelow } from '../../src/jacamar/removal.ts';
import { makePrivate, openBelow } from '../../src/jacamar/workspace.ts';

const [base = '', own = '', rounds = '0'] = process.argv.slice(2);
const settings = { groupPermissions: false, sharedParents: true };
const handoff = { base, account: { home: base }, settings } as Handoff;

for (let round = 0; round < Number(rounds); round++) {
  const levels = ['runner', own, 'group', String(round)];
  makePrivate(handoff, join(base, 'scripts', ...levels));
  using scripts = openBelow(handoff, join(base, 'scripts'), 0o700);
  const { isWhole } = await removeBelow(scripts, levels, { deadline: Number.POSITIVE_INFINITY });
  if (!isWhole) throw new Error(`${levels.join('/')} remains`);
}
