// Which jacamar is started.

import { closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationError } from '../contract/errors.ts';
import { openTrustedFile } from './trusted-file.ts';

/**
 * Beside our own executable unless the site says otherwise; root starts nothing that others could replace.
 * @param configured `auth.jacamar_path`
 * @throws {ConfigurationError} it is missing, or others could replace it
 */
export function jacamarExecutable(configured: string | undefined): string {
  const path = configured ?? join(dirname(process.execPath), '../bin/jacamar');
  try {
    closeSync(openTrustedFile(path));
    return path;
  } catch (cause) {
    const message = `jacamar cannot be started: ${(cause as Error).message} (auth.jacamar_path)`;
    throw new ConfigurationError({ code: 'ERR_CONFIG_JACAMAR_PATH', message, cause });
  }
}
