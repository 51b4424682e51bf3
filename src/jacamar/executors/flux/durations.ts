// Flux Standard Duration (RFC 23): a number with a unit. Where flux takes minutes by default, a number alone is that.

const UNITS = { '': 60, ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** Seconds; Infinity for none; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (number === undefined) return /^inf(?:inity)?$/i.test(text) ? Number.POSITIVE_INFINITY : undefined;
  return Number(number) === 0 ? Number.POSITIVE_INFINITY : Number(number) * UNITS[unit as keyof typeof UNITS];
}

export function durationArgument(seconds: number): string {
  return Number.isFinite(seconds) ? `${Math.ceil(seconds)}s` : '0';
}
