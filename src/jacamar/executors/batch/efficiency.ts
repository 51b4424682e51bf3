// What a job used of what it asked for: absolute numbers, since a percentage misleads on nodes that were asked for
// whole. A hint only where the gap is large enough to matter to others.

import { describeSize } from '../../../contract/size.ts';
import { durationText } from './durations.ts';
import type { Usage } from './scheduler.ts';

/** Gaps that are worth a word. */
const FAR_OFF = { wallSeconds: 1800, cores: 2, memory: 4 * 1024 ** 3 } as const;
/** A job that ran shorter tells nothing about what it needs, in seconds. */
const SHORTEST = 60;

/** Lines for the job log; none when nothing is known. */
export function efficiencyCard(usage: Usage): string[] {
  const facts = [wallFact(usage), cpuFact(usage), memoryFact(usage)].filter((fact) => fact !== undefined);
  if (facts.length === 0) return [];
  return [`Used: ${facts.join('; ')}`, ...hints(usage).map((hint) => `Hint: ${hint}`)];
}

function wallFact({ wallSeconds, wallLimitSeconds: limit }: Usage): string | undefined {
  if (wallSeconds === undefined) return undefined;
  const hasLimit = limit !== undefined && Number.isFinite(limit);
  return `${durationText(wallSeconds)}${hasLimit ? ` of ${durationText(limit)}` : ''} wall time`;
}

function cpuFact(usage: Usage): string | undefined {
  const { cpus } = usage;
  const busy = busyCores(usage);
  if (busy === undefined) return cpus === undefined ? undefined : `${cpus} CPU${cpus === 1 ? '' : 's'}`;
  const text = Number(busy.toFixed(1));
  return cpus === undefined ? `${text} CPUs busy on average` : `${text} of ${cpus} CPUs busy on average`;
}

function memoryFact({ memoryPeak: peak, memoryAsked: asked }: Usage): string | undefined {
  if (peak === undefined) return undefined;
  return `${describeSize(peak)}${asked === undefined ? '' : ` of ${describeSize(asked)}`} memory at most`;
}

function busyCores({ cpuSeconds, wallSeconds }: Usage): number | undefined {
  return cpuSeconds === undefined || !wallSeconds ? undefined : cpuSeconds / wallSeconds;
}

function hints(usage: Usage): string[] {
  const { wallSeconds = 0, wallLimitSeconds: limit = 0, cpus = 0, memoryPeak: peak, memoryAsked: asked } = usage;
  if (wallSeconds < SHORTEST) return [];
  const busy = busyCores(usage);
  const found: string[] = [];
  if (Number.isFinite(limit) && wallSeconds < limit / 4 && limit - wallSeconds > FAR_OFF.wallSeconds) {
    found.push(
      `it needed ${durationText(limit - wallSeconds)} less than it asked for; shorter jobs start sooner (SCHEDULER_TIME).`,
    );
  }
  if (busy !== undefined && busy < cpus / 4 && cpus - busy > FAR_OFF.cores) {
    found.push(`about ${Math.floor(cpus - busy)} CPUs were idle (SCHEDULER_TASKS, SCHEDULER_CPUS_PER_TASK).`);
  }
  if (peak === undefined || asked === undefined) return found;
  if (peak < asked / 4 && asked - peak > FAR_OFF.memory) {
    found.push(`${describeSize(asked - peak)} of memory were never used (SCHEDULER_MEMORY).`);
  }
  if (peak > asked * 0.95) found.push('it came close to its memory limit (SCHEDULER_MEMORY).');
  return found;
}
