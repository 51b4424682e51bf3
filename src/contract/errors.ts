// The error classes of both programs. An error says whose fault it is, which decides the exit code,
// has a stable code for people who search, one text for the user and one for the administrator.

/** `user`: the job's own fault. `refused`: the job may not run here. `site`: this host or its configuration. */
export type Fault = 'user' | 'refused' | 'site';

/** What an error is made of. `publicMessage` may be read by anyone who can see the job log. */
export interface ErrorParts {
  /** Stable, `ERR_…`. */
  readonly code: string;
  /** Full text for the administrator's log. */
  readonly message: string;
  /** Text for the user; absent: a fixed sentence for this kind of error. */
  readonly publicMessage?: string;
  readonly cause?: unknown;
}

/** Base of every error we throw on purpose. */
export abstract class JacamarError extends Error {
  abstract readonly fault: Fault;
  /** Shown when the error carries no public text of its own. */
  protected abstract readonly fixedPublicMessage: string;
  readonly code: string;
  readonly #publicMessage: string | undefined;

  constructor(parts: ErrorParts) {
    super(parts.message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = new.target.name;
    this.code = parts.code;
    this.#publicMessage = parts.publicMessage;
  }

  get publicMessage(): string {
    return this.#publicMessage ?? this.fixedPublicMessage;
  }
}

/** The administrator's configuration, or a file it names, cannot be used. */
export class ConfigurationError extends JacamarError {
  readonly fault = 'site';
  protected readonly fixedPublicMessage =
    'The configuration of this runner cannot be used; its administrator has to mend it.';
}

/** The job is refused. Users learn nothing beyond that: the reason may tell about other people's accounts. */
export class AuthorizationError extends JacamarError {
  readonly fault = 'refused';
  protected readonly fixedPublicMessage = 'This job is not authorized to run here.';
}

/** The job asks for something that cannot be done; the text tells the user what to change. */
export class JobError extends JacamarError {
  readonly fault = 'user';
  protected readonly fixedPublicMessage = 'This job cannot be run as it is written.';
  constructor(parts: Omit<ErrorParts, 'publicMessage'>) {
    super({ ...parts, publicMessage: parts.message });
  }
}

/** The user's script ended with a status other than zero. */
export class ScriptFailure extends JacamarError {
  readonly fault = 'user';
  protected readonly fixedPublicMessage = 'The script failed.';
  /** 1 to 255; a death by signal counts as 128 + its number, as in bash(1). */
  readonly exitCode: number;
  constructor(exitCode: number, message: string) {
    super({ code: 'ERR_SCRIPT_EXIT', message, publicMessage: message });
    this.exitCode = exitCode;
  }
}

/** Something on this host failed: a full disk, an unreachable server, a call that was refused by the kernel. */
export class SystemFailure extends JacamarError {
  readonly fault = 'site';
  protected readonly fixedPublicMessage =
    'A fault of this host kept the job from running; trying again later may help.';
}
