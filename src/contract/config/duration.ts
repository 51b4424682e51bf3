// Durations of the configuration file, written as Go's time.ParseDuration reads them, because files written for
// the upstream program must mean the same here. Inside the programs a duration is a number of milliseconds.

const NANOSECONDS = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['µs', 1e3],
  ['μs', 1e3], // Go takes both the micro sign and the Greek letter
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 60e9],
  ['h', 3600e9],
]);

/** Longer texts are no duration anyone writes; the limit keeps the arithmetic exact enough. */
const LONGEST = 64;

/** Whole milliseconds of a Go duration such as `1h30m` or `1.5s`; undefined when it is not one, or negative. */
export function parseDuration(text: string): number | undefined {
  const unsigned = text.startsWith('+') ? text.slice(1) : text;
  if (unsigned === '0') return 0; // the only number Go takes without a unit
  if (unsigned === '' || text.length > LONGEST) return undefined;
  const nanoseconds = sumOfParts(unsigned);
  if (nanoseconds === undefined) return undefined;
  const milliseconds = Math.round(nanoseconds / 1e6);
  return Number.isSafeInteger(milliseconds) ? milliseconds : undefined;
}

function sumOfParts(text: string): number | undefined {
  const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
  let sum = 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return undefined;
    sum += Number(match[1]) * (NANOSECONDS.get(match[2] ?? '') ?? Number.NaN);
  }
  return sum;
}
