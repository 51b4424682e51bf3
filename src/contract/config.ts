// The TOML file of both programs (custom.toml): its schema, the values that come out of it, and the refusal of
// everything that the schema does not know. A setting that is misspelled must not be a setting that is ignored.
// Whether the file itself can be trusted is not decided here (jacamar-auth/trusted-file.ts).

import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { auth } from './config/auth.ts';
import { batch } from './config/batch.ts';
import { general } from './config/general.ts';
import { problemsError } from './config/problem.ts';
import { table } from './config/table.ts';
import { ConfigurationError } from './errors.ts';

/** The whole file as one schema. Names within are those of the file; the values use ours. */
export const configurationFile = table({
  description: 'Configuration of Jacamar CI.',
  keys: {},
  tables: { general, auth, batch },
});

/** What a configuration file says, defaults filled in, durations in milliseconds. */
export type Configuration = v.InferOutput<typeof configurationFile.schema> & {
  /** For messages about it. */
  readonly fileName: string;
};

/** A configuration that says how to downscope, as jacamar-auth needs it. */
export type AuthConfiguration = Configuration & {
  readonly auth: { readonly downscope: NonNullable<Configuration['auth']['downscope']> };
};

/** Far more than any real file; keeps a wrong path from being read into the parser. */
const LARGEST = 1024 * 1024;
/** Deeper than any key we know, and far from the end of the stack. */
const DEEPEST = 16;

/**
 * Reads a configuration file.
 * @param fileName appears in messages only.
 * @throws ConfigurationError whose text names file, line, key, what was expected and what is there.
 */
export function parseConfiguration(content: string | Uint8Array, fileName: string): Configuration {
  const text = decode(content, fileName);
  const result = v.safeParse(configurationFile.schema, parseToml(text, fileName));
  if (!result.success) throw problemsError(result.issues, { fileName, text, root: configurationFile });
  return { ...result.output, fileName };
}

/**
 * Makes sure that a configuration can be used by jacamar-auth; `jacamar --no-auth` takes one without `[auth]`.
 * @throws ConfigurationError when `auth.downscope` is missing.
 */
export function requireAuth(configuration: Configuration): AuthConfiguration {
  const { auth, fileName } = configuration;
  if (auth.downscope !== undefined) return { ...configuration, auth: { ...auth, downscope: auth.downscope } };
  const message = `missing key auth.downscope (${fileName}): it is required with jacamar-auth`;
  throw new ConfigurationError({ code: 'ERR_CONFIG_KEY_MISSING', message });
}

function decode(content: string | Uint8Array, fileName: string): string {
  const size = typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength;
  if (size > LARGEST) {
    throw new ConfigurationError({ code: 'ERR_CONFIG_SIZE', message: `${fileName}: larger than ${LARGEST} bytes` });
  }
  if (typeof content === 'string' && content.isWellFormed()) return content;
  try {
    if (typeof content !== 'string') return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    // told below, for both forms
  }
  throw new ConfigurationError({ code: 'ERR_CONFIG_ENCODING', message: `${fileName}: not valid UTF-8` });
}

function parseToml(text: string, fileName: string): unknown {
  try {
    return parse(text, { unsafeKeyBehaviour: 'throw', maxDepth: DEEPEST });
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // The parser's text goes on with an excerpt of the file, which does not belong into a log line.
    const reason = cause.message.split('\n', 1)[0]?.replace(/^Invalid TOML document: /, '');
    const message = `${fileName}:${cause.line}:${cause.column}: ${reason}`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_SYNTAX', message, cause });
  }
}
