// A whole job that goes on while the test looks at it, cancels it, or kills parts of it.

import type { JobFacts } from '../../src/jacamar-admin/job.ts';
import { playJob } from '../../src/jacamar-admin/runner.ts';
import { eventually } from './eventually.ts';
import type { Played, PreparedJob } from './job-wishes.ts';
import type { World } from './world.ts';

export class LiveJob {
  readonly facts: JobFacts;
  readonly ended: Promise<Played>;
  /** Driver calls that go on: run stage or driver stage, with the pid of jacamar-auth. */
  readonly calls = new Map<string, number>();
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();
  #lines: string[] = [];

  constructor(world: World, { facts, response, settings }: PreparedJob) {
    this.facts = facts;
    const observer = {
      stageStarted: (name: string, pid: number) => void this.calls.set(name, pid),
      stageEnded: ({ name }: { readonly name: string }) => void this.calls.delete(name),
      logLine: (line: string) => void this.#lines.push(line),
    };
    const control = { observer, softCancel: this.#soft.signal, hardCancel: this.#hard.signal };
    this.ended = playJob(settings, response, control).then(async (result) => {
      return { ...result, facts, log: await world.log(facts.id) };
    });
    // A test that fails earlier never looks at it.
    this.ended.catch(() => {});
  }

  /** Waits for a line of the job log that holds `text`. */
  async until(text: string): Promise<string> {
    return eventually(`the job log says "${text}"`, () => this.#lines.find((line) => line.includes(text)));
  }

  softCancel(): void {
    this.#soft.abort();
  }

  hardCancel(): void {
    this.#hard.abort();
  }

  /** Ends the job, whatever state it is in. */
  async abandon(): Promise<void> {
    this.hardCancel();
    await this.ended;
  }
}
