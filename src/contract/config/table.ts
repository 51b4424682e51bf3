// What a key and a table of the configuration file are made of. A table is written once, as data; from it come the
// type, the parser, the defaults and, in script/generate-docs.ts, everything that is written about it.

import * as v from 'valibot';
import type { Kind } from './value.ts';

/**
 * How far a key is built. `later`: documented and read, but refused when it asks for something. `never`: known, and
 * refused for good.
 */
export type Status = 'works' | { readonly later: string } | { readonly never: string };

/** What people are told about a key. */
export interface Notes {
  readonly description: string;
  readonly status: Status;
  /** Absent: the key is upstream's. */
  readonly origin?: 'ours';
  /** When it came, or what it was called before. */
  readonly history?: string;
  /** Value for the sample file, where the default teaches nothing. */
  readonly example?: unknown;
}

/** One key: the spelling in the file, its kind of value, its notes, and the schema with default and status applied. */
export interface Key<Value> {
  readonly name: string;
  readonly label: string;
  readonly notes: Notes & { readonly default?: unknown; readonly required?: true };
  readonly schema: v.GenericSchema<unknown, Value>;
}

/** Keys by the name that the programs use for them. */
export type Keys = Readonly<Record<string, Key<unknown>>>;

/** A table of the file, or (`repeated`) an array of such tables. */
export interface Table<Value> {
  readonly description: string;
  readonly keys: Keys;
  readonly tables: Readonly<Record<string, Table<unknown>>>;
  readonly repeated: boolean;
  readonly schema: v.GenericSchema<unknown, Value>;
}

/** Refusal that needs more than one key to be seen. */
interface TableRule<Value> {
  readonly holds: (value: Value) => boolean;
  /** Follows "expected". */
  readonly wanted: string;
}

type ValueOf<T> = T extends { readonly schema: v.GenericSchema<unknown, infer V> } ? Frozen<V> : never;
type Frozen<T> = T extends readonly (infer U)[] ? readonly U[] : T;
type Values<T> = { readonly [Name in keyof T]: ValueOf<T[Name]> };

interface TableParts<K, T> {
  readonly description: string;
  readonly keys: K;
  readonly tables?: T;
  readonly rule?: TableRule<Values<K>>;
  /** What a file without this table says, when that differs from an empty table. */
  readonly absent?: Readonly<Record<string, unknown>>;
}

/** A key that must be present. */
export function key<I, O>(name: string, kind: Kind<I, O>, notes: Notes & { readonly required: true }): Key<O>;
/** A key with a default, given as it would be written in the file. */
export function key<I, O>(name: string, kind: Kind<I, O>, notes: Notes & { readonly default: NoInfer<I> }): Key<O>;
/** A key that may be absent. */
export function key<I, O>(name: string, kind: Kind<I, O>, notes: Notes): Key<O | undefined>;
export function key<I, O>(name: string, kind: Kind<I, O>, notes: Key<O>['notes']): Key<O | undefined> {
  const schema = withStatus(kind.schema, notes) as v.GenericSchema<unknown, O>;
  const optional = notes.required ? schema : v.optional(schema, notes.default);
  return { name, label: kind.label, notes, schema: optional };
}

/** A table; its value holds every key, by its inside name, and every table within. */
export function table<const K extends Keys, const T extends Record<string, Table<unknown>> = Record<never, never>>(
  parts: TableParts<K, T>,
): Table<Values<K> & Values<T>> {
  const tables: Readonly<Record<string, Table<unknown>>> = parts.tables ?? {};
  const renamed = (raw: Record<string, unknown>) => insideNames(raw, parts.keys, tables) as Values<K> & Values<T>;
  const { holds, wanted } = parts.rule ?? { holds: () => true, wanted: '' };
  const rule = v.check<Values<K> & Values<T>, string>(holds, wanted);
  const schema = v.pipe(strictTable(entriesOf(parts.keys, tables)), v.transform(renamed), rule);
  const present = parts.absent === undefined ? schema : v.optional(schema, parts.absent as never);
  return { description: parts.description, keys: parts.keys, tables, repeated: false, schema: present };
}

/** An array of tables, `[[…]]`; absent means none. */
export function tables<Value>(single: Table<Value>): Table<readonly Value[]> {
  const schema = v.optional(v.array(single.schema, 'an array of tables'), []);
  return { ...single, repeated: true, schema: schema as v.GenericSchema<unknown, Value[]> };
}

/** Whether using a key with this value is possible today. `given` and the default are compared as read, not as written. */
function isBuilt(schema: v.GenericSchema<unknown, unknown>, notes: Key<unknown>['notes'], given: unknown): boolean {
  return notes.default !== undefined && same(v.parse(schema, notes.default), given);
}

/** Issues of type `raw_check` come from here only; problem.ts tells them apart by it. */
function withStatus<I, O>(schema: v.GenericSchema<I, O>, notes: Key<unknown>['notes']): v.GenericSchema<I, O> {
  const { status } = notes;
  if (status === 'works') return schema;
  const refuse = v.rawCheck<O>(({ dataset, addIssue }) => {
    if (dataset.typed && !isBuilt(schema as v.GenericSchema<unknown, O>, notes, dataset.value)) {
      addIssue({ message: refusal(status) });
    }
  });
  return v.pipe(schema, refuse) as v.GenericSchema<I, O>;
}

function refusal(status: Exclude<Status, 'works'>): string {
  if ('never' in status) return `not supported (${status.never}); leave the key out`;
  return `not implemented yet (${status.later}); leave the key out`;
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function entriesOf(keys: Keys, tables: Readonly<Record<string, Table<unknown>>>): v.ObjectEntries {
  const entries: v.ObjectEntries = {};
  for (const { name, schema } of Object.values(keys)) entries[name] = schema;
  for (const [name, { schema }] of Object.entries(tables)) {
    entries[name] = schema.type === 'optional' ? schema : v.optional(schema, {});
  }
  return entries;
}

function insideNames(raw: Record<string, unknown>, keys: Keys, tables: object): Record<string, unknown> {
  const inside: Record<string, unknown> = {};
  for (const [insideName, { name }] of Object.entries(keys)) inside[insideName] = raw[name];
  for (const name of Object.keys(tables)) inside[name] = raw[name];
  return inside;
}

/** valibot takes arrays and dates for objects, so that `auth = []` would pass for an empty table. */
function strictTable(entries: v.ObjectEntries): v.GenericSchema<unknown, Record<string, unknown>> {
  const strict = v.strictObject(entries, 'a table');
  const run: (typeof strict)['~run'] = (dataset, config) => {
    if (isPlainTable(dataset.value)) return strict['~run'](dataset, config);
    v._addIssue(strict, 'type', dataset, config);
    return dataset as unknown as ReturnType<typeof run>;
  };
  return { ...strict, '~run': run } as v.GenericSchema<unknown, Record<string, unknown>>;
}

function isPlainTable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype; // smol-toml's tables have none, our defaults the usual one
}
