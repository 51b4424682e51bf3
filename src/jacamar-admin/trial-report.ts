// What an administrator sees of a trial. All output of the job is made harmless first, and so is what its file says: they
// are written by others, and the terminal of an administrator must not obey them.
import type { StageRecord } from './attempt.ts';
import type { OutputStream } from './driver-call.ts';
import type { LineOrigin } from './job-log.ts';
import type { JobResult, RunnerObserver } from './runner.ts';

/** Where the report goes. */
export interface Terminal {
  readonly write: (text: string) => void;
  readonly colours: boolean;
}

/** The outside world of a trial. */
export interface TrialWorld extends Terminal {
  /** Ctrl-C: cancels the job as GitLab's button does. */
  readonly cancel: AbortSignal;
  /** A second Ctrl-C, or SIGTERM: only cleanup follows. */
  readonly forceCancel: AbortSignal;
}

/** What the header and the advice name. */
export interface TrialFacts {
  readonly executable: string;
  readonly user: string;
  readonly configuration: string;
  readonly changes: readonly string[];
  readonly job: string;
  readonly serverUrl: string;
  readonly logLocation: string;
  readonly warnings: readonly string[];
  /** The reason of a refusal is in what is shown. */
  readonly isUnobfuscated: boolean;
}

const COLOURS = { bold: '1', red: '31', green: '32', yellow: '33', faint: '2' } as const;
const NAME_WIDTH = 24;

/** Prints one trial as it goes. */
export class TrialReport {
  readonly #terminal: Terminal;
  readonly #facts: TrialFacts;
  readonly #verbose: boolean;

  constructor(terminal: Terminal, facts: TrialFacts, verbose: boolean) {
    this.#terminal = terminal;
    this.#facts = facts;
    this.#verbose = verbose;
  }

  /** Who, what and with which configuration. */
  header(): void {
    const { executable, user, configuration, changes, job, serverUrl, warnings } = this.#facts;
    this.#print(this.#paint('bold', `Trial of ${executable}`));
    this.#print(`  login          ${user}`);
    this.#print(`  configuration  ${configuration}`);
    for (const change of changes) this.#print(`                 in a copy: ${change}`);
    this.#print(`  job            ${harmless(job)}`);
    this.#print(`  GitLab         ${serverUrl} (stand-in of this trial)`);
    for (const warning of warnings) this.#print(this.#paint('yellow', `  note           ${harmless(warning)}`));
    this.#print('');
  }

  /** To be handed to the runner. */
  observer(): RunnerObserver {
    return {
      stageStarted: (name, pid) => this.#started(name, pid),
      stageEnded: (record) => this.#ended(record),
      logLine: (line, origin) => this.#logLine(line, origin),
    };
  }

  /** The verdict in one sentence, and where to look when it is a bad one. */
  verdict(result: JobResult): void {
    this.#print('');
    const good = result.verdict === 'success';
    this.#print(this.#paint(good ? 'green' : 'red', verdictSentence(result, this.#facts.user)));
    for (const line of advice(result, this.#facts)) this.#print(`  ${line}`);
  }

  #started(name: string, pid: number): void {
    if (this.#verbose) this.#print(this.#paint('faint', `${name.padEnd(NAME_WIDTH)} started, process ${pid}`));
  }

  #ended(record: StageRecord): void {
    const seconds = (record.durationMs / 1000).toFixed(2).padStart(7);
    const { outcome } = record;
    const status = outcome.kind === 'success' ? 'exit status 0' : outcome.text;
    const colour = outcome.kind === 'success' ? 'green' : 'red';
    this.#print(`${this.#paint(colour, record.name.padEnd(NAME_WIDTH))}${seconds} s  ${status}`);
    // The runner writes this to its own log and never to the job log.
    if (record.name === 'cleanup') for (const line of cleanupLines(record, this.#verbose)) this.#print(line);
    if (record.name === 'config' && this.#verbose) this.#print(`    ${harmless(record.stdout.trim())}`);
  }

  #logLine(line: string, origin: LineOrigin): void {
    const text = `  ${origin === 'stderr' ? '!' : '|'} ${harmless(line)}`;
    this.#print(origin === 'runner' ? this.#paint('bold', text) : text);
  }

  #paint(colour: keyof typeof COLOURS, text: string): string {
    return this.#terminal.colours ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
  }

  #print(line: string): void {
    this.#terminal.write(`${line}\n`);
  }
}

function cleanupLines(record: StageRecord, verbose: boolean): string[] {
  const lines = (stream: OutputStream) => record[stream].split('\n').filter((line) => line !== '');
  const shown = verbose ? [...lines('stdout'), ...lines('stderr')] : lines('stderr');
  return shown.map((line) => `    runner log: ${harmless(line)}`);
}

// Colours of the job are dropped, every other control character (and what turns the direction of text) becomes an escape.
const COLOUR_SEQUENCE = new RegExp(`${String.fromCharCode(0x1b)}\\[[0-9;]*m`, 'g');
const UNPRINTABLE = /(?!\t)[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

function harmless(text: string): string {
  const plain = text.replace(COLOUR_SEQUENCE, '').replace(/\r$/, '');
  return plain.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function verdictSentence(result: JobResult, user: string): string {
  const failed = firstFailure(result);
  const place = failed === undefined ? '' : ` in ${failed.name}`;
  switch (result.verdict) {
    case 'success':
      return `The job of ${user} succeeded; this installation runs jobs.`;
    case 'build-failure':
      return `The job of ${user} failed${place} with exit code ${result.exitCode}.`;
    case 'system-failure':
      return `The job of ${user} could not be run: system failure${place}.`;
    case 'canceled':
      return `The job of ${user} was canceled${place}.`;
    case 'timeout':
      return `The job of ${user} took too long and was stopped${place}.`;
  }
}

function firstFailure(result: JobResult): StageRecord | undefined {
  return result.stages.find(({ outcome }) => outcome.kind !== 'success');
}

/** The system log has what jacamar-auth says before its own log is open. */
function whereTheReasonIs({ isUnobfuscated, logLocation }: TrialFacts): string {
  if (isUnobfuscated) return 'The reason is shown above.';
  const log =
    logLocation === 'syslog' ? 'the system log' : `${logLocation}, or in the system log if that cannot be used`;
  return `The full reason stands in ${log}; with --unobfuscated it is shown above.`;
}

function advice(result: JobResult, facts: TrialFacts): string[] {
  const failed = firstFailure(result);
  if (failed === undefined || !/failure$/.test(result.verdict)) return [];
  const reason = whereTheReasonIs(facts);
  if (failed.outcome.kind === 'system-failure' && failed.outcome.text.startsWith('failed to start')) {
    return [`${facts.executable} could not be started: look at its path, owner and mode.`];
  }
  switch (failed.name) {
    case 'config':
      if (result.verdict === 'build-failure') return ['The job was not let in.', reason];
      return ['jacamar-auth met a fault of this host or of its configuration.', reason];
    case 'prepare':
    case 'prepare_script':
      return ['The job was let in, but nothing could be started as its account.', reason];
    case 'get_sources':
      return ['The account could not fetch the repository: look for git, proxies and the directories named above.'];
    case 'build_script':
      return result.verdict === 'build-failure' ? ['The script itself failed; the installation works.'] : [reason];
    default:
      return [reason];
  }
}
