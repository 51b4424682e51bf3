// Times and sizes as PBS writes them.

/** `[[hours:]minutes:]seconds`, in seconds; undefined for anything else. */
export function parseTime(text: string): number | undefined {
  if (!/^\d{1,7}(?::\d{1,2}){0,2}(?:\.\d+)?$/.test(text)) return undefined;
  return text.split(':').reduce((sum, part) => sum * 60 + Math.floor(Number(part)), 0);
}

export function timeArgument(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
}

/** `1234kb`, `4gb`, words (`w`) of eight bytes; in bytes. */
export function parseSize(text: string): number | undefined {
  const [, number, unit = '', word = ''] = /^(\d+)([kmgtp]?)([bw]?)$/i.exec(text) ?? [];
  if (number === undefined) return undefined;
  const power = unit === '' ? 0 : 'kmgtp'.indexOf(unit.toLowerCase()) + 1;
  return Number(number) * 1024 ** power * (word.toLowerCase() === 'w' ? 8 : 1);
}

/** A date in words (`Wed Nov 25 22:31:07 2026`), local time, or seconds since 1970. */
export function parsePoint(text: string): number | undefined {
  const milliseconds = /^\d{9,12}$/.test(text) ? Number(text) * 1000 : new Date(text).getTime();
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}
