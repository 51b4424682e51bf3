// Without jacamar-auth: the handoff is made here, from the configuration and the runner's own words. Nothing is
// authorized; whoever calls this already has the rights that the job will have.

import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type Configuration, parseConfiguration } from '../contract/config.ts';
import { describeConfig } from '../contract/config-output.ts';
import { customBuildsDir } from '../contract/custom-builds-dir.ts';
import {
  CI_VARIABLE_PREFIX,
  JOB_ENVIRONMENT,
  RUN_STAGE_NAME,
  RUNNER_ENVIRONMENT,
} from '../contract/custom-executor.ts';
import { baseDirectory } from '../contract/directories.ts';
import { userVariables } from '../contract/environment.ts';
import { ConfigurationError, JobError, SystemFailure } from '../contract/errors.ts';
import { decodeHandoff, encodeHandoff, type Handoff, repositoryAccess, settingsOf } from '../contract/handoff.ts';
import { parseJobResponse, readRunnerNumbers } from '../contract/job.ts';
import { callingRunner } from '../contract/process-identity.ts';
import { type Environment, tell, writeFully } from '../contract/program.ts';
import type { StageCall } from '../contract/runner-call.ts';
import { printable } from '../contract/text.ts';
import type { StageResult } from './stages.ts';

/** What jacamar-auth would have sent. */
export function handoffByHand(call: StageCall, environment: Environment): { handoff: Handoff; script: Buffer } {
  const configuration = readConfiguration(call, environment);
  const job = parseJobResponse(readFile(required(environment, RUNNER_ENVIRONMENT.jobResponseFile)).toString('utf8'));
  const { shortToken: runner, concurrentProjectId: concurrent } = readRunnerNumbers(environment);
  const slot = numberFrom(environment, JOB_ENVIRONMENT.slot);
  const isChoosable = configuration.general.customBuildDir;
  const buildsDir = isChoosable ? customBuildsDir(environment, job, ownAccount()) : undefined;
  const variables = variablesOf(environment, configuration);
  const content = {
    stage: call.stage,
    ...(call.runStage === undefined ? {} : { runStage: checkedRunStage(call.runStage) }),
    job: {
      id: job.id,
      server: new URL(job.repositoryUrl).origin,
      projectPath: job.projectPath,
      runner,
      concurrent,
      timeoutSeconds: job.timeoutSeconds,
      startedAt: numberFrom(environment, JOB_ENVIRONMENT.startedAt) ?? Date.now(),
    },
    account: ownAccount(),
    runnerProcess: callingRunner(),
    base: baseDirectory(configuration.general.dataDir, ownAccount()),
    ...(buildsDir === undefined ? {} : { customBuildsDir: buildsDir }),
    ...(slot === undefined ? {} : { slot }),
    settings: settingsOf(configuration, variables),
    variables,
    ...repositoryAccess(job, configuration.general.unrestrictedCmdLine),
  };
  return decodeHandoff(encodeHandoff(content, call.scriptPath === undefined ? undefined : readFile(call.scriptPath)));
}

/** Prints the JSON of the config stage. */
export function announceConfig(
  call: StageCall,
  environment: Environment,
  { slot = 0, lockTrouble }: StageResult,
): void {
  if (lockTrouble !== undefined) tell(lockTrouble.message);
  const output = describeConfig({
    layout: handoffByHand(call, environment).handoff,
    slot,
    jobEnvironment: {
      [JOB_ENVIRONMENT.configuration]: readConfiguration(call, environment).fileName,
      [JOB_ENVIRONMENT.slot]: String(slot),
      [JOB_ENVIRONMENT.startedAt]: String(Date.now()),
    },
  });
  writeFully(1, JSON.stringify(output));
}

function numberFrom(environment: Environment, name: string): number | undefined {
  const text = environment[name];
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

function variablesOf(environment: Environment, { batch }: Configuration): Record<string, string> {
  const entries = userVariables(batch.argumentsVariable).map((name) => [
    name,
    environment[`${CI_VARIABLE_PREFIX}${name}`],
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** Where the files of an account are unless its site says otherwise. */
export function usualBase(): string {
  return baseDirectory('$HOME', ownAccount());
}

function ownAccount(): Handoff['account'] {
  const { username: name, homedir: home, shell } = userInfo();
  return { name, home, shell: shell ?? '/bin/sh' };
}

function readConfiguration(call: StageCall, environment: Environment): Configuration {
  const path = call.configurationPath ?? environment[JOB_ENVIRONMENT.configuration];
  if (path !== undefined) return parseConfiguration(readFile(path), path);
  throw new ConfigurationError({
    code: 'ERR_NO_CONFIGURATION',
    message: `no configuration is known at the ${call.stage} stage: the config stage did not run or did not end well`,
  });
}

function checkedRunStage(name: string): string {
  if (RUN_STAGE_NAME.test(name)) return name;
  throw new JobError({ code: 'ERR_RUN_STAGE', message: `"${printable(name)}" is no acceptable name of a run stage.` });
}

function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (value !== undefined) return value;
  const message = `${name} is not set; is this a call by GitLab Runner?`;
  throw new SystemFailure({ code: 'ERR_RUNNER_ENVIRONMENT', message });
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const message = `${path} cannot be read: ${(cause as NodeJS.ErrnoException).code}`;
    throw new SystemFailure({ code: 'ERR_FILE', message, cause });
  }
}
