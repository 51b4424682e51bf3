// The scheduler's commands, run for real: programs of the test's own stand in for them.

import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { SystemFailure } from '../../../../src/contract/errors.ts';
import type { Handoff } from '../../../../src/contract/handoff.ts';
import type { Lock } from '../../../../src/contract/lock.ts';
import { Commands } from '../../../../src/jacamar/executors/batch/commands.ts';
import { cobalt } from '../../../../src/jacamar/executors/cobalt.ts';
import { flux } from '../../../../src/jacamar/executors/flux.ts';
import { lsf } from '../../../../src/jacamar/executors/lsf.ts';
import { pbs } from '../../../../src/jacamar/executors/pbs.ts';
import { slurm } from '../../../../src/jacamar/executors/slurm.ts';
import { batchHandoff } from '../../../support/batch-handoff.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

/** A site whose directory of commands is empty. */
function emptySite(context: TestContext, scheduler = slurm) {
  const handoff = batchHandoff(scratchDirectory(context));
  const batch = { ...handoff.settings.batch, schedulerBin: handoff.base };
  const settings: Handoff['settings'] = { ...handoff.settings, batch };
  return new Commands(scheduler, { ...handoff, settings }, {} as Lock);
}

it('of which one is missing is a fault of the site when a job is to be submitted', async (t) => {
  const commands = emptySite(t);
  await assert.rejects(commands.run({ program: 'sbatch', argv: [] }), SystemFailure);
});

for (const [scheduler, id] of [
  [slurm, '7'],
  [pbs, '7.server'],
  [flux, 'f7'],
  [lsf, '7'],
  [cobalt, '7'],
] as const) {
  it(`of which one is missing while a job of ${scheduler.title} is watched is no answer, and no end`, async (t) => {
    const commands = emptySite(t, scheduler);
    for (const inquiry of [scheduler.overview, scheduler.details]) {
      const { inquired } = await commands.ask(inquiry, [id]);
      assert.equal(inquired.kind, 'silent');
    }
    assert.equal(scheduler.readCancelled(await commands.try(scheduler.cancel(id))), false);
    assert.equal(scheduler.byName.read(await commands.try(scheduler.byName.about('ci-7')), 'ci-7'), undefined);
  });
}

it('without sacct among them are those of a site without accounting', async (t) => {
  assert.ok(slurm.history !== undefined);
  const { inquired } = await emptySite(t).ask(slurm.history, ['7']);
  assert.equal(inquired.kind, 'unavailable');
});
