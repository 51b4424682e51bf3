// Durations and points in time as Slurm writes them. Seconds, and milliseconds since 1970.

/** Makes its commands print points in time as seconds since 1970, without a time zone to guess. */
export const SLURM_TIME_FORMAT = { SLURM_TIME_FORMAT: '%s' } as const;

/**
 * A time limit or elapsed time, in seconds: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
 * days-hours:minutes, days-hours:minutes:seconds. Infinity for none; undefined for anything else.
 */
export function parseTime(text: string): number | undefined {
  if (/^(?:UNLIMITED|INFINITE|-1|0)$/i.test(text)) return Number.POSITIVE_INFINITY;
  const match = /^(?:(\d{1,6})-)?(\d{1,9})(?::(\d{1,6}))?(?::(\d{1,6}))?(?:\.\d+)?$/.exec(text);
  if (match === null) return undefined;
  const [, days, ...parts] = match;
  const [first = 0, second, third] = parts.map((part) => (part === undefined ? undefined : Number(part)));
  if (days !== undefined) return Number(days) * 86_400 + first * 3600 + (second ?? 0) * 60 + (third ?? 0);
  if (second === undefined) return first * 60;
  return third === undefined ? first * 60 + second : first * 3600 + second * 60 + third;
}

/** sbatch counts in whole minutes, and takes 0 for no limit at all. */
export function timeArgument(seconds: number): string {
  return Number.isFinite(seconds) ? String(Math.max(1, Math.ceil(seconds / 60))) : 'UNLIMITED';
}

/** A point in time; undefined for `N/A`, `Unknown`, `NONE`. Local time where the format was not heeded. */
export function parsePoint(text: string): number | undefined {
  if (/^\d{9,12}$/.test(text)) return Number(text) * 1000;
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$/.test(text)) return undefined;
  const milliseconds = new Date(text).getTime();
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}
