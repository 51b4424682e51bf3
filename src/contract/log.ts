// The administrator's log: JSON lines with upstream's field names. Only jacamar-auth writes it; what a user
// may read goes to standard error instead. The only user of pino.

import { pino } from 'pino';
import { JacamarError } from './errors.ts';
import { printable } from './text.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** Fields of every line, spelled as upstream spells them. `name` is `general.name`, left out when unset. */
export interface LogFields {
  readonly job: number;
  readonly runner: string;
  readonly stage: string;
  readonly processID: number;
  readonly hostname: string;
  readonly name?: string;
}

/** What a line says beyond its message; foreign data has its place here and never at the top level. */
export type Details = Readonly<Record<string, unknown>>;

export interface Log {
  error(message: string, details?: Details): void;
  warn(message: string, details?: Details): void;
  info(message: string, details?: Details): void;
  debug(message: string, details?: Details): void;
  /** A line of the audit trail: written whatever level was chosen. */
  audit(level: 'info' | 'warn', message: string, details: Details): void;
  /** What all later lines are about; a process serves one job, but learns of it only after its first lines. */
  describe(fields: Partial<LogFields>): void;
}

/** Takes one line, newline included, and its level. Must not throw: a full log must not end a job. */
export type LogSink = (line: string, level: LogLevel) => void;

/** A log that drops what is below `level`. */
export function createLog(level: LogLevel, firstFields: LogFields, sink: LogSink): Log {
  let fields = firstFields;
  const write = (line: string) => sink(line, levelOf(line));
  // Time, level, message, then what it is about: the order of upstream's lines, which people read as they stand. pino
  // begins with the level and ends with the message, so it gets nothing to say of the one, and the other as a field.
  const linesFrom = (lowest: LogLevel) =>
    pino(
      {
        level: lowest,
        base: null,
        formatters: { level: () => ({}) },
        timestamp: () => `"time":"${new Date().toISOString()}"`,
      },
      { write },
    );
  const lines = linesFrom(level);
  const trail = level === 'info' ? lines : linesFrom('info');
  const said = (level: LogLevel, message: string, details: Details | undefined) => ({
    level: level.toUpperCase(),
    msg: printable(message),
    ...fields,
    ...(details === undefined ? {} : { details: bounded(details) }),
  });
  const at =
    (level: LogLevel) =>
    (message: string, details?: Details): void =>
      lines[level](said(level, message, details));
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    audit: (level, message, details) => trail[level](said(level, message, details)),
    describe(more) {
      fields = { ...fields, ...more };
    },
  };
}

/** A log for before the configuration is known, and for where logging is switched off. */
export const SILENT_LOG: Log = {
  error() {},
  warn() {},
  info() {},
  debug() {},
  audit() {},
  describe() {},
};

/** The first thing of that name: only the time stands in front of it. */
function levelOf(line: string): LogLevel {
  const start = line.indexOf('"level":"') + '"level":"'.length;
  return line.slice(start, line.indexOf('"', start)).toLowerCase() as LogLevel;
}

/** Longest details of one line, as JSON, in UTF-16 units. */
const LONGEST_DETAILS = 16 * 1024;
const DEEPEST = 8;

/** Details that would make an endless line are told as the beginning of their text. */
function bounded(details: Details): unknown {
  const kept = harmless(details, DEEPEST);
  const text = JSON.stringify(kept);
  return text.length > LONGEST_DETAILS ? { cut: printable(text) } : kept;
}

/** Escapes control characters and cuts long text, down to a certain depth. */
function harmless(value: unknown, depth: number): unknown {
  if (depth === 0) return '…';
  if (typeof value === 'string') return printable(value);
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return value.slice(0, 100).map((inner) => harmless(inner, depth - 1));
  if (value === null || typeof value !== 'object') return value;
  if ('toJSON' in value && typeof value.toJSON === 'function') return value;
  const entries = Object.entries(value).slice(0, 100);
  return Object.fromEntries(entries.map(([key, inner]) => [printable(key), harmless(inner, depth - 1)]));
}

/** An error with all its causes as log details: code, text, and what the kernel said. */
export function errorDetails(error: unknown): Details {
  if (!(error instanceof Error)) return { error: String(error) };
  const { code, syscall, step } = error as NodeJS.ErrnoException & { step?: string };
  return {
    error: error.message,
    ...(code === undefined ? {} : { code }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(step === undefined ? {} : { step }),
    ...(error instanceof JacamarError ? { fault: error.fault } : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: errorDetails(error.cause) }),
  };
}
