// What the measurements are told in: medians and other quantiles, and ratios of medians.

export function quantile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  const at = (sorted.length - 1) * part;
  const [below, above] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return below + (above - below) * (at - Math.floor(at));
}

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** One thing to measure; resolves when it is over. */
export interface Measured {
  readonly name: string;
  run(): Promise<void> | void;
}

/** Medians in milliseconds, by name. Every round runs each once, in turn, after two rounds that do not count. */
export async function inRounds(rounds: number, measured: readonly Measured[]): Promise<Record<string, number>> {
  const times = new Map(measured.map(({ name }) => [name, [] as number[]]));
  for (let round = -2; round < rounds; round++) {
    for (const { name, run } of measured) {
      const started = process.hrtime.bigint();
      await run();
      if (round >= 0) times.get(name)?.push(Number(process.hrtime.bigint() - started) / 1e6);
    }
  }
  return Object.fromEntries([...times].map(([name, all]) => [name, round2(median(all))]));
}
