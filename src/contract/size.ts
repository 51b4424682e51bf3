// Sizes in bytes as people write and read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** What people are told to write where memory is meant. */
export const MEMORY_WANTED = 'an amount of memory such as "512M" or "16G"';

/**
 * Bytes of a text such as `500MiB`, `16G` or `1.5GB`; undefined for any other. Units are powers of 1024, as schedulers
 * count. Only `0` needs none: a number alone means something else to everybody.
 */
export function parseSize(text: string): number | undefined {
  if (text === '0') return 0;
  const [, count, unit = ''] = /^([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(?:([KMGTP])(?:i?B)?|B)$/i.exec(text) ?? [];
  if (count === undefined) return undefined;
  const power = UNITS.findIndex((name) => name.startsWith(unit === '' ? 'B' : unit.toUpperCase()));
  const bytes = Math.ceil(Number(count) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The same, of what is asked for: nothing cannot be. */
export function parseMemory(text: string): number | undefined {
  return parseSize(text) || undefined;
}

/** Three digits at most are shown of a size, as `1.21 MiB` or `734 KiB`. */
export function describeSize(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[power]}`;
}
