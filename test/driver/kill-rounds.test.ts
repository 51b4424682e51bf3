// Sudden death of any program at any moment, many times over. script/kill-rounds plays more of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { playKillRounds } from '../support/kill-rounds.ts';
import { openWorld } from '../support/world.ts';

const rounds = Number(process.env['KILL_ROUNDS'] ?? 500);
// No number would make no round, and pass.
assert.ok(rounds >= 1, `KILL_ROUNDS is ${process.env['KILL_ROUNDS']}`);
const seed = Number(process.env['KILL_SEED'] || Date.now() % 1_000_000);
const world = await openWorld({ accounts: [{}, {}] });

/** Of some seconds of work for each round, when the machine has other work as well. */
const timeout = rounds * 10_000;

test(`${rounds} kills at random moments leave nothing behind, and the next job runs`, { timeout }, async () => {
  const plan = { rounds: rounds / world.accounts.length, latestMs: 500 };
  await Promise.all(
    world.accounts.map((account, index) => playKillRounds(world, account, { ...plan, seed: seed + index })),
  );
  for (const account of world.accounts) {
    const played = await world.play({ login: account.name, script: 'echo alive' });
    assert.equal(played.verdict, 'success', played.jobLog);
  }
});
