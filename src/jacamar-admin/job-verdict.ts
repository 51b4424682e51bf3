// What became of a job, in the runner's words for the job log and in GitLab's words for the server.
import type { Outcome } from './driver-call.ts';

/** Why a job did not succeed. */
export type Failure =
  | { readonly kind: 'build-failure'; readonly exitCode: number; readonly text: string }
  | { readonly kind: 'system-failure' | 'configuration' | 'canceled' | 'timeout'; readonly text: string };

export type Verdict = 'success' | 'build-failure' | 'system-failure' | 'canceled' | 'timeout';

/** The failure of a driver call, or undefined when it succeeded. */
export function failureFrom(outcome: Outcome): Failure | undefined {
  return outcome.kind === 'success' ? undefined : outcome;
}

export function verdictOf(failure: Failure | undefined): Verdict {
  if (failure === undefined) return 'success';
  return failure.kind === 'configuration' ? 'system-failure' : failure.kind;
}

/** `failure_reason` as the runner reports it. */
export function reasonOf(failure: Failure): string {
  return REASONS[failure.kind];
}

/** Last line of the job log. */
export function failureLine(failure: Failure): string {
  const kind = failure.kind === 'system-failure' ? ' (system failure)' : '';
  return `ERROR: Job failed${kind}: ${failure.text}`;
}

/** A duration in Go's form, such as `1h0m0s`. */
export function goDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const seconds = Math.floor(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes === 0) return `${seconds}s`;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds % 60}s` : `${hours}h${minutes % 60}m${seconds % 60}s`;
}

const REASONS: Readonly<Record<Failure['kind'], string>> = {
  'build-failure': 'script_failure',
  'system-failure': 'runner_system_failure',
  configuration: 'runner_configuration_error',
  canceled: 'job_canceled',
  timeout: 'job_execution_timeout',
};
