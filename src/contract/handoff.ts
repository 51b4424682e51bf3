// What jacamar-auth hands to jacamar, and what jacamar reports back: over its standard input, a socket pair, or
// where another program stands between (sudo, su) down standard input and up standard output. Neither argv nor
// environment, both of which others can read. Each side parses the other's words as foreign data: jacamar runs
// as the user, who may write anything to the channel.

import * as v from 'valibot';
import type { Configuration } from './config.ts';
import { DRIVER_STAGES } from './custom-executor.ts';
import { LIMITED_DIR_VARIABLE } from './environment.ts';
import type { Job } from './job.ts';

/** Changes whenever the two programs would misunderstand each other. */
const PROTOCOL = 1;

/** Set for jacamar when its standard input is the channel; absent when a person or a runner started it. */
export const HANDOFF_VARIABLE = 'JACAMAR_CI_HANDOFF';

/**
 * Option of jacamar for the same where no variable gets through: standard input and output are the channel, and
 * whatever stands between hands them on, by pipes of its own or as they are.
 */
export const PIPED_OPTION = '--piped';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const strings = v.pipe(v.array(v.string()), v.readonly());
const names = v.optional(strings);
const text = v.optional(v.string());
const amount = v.optional(count);

/** `[batch]`, as far as schedulers of today need it. */
const batchSchema = v.strictObject({
  argumentsVariable: strings,
  commandDelayMs: count,
  nfsTimeoutMs: count,
  schedulerBin: text,
  envVars: strings,
  allowIllegalArgs: v.boolean(),
  defaultArgs: strings,
  disableNamePrefix: v.boolean(),
  pollIntervalMinMs: count,
  pollIntervalMaxMs: count,
  maxPendingMs: amount,
  budget: v.picklist(['off', 'warn', 'refuse']),
  outputLimitKib: count,
  skipCobaltLog: v.boolean(),
  allow: v.strictObject({ partition: names, account: names, qos: names, reservation: names }),
  defaults: v.strictObject({
    nodes: amount,
    tasks: amount,
    cpusPerTask: amount,
    gpus: amount,
    memory: amount,
    timeMs: amount,
    partition: text,
    account: text,
    qos: text,
    constraint: text,
    reservation: text,
    exclusive: v.optional(v.boolean()),
  }),
});

const handoffSchema = v.strictObject({
  protocol: v.literal(PROTOCOL),
  stage: v.picklist(DRIVER_STAGES),
  runStage: v.optional(v.string()),
  job: v.strictObject({
    id: count,
    server: v.string(),
    projectPath: v.string(),
    runner: v.string(),
    concurrent: count,
    timeoutSeconds: v.number(),
    /** When its config stage began, in milliseconds since 1970. */
    startedAt: count,
  }),
  /** Whom the job runs as, so that jacamar need not ask a name service that may be slow. */
  account: v.strictObject({ name: v.string(), home: v.string(), shell: v.string() }),
  /** The runner's process: a claim on a build directory lives no longer than it. */
  runnerProcess: v.strictObject({ pid: count, startTime: v.string() }),
  base: v.string(),
  /** Where the job wants its build directories: CUSTOM_CI_BUILDS_DIR, checked and expanded. */
  customBuildsDir: v.optional(v.string()),
  /** Chosen at the config stage; absent there. */
  slot: v.optional(count),
  /** At cleanup: a run stage did not come to its own end. */
  stageWasKilled: v.optional(v.boolean()),
  settings: v.strictObject({
    executor: v.string(),
    shellPath: v.optional(v.string()),
    userBashEnv: v.array(v.string()),
    retainLogs: v.boolean(),
    limitBuildDir: v.boolean(),
    staticBuildsDir: v.boolean(),
    staticMinDays: count,
    groupPermissions: v.boolean(),
    sharedParents: v.boolean(),
    maxBuildDir: count,
    uncapBuildDirCleanup: v.boolean(),
    fileLockDebug: v.boolean(),
    killTimeoutMs: count,
    keepProcesses: v.boolean(),
    setStackSize: v.boolean(),
    jobMessage: v.optional(v.string()),
    batch: batchSchema,
    /** In bytes; 0 asks for nothing. */
    freeSpaceWarning: count,
    freeSpaceRequired: count,
  }),
  /** CI variables that change how jacamar works, by name without prefix. */
  variables: v.record(v.string(), v.string()),
  /** The job's own credentials for its repository, where they are to stay off command lines. */
  repository: v.optional(v.strictObject({ url: v.string(), username: v.string(), password: v.string() })),
  /** Stands before the report where that shares standard output with the job. */
  reportMark: v.optional(v.string()),
});

/** Everything jacamar needs for one stage; it reads no configuration of its own when it gets this. */
export type Handoff = v.InferOutput<typeof handoffSchema>;

/** The protocol number belongs to the encoding, not to the caller. */
export type HandoffContent = Omit<Handoff, 'protocol'>;

/** The job's credentials for its repository, unless the site lets them stand on command lines. */
export function repositoryAccess(job: Job, unrestrictedCmdLine: boolean): Pick<HandoffContent, 'repository'> {
  const { repositoryUrl: url, repositoryCredentials: credentials } = job;
  if (unrestrictedCmdLine || credentials === undefined) return {};
  return { repository: { url, username: credentials.username, password: credentials.password.reveal() } };
}

/** What jacamar gets of the configuration: of `[general]` and `[batch]` what concerns a stage, nothing of `[auth]`. */
export function settingsOf(
  { general, batch }: Pick<Configuration, 'general' | 'batch'>,
  variables: Handoff['variables'],
): Handoff['settings'] {
  const { lsfJobCancellation: _, ...batchSettings } = batch;
  return {
    executor: general.executor,
    ...(general.shellPath === undefined ? {} : { shellPath: general.shellPath }),
    userBashEnv: [...general.userBashEnv],
    retainLogs: general.retainLogs,
    limitBuildDir: limitsBuildDir(general, variables),
    staticBuildsDir: general.staticBuildsDir,
    staticMinDays: general.staticMinDays,
    groupPermissions: general.groupPermissions,
    sharedParents: general.sharedParents,
    maxBuildDir: general.maxBuildDir,
    uncapBuildDirCleanup: general.uncapBuildDirCleanup,
    fileLockDebug: general.fileLockDebug,
    killTimeoutMs: general.killTimeoutMs,
    keepProcesses: general.keepProcesses,
    setStackSize: general.setStackSize,
    freeSpaceWarning: general.freeSpaceWarning,
    freeSpaceRequired: general.freeSpaceRequired,
    ...(general.jobMessage === undefined ? {} : { jobMessage: general.jobMessage }),
    batch: batchSettings,
  };
}

/** Whether a job shares its numbered build directories with the jobs of all runners; a site may let its users choose. */
function limitsBuildDir(
  { limitBuildDir, userEnabledLimit }: Pick<Configuration['general'], 'limitBuildDir' | 'userEnabledLimit'>,
  variables: Handoff['variables'],
): boolean {
  return limitBuildDir && (!userEnabledLimit || ['1', 'true'].includes(variables[LIMITED_DIR_VARIABLE] ?? ''));
}

/** One line of JSON, then the script's bytes (empty for stages without script). */
export function encodeHandoff(content: HandoffContent, script: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ protocol: PROTOCOL, ...content })}\n`), script]);
}

/**
 * Takes a handoff apart again.
 * @throws {Error} bytes that jacamar-auth of this version did not write
 */
export function decodeHandoff(bytes: Buffer): { handoff: Handoff; script: Buffer } {
  const end = bytes.indexOf('\n');
  if (end < 0) throw new Error('handoff without end of line');
  const handoff = v.parse(handoffSchema, JSON.parse(bytes.toString('utf8', 0, end)));
  return { handoff, script: bytes.subarray(end + 1) };
}

/** On the channel a handoff stands behind its length in bytes, since the channel stays open after it. */
export function frame(handoff: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${handoff.length}\n`), handoff]);
}

/** Where the handoff stands in what was received; undefined while its length has not come. */
function placeOf(received: Buffer): { start: number; end: number } | undefined {
  const start = received.indexOf('\n') + 1;
  if (start === 0 && received.length <= 16) return undefined;
  const length = received.toString('latin1', 0, Math.max(start - 1, 0));
  if (!/^[0-9]{1,15}$/.test(length)) throw new Error('handoff without length');
  return { start, end: start + Number(length) };
}

/** The handoff, and what followed it. */
export interface Unframed {
  readonly handoff: Buffer;
  readonly rest: Buffer;
}

/**
 * Puts a framed handoff together, chunk by chunk.
 * @returns a function that takes the next chunk, and gives the handoff once it is whole
 */
export function unframer(): (chunk: Buffer) => Unframed | undefined {
  const chunks: Buffer[] = [];
  let size = 0;
  let place: ReturnType<typeof placeOf>;
  return (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    place ??= placeOf(Buffer.concat(chunks));
    if (place === undefined || size < place.end) return undefined;
    const received = Buffer.concat(chunks);
    return { handoff: received.subarray(place.start, place.end), rest: received.subarray(place.end) };
  };
}

/** After the handoff jacamar-auth may say, once, that the stage shall end: no signal crosses to another account
 * without the right to send one, and none can come too early here. The reason is the name of a signal, or a few words. */
export function stopWord(reason: string): string {
  return `stop ${reason}\n`;
}
export const STOP_WORD = /stop ([A-Za-z0-9 ]{1,40})\n/;

const greetingSchema = v.strictObject({ pid: count, uid: count });

/** The first that jacamar says through pipes: it is there, as whom, and which process to signal. */
export type Greeting = v.InferOutput<typeof greetingSchema>;

/** Opens the greeting; what stands before it was said by others, PAM modules for example. */
export const GREETING_MARK = '\0jacamar is here ';

export function encodeGreeting(greeting: Greeting): string {
  return `${GREETING_MARK}${JSON.stringify(greeting)}\n`;
}

/** Undefined for any line that is no greeting; without its mark. */
export function decodeGreeting(line: string): Greeting | undefined {
  return parsed(greetingSchema, line);
}

const errorCode = v.pipe(v.string(), v.regex(/^ERR_[A-Z0-9_]{1,60}$/));

const reportSchema = v.variant('outcome', [
  v.strictObject({
    outcome: v.literal('succeeded'),
    slot: v.optional(count),
    /** Why no lock ordered the claims on build directories. */
    lockTrouble: v.optional(v.strictObject({ code: errorCode, message: v.string() })),
  }),
  v.strictObject({
    outcome: v.literal('failed'),
    fault: v.picklist(['user', 'site']),
    code: errorCode,
    message: v.string(),
    publicMessage: v.string(),
    /** The script's own exit code, when a script failed. */
    exitCode: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(255))),
  }),
]);

/** How a stage ended in jacamar. The slot answers the config stage. */
export type Report = v.InferOutput<typeof reportSchema>;

/** More than this is no report. */
export const REPORT_LIMIT = 64 * 1024;

/** Longest text of a report, in UTF-16 units: as JSON it may take six times as many bytes. */
const LONGEST_TEXT = 4096;

/** Texts that somebody has made endless, as a variable that is quoted in one can be, are cut. */
export function encodeReport(report: Report): string {
  if (report.outcome === 'succeeded') return JSON.stringify(report);
  const { message, publicMessage } = report;
  return JSON.stringify({ ...report, message: shortened(message), publicMessage: shortened(publicMessage) });
}

function shortened(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}

/** Undefined for anything that is not a whole report. */
export function decodeReport(bytes: Buffer): Report | undefined {
  return parsed(reportSchema, bytes.toString('utf8'));
}

function parsed<const Schema extends v.GenericSchema>(schema: Schema, json: string): v.InferOutput<Schema> | undefined {
  try {
    return v.parse(schema, JSON.parse(json));
  } catch {
    return undefined;
  }
}
