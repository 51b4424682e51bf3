// What `jacamar workspace` prints: one line of JSON for each build directory, and for what it is busy with. Read by
// jacamar-admin as foreign data, since it was said by a process of the account.

import * as v from 'valibot';

const count = v.pipe(v.number(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));

const directorySchema = v.strictObject({
  path: v.pipe(v.string(), v.maxLength(8192)),
  bytes: count,
  entries: count,
  /** Seconds since 1970. */
  lastUse: count,
  /**
   * `busy`: a job is at work in it. `kept`: the wishes spare it. `chosen`: it would be removed. `removed`: it was.
   * `remains`: it was to be, and something is in the way.
   */
  state: v.picklist(['busy', 'kept', 'chosen', 'removed', 'remains']),
  /** Says why: obstacles, or that it was not measured to its end. */
  notes: v.pipe(v.array(v.pipe(v.string(), v.maxLength(16_384))), v.maxLength(20)),
});

/** One build directory. */
export type DirectoryLine = v.InferOutput<typeof directorySchema>;

const lineSchema = v.variant('line', [
  v.strictObject({ line: v.literal('directory'), ...directorySchema.entries }),
  v.strictObject({ line: v.literal('progress'), entries: count }),
  /** The last one: without it there was no end. */
  v.strictObject({ line: v.literal('end'), isOutOfTime: v.boolean() }),
]);
export type WorkspaceLine = v.InferOutput<typeof lineSchema>;

export function encodeLine(line: WorkspaceLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** Undefined for anything that is no such line. */
export function decodeLine(text: string): WorkspaceLine | undefined {
  try {
    return v.parse(lineSchema, JSON.parse(text));
  } catch {
    return undefined;
  }
}
