// Sizes in bytes as people write and read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes of a text such as `500MiB` or `2GiB`; undefined for any other. `0` needs no unit. */
export function parseSize(text: string): number | undefined {
  if (text === '0') return 0;
  const [, count, unit] = /^([0-9]{1,6})([KMGTP]iB|B)$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  const bytes = Number(count) * 1024 ** UNITS.indexOf(unit as (typeof UNITS)[number]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Three digits at most are shown of a size, as `1.21 MiB` or `734 KiB`. */
export function describeSize(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[power]}`;
}
