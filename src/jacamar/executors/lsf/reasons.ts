// Why a job of LSF waits, out of its own sentences (`pend_reason`). Source: the documents of LSF 10.1.

import type { Reason } from '../batch/scheduler.ts';

const NEVER: readonly (readonly [RegExp, string])[] = [
  [/dependency condition (?:invalid|never|.*never satisfied)/i, 'it depends on something that will never come true'],
];

const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/suspended by|^PSUSP$/i, 'it is held; "bresume" lets it go'],
  [/dependency/i, 'it depends on something that has not come true yet'],
  [/waiting for scheduling|^(?:PEND|WAIT)$/i, 'LSF has not looked at it yet'],
  [/slot limit|limit.*reached|reached.*limit/i, 'a limit of its queue, project or owner is reached'],
  [/start time|begin time/i, 'its begin time has not come yet'],
  [/queue.*(?:closed|inactivated|dispatch window)/i, 'its queue starts no jobs at the moment'],
  [/resource requirements? not satisfied|not enough|load.*threshold|busy/i, 'it waits until what it asks for is free'],
  [/closed|unavailable|unreachable/i, 'hosts that it could use are out of service'],
];

export function lsfReason(word: string): Reason {
  const never = NEVER.find(([pattern]) => pattern.test(word));
  if (never !== undefined) return { text: never[1], isNever: true };
  const text = TEXTS.find(([pattern]) => pattern.test(word))?.[1] ?? 'LSF gives this reason';
  return { text, isNever: false };
}
