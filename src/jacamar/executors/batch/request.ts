// The typed keys of a job: SCHEDULER_NODES, SCHEDULER_TIME and so on. They mean the same with every scheduler, and
// what cannot be meant is refused before a scheduler sees it.

import { parseDuration } from '../../../contract/config/duration.ts';
import { RESOURCE_VARIABLES } from '../../../contract/environment.ts';
import { JobError } from '../../../contract/errors.ts';
import { MEMORY_WANTED, parseMemory } from '../../../contract/size.ts';
import { printable } from '../../../contract/text.ts';
import type { ResourceRequest } from './scheduler.ts';

/** How a value is written: what reads it, and what people should have written. */
interface Kind<Value> {
  readonly parse: (text: string) => Value | undefined;
  readonly wanted: string;
}

/** Of a value that is wrong, in characters: all of the message has to fit into a report. */
const LONGEST_TOLD = 200;
const LONGEST_SECONDS = 8760 * 3600;

const count: Kind<number> = { parse: parseCount, wanted: 'a whole number from 1 to 1000000' };
const memory: Kind<number> = { parse: parseMemory, wanted: `${MEMORY_WANTED}, on each node` };
const time: Kind<number> = {
  parse: parseWallTime,
  wanted: 'a time such as "90m", "1h30m" or "1:30:00"; a number alone means something else to each scheduler',
};
const flag: Kind<boolean> = { parse: parseFlag, wanted: 'true or false' };
const name: Kind<string> = { parse: (text) => matching(text, /^\w[\w.,+@:/=-]*$/), wanted: 'a name without blanks' };
const expression: Kind<string> = {
  parse: (text) => matching(text, /^[\w([{!][\w.,+@:/=&|!*()[\]{}-]*$/),
  wanted: 'features without blanks, such as "gpu" or "haswell|skylake"',
};

const KINDS: { readonly [Name in keyof ResourceRequest]-?: Kind<NonNullable<ResourceRequest[Name]>> } = {
  nodes: count,
  tasks: count,
  cpusPerTask: count,
  gpus: count,
  memory,
  time,
  partition: name,
  account: name,
  qos: name,
  constraint: expression,
  reservation: name,
  exclusive: flag,
};

/**
 * What the job asks for by typed keys. A variable that is empty counts as not set.
 * @throws {JobError} ERR_SCHEDULER_VALUE, with a line for each value that cannot be meant
 */
export function readRequest(variables: Readonly<Record<string, string>>): ResourceRequest {
  const request: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [key, { parse, wanted }] of Object.entries(KINDS)) {
    const variable = RESOURCE_VARIABLES[key as keyof ResourceRequest];
    const text = variables[variable]?.trim() ?? '';
    if (text === '') continue;
    const value = parse(text);
    if (value === undefined)
      problems.push(`${variable} is "${printable(text.slice(0, LONGEST_TOLD))}", which is not ${wanted}.`);
    request[key] = value;
  }
  if (problems.length > 0) throw new JobError({ code: 'ERR_SCHEDULER_VALUE', message: problems.join('\n') });
  return request;
}

function parseCount(text: string): number | undefined {
  return /^[1-9][0-9]{0,6}$/.test(text) && Number(text) <= 1_000_000 ? Number(text) : undefined;
}

/** Seconds. With two numbers nobody knows whether hours or minutes come first. */
function parseWallTime(text: string): number | undefined {
  const [, days = '0', hours, minutes, seconds] = /^(?:(\d{1,3})-)?(\d{1,4}):(\d{1,2}):(\d{1,2})$/.exec(text) ?? [];
  const clock = Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  const milliseconds = hours === undefined ? parseDuration(text) : clock * 1000;
  const whole = milliseconds === undefined ? 0 : Math.ceil(milliseconds / 1000);
  return whole > 0 && whole <= LONGEST_SECONDS ? whole : undefined;
}

function parseFlag(text: string): boolean | undefined {
  if (/^(?:true|yes|1)$/i.test(text)) return true;
  return /^(?:false|no|0)$/i.test(text) ? false : undefined;
}

function matching(text: string, pattern: RegExp): string | undefined {
  return text.length <= 256 && pattern.test(text) ? text : undefined;
}
