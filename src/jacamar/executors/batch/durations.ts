// Durations as people read them, for the job log.

/** `45 s`, `3 min`, `1 h 30 min`, `2 days 3 h`: two units at most, since nobody reads more. */
export function durationText(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'no limit';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), 'min', whole < 600 ? whole % 60 : 0, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 1440) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const days = Math.floor(minutes / 1440);
  return two(days, days === 1 ? 'day' : 'days', Math.floor((minutes % 1440) / 60), 'h');
}

function two(first: number, unit: string, second: number, smaller: string): string {
  return second === 0 ? `${first} ${unit}` : `${first} ${unit} ${second} ${smaller}`;
}
