// The configuration that a trial runs with: the administrator's own file, except for the settings that point to the
// real server and to the real records. Those are changed in a copy that only the caller of the trial can read.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify, type TomlTable } from 'smol-toml';
import { ConfigurationError } from '../contract/errors.ts';
import { readTrustedFile } from '../jacamar-auth/trusted-file.ts';

/** The file to hand to jacamar-auth, and what the trial itself needs to know of it. */
export interface TrialConfiguration {
  readonly path: string;
  /** Changes against the administrator's file, one phrase each; empty when the file is used as it is. */
  readonly changes: readonly string[];
  /** `general.jwt_env_variable`. */
  readonly tokenVariable: string | undefined;
  /** First entry of `auth.jwt_required_aud`. */
  readonly requiredAudience: string | undefined;
  /** `auth.logging.location`. */
  readonly logLocation: string;
}

/** Where the copy and the records of the trial go, and what it shall try. */
export interface TrialWishes {
  readonly serverUrl: string;
  readonly directory: string;
  /** Takes the place of `general.executor`; its own table, `[batch]`, is the administrator's. */
  readonly executor?: string;
}

const LARGEST_FILE = 1024 * 1024;

/**
 * Reads the file under the same rule of trust as jacamar-auth (the copy would otherwise hide a wrong owner or mode).
 * @throws ConfigurationError when the file cannot be read, trusted or parsed.
 */
export async function adaptConfiguration(path: string, wishes: TrialWishes): Promise<TrialConfiguration> {
  const content = readConfiguration(path);
  const { general, auth } = content;
  const { content: adapted, changes } = adapt(content, wishes);
  return {
    path: changes.length === 0 ? path : await writeCopy(adapted, wishes.directory),
    changes,
    tokenVariable: textOf(general, 'jwt_env_variable'),
    requiredAudience: textOf(auth, 'jwt_required_aud'),
    logLocation: textOf(isTable(auth) ? auth['logging'] : undefined, 'location') ?? 'syslog',
  };
}

function readConfiguration(path: string): TomlTable {
  try {
    return parse(readTrustedFile(path, LARGEST_FILE).toString());
  } catch (cause) {
    const reason = (cause as Error).message.split('\n', 1)[0];
    throw new ConfigurationError({ code: 'ERR_TRIAL_CONFIGURATION', message: `configuration: ${reason}`, cause });
  }
}

function adapt(content: TomlTable, wishes: TrialWishes): { content: TomlTable; changes: string[] } {
  const general = isTable(content['general']) ? { ...content['general'] } : undefined;
  const auth = isTable(content['auth']) ? { ...content['auth'] } : undefined;
  const changes: string[] = [];
  if (general !== undefined && wishes.executor !== undefined && general['executor'] !== wishes.executor) {
    general['executor'] = wishes.executor;
    changes.push(`general.executor is "${wishes.executor}"`);
  }
  if (general?.['gitlab_server'] !== undefined) {
    general['gitlab_server'] = wishes.serverUrl;
    changes.push('general.gitlab_server is the stand-in');
  }
  if (auth?.['jwks_file'] !== undefined) {
    delete auth['jwks_file'];
    changes.push('auth.jwks_file is left out');
  }
  if (auth !== undefined) {
    // Neither a record nor a cached key of a trial may meet those of real jobs.
    auth['state_dir'] = join(wishes.directory, 'state');
    changes.push('auth.state_dir is a directory of the trial');
  }
  return { content: { ...content, ...(general && { general }), ...(auth && { auth }) }, changes };
}

async function writeCopy(content: TomlTable, directory: string): Promise<string> {
  const own = join(directory, 'configuration');
  await mkdir(own, { mode: 0o700 });
  await mkdir(join(directory, 'state'), { mode: 0o700 });
  const path = join(own, 'custom.toml');
  await writeFile(path, stringify(content), { mode: 0o600, flag: 'wx' });
  return path;
}

function textOf(table: unknown, key: string): string | undefined {
  const value = isTable(table) ? table[key] : undefined;
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'string' ? first : undefined;
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
