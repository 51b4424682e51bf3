// The commands of a real scheduler, called in this process as whoever called them, so that a test can count the calls
// and change answers as it does with an imitation.

import { type ChildProcess, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { firstExecutable } from '../../../src/jacamar/subprocess.ts';
import { type Call, FakeCommands, type Reply } from './commands.ts';

export class Relay {
  readonly commands: FakeCommands;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #children = new Set<ChildProcess>();

  private constructor(commands: FakeCommands, environment: Readonly<Record<string, string>>) {
    this.commands = commands;
    this.#environment = environment;
  }

  /**
   * @param environment what the commands need besides that of their caller
   * @throws {Error} one of them is not on the path
   */
  static async open(programs: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Relay> {
    const paths = programs.map((name) => [name, findOnPath(name)] as const);
    const relay = new Relay(await FakeCommands.open(), environment);
    await relay.commands.offer(
      Object.fromEntries(paths.map(([name, path]) => [name, (call: Call) => relay.#run(path, call)])),
    );
    return relay;
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await this.commands.close();
  }

  async #run(path: string, { argv, uid, gid, directory, environment }: Call): Promise<Reply> {
    const env = { ...environment, ...this.#environment };
    const child = spawn(path, argv, { uid, gid, cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve));
    const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    this.#children.delete(child);
    return { stdout, stderr, exitCode: code ?? 1 };
  }
}

/** Whether all of them are there. */
export function areOnPath(programs: readonly string[]): boolean {
  return programs.every((name) => lookUp(name) !== undefined);
}

function findOnPath(name: string): string {
  const path = lookUp(name);
  if (path !== undefined) return path;
  throw new Error(`${name} is not on the path (${process.env['PATH']})`);
}

function lookUp(name: string): string | undefined {
  return firstExecutable(name, (process.env['PATH'] ?? '').split(':'));
}
