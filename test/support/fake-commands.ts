// Scheduler commands of a unit test: answered by a function, no process is started.

import type { Handoff } from '../../src/contract/handoff.ts';
import type { Lock } from '../../src/contract/lock.ts';
import { Commands } from '../../src/jacamar/executors/batch/commands.ts';
import type { Answer, Command, Scheduler } from '../../src/jacamar/executors/batch/scheduler.ts';

type Respond = (command: Command) => Partial<Answer> | Promise<Partial<Answer>>;

export class FakeCommands extends Commands {
  readonly #respond: Respond;

  constructor(respond: Respond) {
    const environment = { drop: /^$/, keep: [], set: {} };
    const account = { name: 'jt', home: '/', shell: '/bin/sh' };
    const settings = { batch: { envVars: [] }, userBashEnv: [] };
    super({ environment } as unknown as Scheduler, { account, settings } as unknown as Handoff, {} as Lock);
    this.#respond = respond;
  }

  override async run(command: Command): Promise<Answer> {
    return { stdout: '', stderr: '', exitCode: 0, ...(await this.#respond(command)) };
  }
}
