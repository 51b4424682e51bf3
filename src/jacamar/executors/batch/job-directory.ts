// The files through which we and the wrapper on the compute node know of each other: a directory of the job's own,
// 0700, for one submission. On a network file system what the node wrote is seen late; opening the directory to list it
// makes the client ask the server (close-to-open consistency, nfs(5)), which a look for one file does not.

import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { SystemFailure } from '../../../contract/errors.ts';
import { placeScript } from '../../script.ts';
import { BEGUN, type ExitMarker, MARKERS, readExitMarker } from './wrapper.ts';

/** How far the job came, by its own word. */
export interface Markers {
  /** The compute node, once the wrapper runs. */
  readonly startedOn: string | undefined;
  /** Once the script has ended and the wrapper could say so. */
  readonly exit: ExitMarker | undefined;
  /** The scheduler began the job again, on this node; the wrapper did not run it a second time. */
  readonly againOn: string | undefined;
}

/** Name of the file for the job's output. */
export const OUTPUT = 'output.log';

export class JobDirectory {
  readonly path: string;
  /** Where the job's output is written. */
  readonly output: string;
  /** For what the scheduler itself writes, where the wrapper writes the output. */
  readonly schedulerOutput: string;
  /** Stands in every marker, so that nothing that another attempt left is taken for this one's. */
  readonly nonce = randomBytes(8).toString('hex');
  #startedOn: string | undefined;

  /** @param name of the batch job, which is unique */
  constructor(scripts: string, name: string) {
    this.path = join(scripts, name);
    this.output = join(this.path, OUTPUT);
    this.schedulerOutput = join(this.path, 'scheduler.log');
  }

  /**
   * Makes it, and in it the wrapper and an empty file for the output: a scheduler whose output cannot be opened ends
   * a job without a word, or holds it for ever.
   * @returns path of the wrapper
   * @throws {SystemFailure} it cannot be made
   */
  make(wrapper: string): string {
    try {
      mkdirSync(this.path, { mode: 0o700 });
      closeSync(openSync(this.output, 'wx', 0o600));
    } catch (cause) {
      const message = `The directory for the batch job cannot be made: ${(cause as Error).message}`;
      throw new SystemFailure({ code: 'ERR_BATCH_DIRECTORY', message, publicMessage: message, cause });
    }
    return placeScript(this.path, 'wrapper', Buffer.from(wrapper));
  }

  /** What was said once stays said, and is not read again. */
  look(): Markers {
    const names = this.listing();
    const read = (name: string) => (names.includes(name) ? readMarker(join(this.path, name)) : undefined);
    this.#startedOn ??= this.#host(read(MARKERS.started));
    const exit = read(MARKERS.exit);
    return {
      startedOn: this.#startedOn,
      againOn: this.#host(read(MARKERS.again)),
      exit: exit === undefined ? undefined : readExitMarker(exit, this.nonce),
    };
  }

  /** Names in it, for evidence too; none when it is gone. */
  listing(): string[] {
    try {
      return readdirSync(this.path);
    } catch {
      return [];
    }
  }

  /** The last bytes of a file in it, at most `limit`; empty while it is not there. */
  endOf(name: string, limit = LONGEST_MARKER): string {
    try {
      const descriptor = openSync(join(this.path, name), 'r');
      try {
        const from = Math.max(0, fstatSync(descriptor).size - limit);
        const buffer = Buffer.alloc(limit);
        return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, limit, from));
      } finally {
        closeSync(descriptor);
      }
    } catch {
      return '';
    }
  }

  /** Second line of a marker of this job. */
  #host(marker: string | undefined): string | undefined {
    const [nonce, host = ''] = marker?.split('\n') ?? [];
    return nonce === this.nonce ? host : undefined;
  }
}

/**
 * Sees to it that the job runs nothing if it has not begun yet: a scheduler may take a submission, or find a job again,
 * when nobody waits for it any more, and scripts may be kept.
 * @param directory that of the job; may be gone, which has the same effect
 */
export function withdraw(directory: string): void {
  try {
    mkdirSync(join(directory, BEGUN), { mode: 0o700 });
  } catch {
    // it has begun, or cannot any more
  }
}

const LONGEST_MARKER = 64 * 1024;

/** An empty one is none yet: NFS shows a name before its content. The job's script may have put anything there. */
function readMarker(path: string): string | undefined {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(descriptor);
      return stats.isFile() && stats.size <= LONGEST_MARKER ? readFileSync(descriptor, 'latin1') : undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return undefined;
  }
}
