// The commands of a scheduler that does not exist: small executables, as users call them, whose answers come from this
// process. So a test can count the calls, and change any answer; nothing runs on when the test is over.

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** One call of a command, as the operating system shows it. */
export interface Call {
  readonly program: string;
  readonly argv: readonly string[];
  readonly uid: number;
  readonly gid: number;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What the command prints, and how it ends. */
export interface Reply {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exitCode?: number;
}

export type Program = (call: Call) => Reply | Promise<Reply>;

/** Stands between a call and its answer; it may ask for the real one, before or after it does something else. */
export type Disturbance = (answer: () => Promise<Reply>, call: Call) => Reply | Promise<Reply>;

/**
 * The client. It sends who calls what from where, then prints what comes back. Without an answer it fails as a command
 * does whose server has gone.
 */
const client = (socket: string) => `#!/usr/bin/perl
use strict; use warnings; use Cwd; use IO::Socket::UNIX; use File::Basename;
my $server = IO::Socket::UNIX->new(Peer => '${socket}') or do { print STDERR "no scheduler\\n"; exit 1 };
my ($gid) = split ' ', $(;
my @environment = map { "$_=$ENV{$_}" } keys %ENV;
print $server join("\\0", basename($0), $<, $gid, getcwd() // '/', scalar(@ARGV), @ARGV, @environment);
shutdown $server, 1;
local $/;
my $reply = <$server> // '';
my ($code, $length, $text) = $reply =~ /^(\\d+) (\\d+) (.*)$/s or do { print STDERR "no answer\\n"; exit 1 };
print STDOUT substr($text, 0, $length);
print STDERR substr($text, $length);
exit $code;
`;

export class FakeCommands {
  /** All that was called, in order. */
  readonly calls: Call[] = [];
  readonly #directory: string;
  readonly #server: Server;
  readonly #programs = new Map<string, Program>();
  readonly #disturbances: { program: string; disturbance: Disturbance; left: number }[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(directory: string) {
    this.#directory = directory;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
  }

  /** Without any command yet. */
  static async open(): Promise<FakeCommands> {
    const commands = new FakeCommands(await mkdtemp(join(tmpdir(), 'jt_fake_')));
    await commands.#furnish();
    return commands;
  }

  async offer(programs: Readonly<Record<string, Program>>): Promise<void> {
    for (const [name, program] of Object.entries(programs)) {
      this.#programs.set(name, program);
      await symlink(this.#client, join(this.bin, name));
    }
  }

  /** For `batch.scheduler_bin`. */
  get bin(): string {
    return join(this.#directory, 'bin');
  }

  /** How often a program was called. */
  count(program: string): number {
    return this.calls.filter((call) => call.program === program).length;
  }

  /** Changes the next `times` answers of a program. */
  disturb(program: string, disturbance: Disturbance, times = Number.POSITIVE_INFINITY): void {
    this.#disturbances.push({ program, disturbance, left: times });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  get #client(): string {
    return join(this.#directory, 'client');
  }

  async #furnish(): Promise<void> {
    const socket = join(this.#directory, 'socket');
    await mkdir(this.bin);
    await writeFile(this.#client, client(socket));
    for (const path of [this.#directory, this.bin, this.#client]) await chmod(path, 0o755);
    const { promise: listening, resolve } = Promise.withResolvers<void>();
    this.#server.listen(socket, resolve);
    await listening;
    await chmod(socket, 0o777);
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    // A caller may be killed at any time.
    const heard = await text(socket).catch(() => '');
    if (heard === '') return;
    const call = readCall(heard);
    this.calls.push(call);
    const { stdout = '', stderr = '', exitCode = 0 } = await this.#answer(call);
    socket.end(`${exitCode} ${Buffer.byteLength(stdout)} ${stdout}${stderr}`);
  }

  async #answer(call: Call): Promise<Reply> {
    const honest = async () => (await this.#programs.get(call.program)?.(call)) ?? { exitCode: 127 };
    const entry = this.#disturbances.find(({ program, left }) => program === call.program && left > 0);
    if (entry === undefined) return honest();
    entry.left -= 1;
    return entry.disturbance(honest, call);
  }
}

/** An answer that comes late. */
export function late(ms: number): Disturbance {
  return async (answer) => {
    await sleep(ms);
    return answer();
  };
}

/** Another answer, whatever the honest one is; the call has no effect. */
export function instead(reply: Reply): Disturbance {
  return () => reply;
}

/** The call has its effect, but the answer is lost. */
export function lost(reply: Reply): Disturbance {
  return async (answer) => {
    await answer();
    return reply;
  };
}

function readCall(heard: string): Call {
  const [program = '', uid = '', gid = '', directory = '', count = '', ...rest] = heard.split('\0');
  const variables = rest.slice(Number(count)).map((entry) => {
    const at = entry.indexOf('=');
    return [entry.slice(0, at), entry.slice(at + 1)] as const;
  });
  return {
    ...{ program, uid: Number(uid), gid: Number(gid), directory },
    argv: rest.slice(0, Number(count)),
    environment: Object.fromEntries(variables),
  };
}
