// Reads the standard output of the config stage as strictly, and as leniently, as the runner does: no output at all
// changes nothing, otherwise all of it must be one JSON value with the right types; names match in any case.

/** What config may change. A member that is absent keeps the runner's own setting. */
export interface ConfigResult {
  readonly builds_dir?: string;
  readonly cache_dir?: string;
  readonly builds_dir_is_shared?: boolean;
  readonly hostname?: string;
  readonly shell?: string;
  readonly driver?: { readonly name?: string; readonly version?: string };
  readonly job_env?: Readonly<Record<string, string>>;
}

/** The result, or the text of the runner's complaint. */
export type ConfigParse =
  | { readonly kind: 'parsed'; readonly result: ConfigResult }
  | { readonly kind: 'bad'; readonly text: string };

const FIELDS: Readonly<Record<keyof ConfigResult, (value: unknown) => boolean>> = {
  builds_dir: isText,
  cache_dir: isText,
  builds_dir_is_shared: (value) => typeof value === 'boolean',
  hostname: isText,
  shell: isText,
  driver: (value) => isObject(value) && ['name', 'version'].every((key) => isText(value[key] ?? '')),
  job_env: (value) => isObject(value) && Object.values(value).every((entry) => isText(entry ?? '')),
};

/** Parses what config printed. */
export function parseConfigOutput(stdout: string): ConfigParse {
  if (stdout === '') return { kind: 'parsed', result: {} };
  try {
    return readDocument(JSON.parse(stdout));
  } catch (error) {
    return bad((error as Error).message);
  }
}

function readDocument(document: unknown): ConfigParse {
  if (document === null) return { kind: 'parsed', result: {} };
  if (!isObject(document)) return bad('the document is no object');
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(document)) {
    const field = name.toLowerCase() as keyof ConfigResult;
    if (!Object.hasOwn(FIELDS, field) || value === null) continue;
    if (!FIELDS[field](value)) return bad(`wrong type of ${name}`);
    result[field] = field === 'job_env' ? emptyForNull(value) : value;
  }
  return { kind: 'parsed', result };
}

// In a map of strings the runner reads a null as the empty string.
function emptyForNull(value: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value as object).map(([key, entry]) => [key, entry ?? '']));
}

function bad(reason: string): ConfigParse {
  return { kind: 'bad', text: `error while parsing JSON output: ${reason}` };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
