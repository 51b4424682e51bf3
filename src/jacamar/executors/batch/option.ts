// Entries of a scheduler's table of options, one word each for what happens to them. Names are all spellings, with
// blanks between them.

import type { Option } from './scheduler.ts';

type Takes = Option['takes'];

/** Taken as it is; `means`: what it asks for. */
export function option(names: string, takes: Takes, means?: Option['means']): Option {
  return { names: names.split(' '), takes, rule: 'allow', ...(means === undefined ? {} : { means }) };
}

/** Taken, and the user is told what it comes to. */
export function told(names: string, takes: Takes, why: string): Option {
  return { ...option(names, takes), why };
}

/** Without effect: ours stands behind it. */
export function ours(names: string, takes: Takes, why: string): Option {
  return { ...option(names, takes), rule: 'ours', why };
}

/** Would break the CI job; with `values` only those that match. */
export function refused(names: string, takes: Takes, why: string, values?: RegExp): Option {
  return { ...option(names, takes), rule: 'refuse', why, ...(values === undefined ? {} : { values }) };
}
