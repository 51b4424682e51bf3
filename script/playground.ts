// A configuration and a stand-in for GitLab, in which jobs of an installation are played: by the build, to warm up code
// caches, and by the benchmarks.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExecutorAttempt, type StageRecord } from '../src/jacamar-admin/attempt.ts';
import { parseConfigOutput } from '../src/jacamar-admin/config-output.ts';
import { type GitLab, startGitLab } from '../src/jacamar-admin/gitlab.ts';
import { type JobResponse, jobFacts, jobResponse } from '../src/jacamar-admin/job.ts';
import { driverStages, type RunnerSettings, runnerSettings } from '../src/jacamar-admin/runner-settings.ts';

interface Places {
  /** For the configuration, the log and the runner's files; exists, and is root's or our own alone. */
  readonly directory: string;
  readonly stateDirectory: string;
  /** Below it is the installation. */
  readonly prefix: string;
}

export class Playground {
  readonly gitlab: GitLab;
  readonly settings: RunnerSettings;
  readonly executable: string;

  private constructor(gitlab: GitLab, { directory, stateDirectory, prefix }: Places) {
    this.gitlab = gitlab;
    this.executable = join(prefix, 'bin/jacamar-auth');
    const configuration = join(directory, 'custom.toml');
    writeFileSync(configuration, configurationText(directory, stateDirectory), { mode: 0o600 });
    mkdirSync(join(directory, 'runner'), { mode: 0o700 });
    const stages = driverStages({ executable: this.executable, configuration });
    this.settings = runnerSettings({ stages, temporaryRoot: join(directory, 'runner') });
  }

  static async open(places: Places): Promise<Playground> {
    return new Playground(await startGitLab(), places);
  }

  /** A job that clones nothing. */
  job(login: string, script: readonly string[] = ['true']): JobResponse {
    const facts = jobFacts({ serverUrl: this.gitlab.url, login });
    this.gitlab.addJob(facts);
    const idTokens = { CI_JOB_JWT: this.gitlab.tokenFor(facts, { aud: this.gitlab.url }) };
    return jobResponse(facts, { script, idTokens, variables: [{ key: 'GIT_STRATEGY', value: 'none' }] });
  }

  /** A job whose config stage went well. */
  async configured(login: string): Promise<ExecutorAttempt> {
    const attempt = await ExecutorAttempt.open(this.settings, this.job(login));
    adoptConfig(attempt, await attempt.call('config'));
    return attempt;
  }

  async close(): Promise<void> {
    await this.gitlab.close();
  }
}

function configurationText(directory: string, stateDirectory: string): string {
  return [
    '[general]\nexecutor = "shell"\ndata_dir = "$HOME"\nlimit_build_dir = true',
    `[auth]\ndownscope = "setuid"\nstate_dir = "${stateDirectory}"`,
    `[auth.logging]\nlocation = "${directory}/log"\nlevel = "info"\n`,
  ].join('\n');
}

/** A config stage that must not fail. */
export function adoptConfig(attempt: ExecutorAttempt, config: StageRecord): void {
  const parsed = parseConfigOutput(wellDone(config).stdout);
  if (parsed.kind !== 'parsed') throw new Error('config said nothing that a runner understands');
  attempt.adopt(parsed.result);
}

/** A driver call that must not fail. */
export function wellDone(record: StageRecord): StageRecord {
  if (record.outcome.kind === 'success') return record;
  throw new Error(`${record.name}: ${record.outcome.text}\n${record.stderr}`);
}
