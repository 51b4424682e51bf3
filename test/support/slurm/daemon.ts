// One daemon of the lab: a child of the test, in the foreground, that cannot outlive it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where all daemons of a lab live. */
export interface Surroundings {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface DaemonParts {
  readonly name: string;
  readonly argv: readonly string[];
  /** Account to run as; default: root. */
  readonly account?: string;
  /** Host name that it sees; default: the machine's. */
  readonly host?: string;
}

export class Daemon {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #log: string;

  /**
   * Ids are changed by setpriv and not by the daemon itself, since a change of ids takes away the death signal, which
   * ends the daemon with the test whatever becomes of that.
   */
  constructor({ directory, environment }: Surroundings, { name, argv, account, host }: DaemonParts) {
    this.name = name;
    this.#log = join(directory, 'log', name);
    const log = openSync(this.#log, 'a');
    const ids = account === undefined ? [] : [`--reuid=${account}`, `--regid=${account}`, '--init-groups'];
    const command = [...inHost(directory, host), 'setpriv', ...ids, '--pdeathsig', 'KILL', ...argv];
    const [file = '', ...args] = command;
    this.#child = spawn(file, args, { cwd: directory, env: environment, stdio: ['ignore', log, log], detached: true });
    this.#child.on('error', () => {});
    closeSync(log);
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The end of what it wrote, for messages. */
  get lastWords(): string {
    return readFileSync(this.#log, 'utf8').split('\n').slice(-15).join('\n');
  }

  /** Ends it and waits until it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.isRunning) return;
    const gone = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    this.#child.kill(signal);
    await gone;
    clearTimeout(timer);
  }

  /** The last resort of a process that ends now. */
  kill(): void {
    if (this.isRunning) this.#child.kill('SIGKILL');
  }
}

/** A name of its own for the machine, and a hosts file that knows it. */
function inHost(directory: string, host: string | undefined): string[] {
  if (host === undefined) return [];
  const enter = 'hostname "$1" && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"';
  return ['unshare', '--uts', '--mount', 'sh', '-c', enter, 'sh', host, join(directory, 'etc/hosts')];
}
