// The configuration that a trial runs with: the administrator's own file, except for the settings that point to the
// real server and to the real records. Those are changed in a copy that only the caller of the trial can read.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify, type TomlTable } from 'smol-toml';
import { readConfiguration } from '../jacamar-auth/site.ts';
import { readTrustedFile } from '../jacamar-auth/trusted-file.ts';

/** The file to hand to jacamar-auth, and what the trial itself needs to know of it. */
export interface TrialConfiguration {
  readonly path: string;
  /** Changes against the administrator's file, one phrase each. */
  readonly changes: readonly string[];
  /** `general.jwt_env_variable`. */
  readonly tokenVariable: string;
  /** First entry of `auth.jwt_required_aud`. */
  readonly requiredAudience: string | undefined;
  /** First entry of `auth.runner_id_allowlist`. */
  readonly runnerId: number | undefined;
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
 * Reads the file as jacamar-auth does, so that what is wrong with it is told of the file itself: the copy lies elsewhere,
 * has other lines, and would hide a wrong owner or mode.
 * @throws ConfigurationError when the file cannot be read, trusted or used.
 */
export async function adaptConfiguration(path: string, wishes: TrialWishes): Promise<TrialConfiguration> {
  const { general, auth } = readConfiguration(path);
  const { content, changes } = adapt(parse(readTrustedFile(path, LARGEST_FILE).toString()), wishes);
  return {
    path: await writeCopy(content, wishes.directory),
    changes,
    tokenVariable: general.jwtEnvVariable,
    requiredAudience: auth.jwtRequiredAud?.[0],
    runnerId: auth.runnerIdAllowlist?.[0],
    logLocation: auth.logging.location,
  };
}

function adapt(content: TomlTable, wishes: TrialWishes): { content: TomlTable; changes: string[] } {
  const general = { ...(content['general'] as TomlTable) };
  const auth = { ...(content['auth'] as TomlTable) };
  const changes: string[] = [];
  if (wishes.executor !== undefined && general['executor'] !== wishes.executor) {
    general['executor'] = wishes.executor;
    changes.push(`general.executor is "${wishes.executor}"`);
  }
  if (general['gitlab_server'] !== undefined) {
    general['gitlab_server'] = wishes.serverUrl;
    changes.push('general.gitlab_server is the stand-in');
  }
  if (auth['jwks_file'] !== undefined) {
    delete auth['jwks_file'];
    changes.push('auth.jwks_file is left out');
  }
  // Neither a record nor a cached key of a trial may meet those of real jobs.
  auth['state_dir'] = join(wishes.directory, 'state');
  changes.push('auth.state_dir is a directory of the trial');
  return { content: { ...content, general, auth }, changes };
}

async function writeCopy(content: TomlTable, directory: string): Promise<string> {
  const own = join(directory, 'configuration');
  await mkdir(own, { mode: 0o700 });
  await mkdir(join(directory, 'state'), { mode: 0o700 });
  const path = join(own, 'custom.toml');
  await writeFile(path, stringify(content), { mode: 0o600, flag: 'wx' });
  return path;
}
