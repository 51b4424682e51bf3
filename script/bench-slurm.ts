// The measurements of script/bench slurm. What Slurm itself takes is measured beside it in the same round, with the
// same script: sbatch for the way to the first line, sbatch --wait for the way back.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { ExecutorAttempt } from '../src/jacamar-admin/attempt.ts';
import { frame } from '../src/jacamar-admin/bash-script.ts';
import { parseConfigOutput } from '../src/jacamar-admin/config-output.ts';
import { type GitLab, startGitLab } from '../src/jacamar-admin/gitlab.ts';
import { jobFacts, jobResponse } from '../src/jacamar-admin/job.ts';
import { driverStages, runnerSettings } from '../src/jacamar-admin/runner-settings.ts';

const { values } = parseArgs({
  options: {
    place: { type: 'string', default: '' },
    rounds: { type: 'string', default: '10' },
    minutes: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});

const run = promisify(execFile);
const CROWDS = [1, 8, 32] as const;
const ACCOUNT = 'jt_bench_1';
/** The script says when its first and its last line were written, in seconds. */
const SCRIPT = 'date +first=%s.%N; sleep 2; date +last=%s.%N';

/** In milliseconds. */
interface Times {
  readonly toFirstLine: number;
  /** From the moment at which the script wrote its first line, until it can be read. */
  readonly shown: number;
  readonly toVerdict: number;
}

interface Site {
  readonly gitlab: GitLab;
  readonly configuration: string;
}

const seconds = () => Date.now() / 1000;

function said(text: string, word: 'first' | 'last'): number | undefined {
  const match = new RegExp(`^${word}=([0-9.]+)$`, 'm').exec(text);
  return match === null ? undefined : Number(match[1]);
}

async function openSite(place: string): Promise<Site> {
  const slurmConf = process.env['SLURM_CONF'];
  const batch = slurmConf === undefined ? '' : `[batch]\nenv_vars = ["SLURM_CONF=${slurmConf}"]\n`;
  const configuration = join(place, 'custom.toml');
  const text = [
    '[general]\nexecutor = "slurm"\ndata_dir = "$HOME"\nlimit_build_dir = true',
    `[auth]\ndownscope = "setuid"\nstate_dir = "${place}/state"`,
    `[auth.logging]\nlocation = "${place}/log"\nlevel = "info"\n${batch}`,
  ].join('\n');
  writeFileSync(configuration, text, { mode: 0o600 });
  mkdirSync(join(place, 'runner'), { mode: 0o700 });
  return { gitlab: await startGitLab(), configuration };
}

/** A job whose config stage went well. */
async function openJob({ gitlab, configuration }: Site, login: string, args = ''): Promise<ExecutorAttempt> {
  const executable = join(values.place, 'jacamar/bin/jacamar-auth');
  const stages = driverStages({ executable, configuration });
  const settings = runnerSettings({ stages, temporaryRoot: join(values.place, 'runner') });
  const facts = jobFacts({ serverUrl: gitlab.url, login });
  gitlab.addJob(facts);
  const idTokens = { CI_JOB_JWT: gitlab.tokenFor(facts, { aud: gitlab.url }) };
  const variables = args === '' ? [] : [{ key: 'SCHEDULER_PARAMETERS', value: args }];
  const response = jobResponse(facts, { script: ['true'], idTokens, variables });
  const attempt = await ExecutorAttempt.open(settings, response);
  const config = await attempt.call('config');
  const parsed = parseConfigOutput(config.stdout);
  if (parsed.kind !== 'parsed') throw new Error(`config failed: ${config.stderr}`);
  attempt.adopt(parsed.result);
  return attempt;
}

async function measureOurs(site: Site): Promise<Times> {
  const attempt = await openJob(site, ACCOUNT);
  const started = seconds();
  let text = '';
  let read = 0;
  const onOutput = (_: string, chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (read === 0 && said(text, 'first') !== undefined) read = seconds();
  };
  const { outcome, stderr } = await attempt.runStage('build_script', { script: frame(SCRIPT), onOutput });
  const ended = seconds();
  if (outcome.kind !== 'success') throw new Error(`${text}\n${stderr}`);
  await attempt.call('cleanup');
  await attempt.close();
  return timesOf({ text, started, read, ended });
}

/** What a user would do by hand: sbatch --wait, and a look at the file all the time. */
async function measureSlurm(): Promise<Times> {
  const output = `/home/${ACCOUNT}/slurm.out`;
  const started = seconds();
  const ids = ['--reuid', ACCOUNT, '--regid', ACCOUNT, '--init-groups'];
  const sbatch = ['sbatch', '--wait', `--output=${output}`, `--wrap=${SCRIPT}`];
  const waiting = run('setpriv', [...ids, ...sbatch], { cwd: `/home/${ACCOUNT}` });
  const look = () => readText(output);
  while (said(look(), 'first') === undefined) await sleep(5);
  const read = seconds();
  await waiting;
  const ended = seconds();
  const text = look();
  writeFileSync(output, '');
  return timesOf({ text, started, read, ended });
}

function timesOf(parts: { text: string; started: number; read: number; ended: number }): Times {
  const { text, started, read, ended } = parts;
  return {
    toFirstLine: (read - started) * 1000,
    shown: (read - (said(text, 'first') ?? 0)) * 1000,
    toVerdict: (ended - (said(text, 'last') ?? 0)) * 1000,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** What it costs that some jobs of an account wait in the queue. */
interface Waiting {
  readonly jobs: number;
  readonly callsPerHour: number;
  /** Of all programs of one job, memory that is shared counted in parts, in MiB. */
  readonly memoryMib: number;
  /** Of the same, in seconds for an hour. */
  readonly cpuSecondsPerHour: number;
}

async function measureWaiting(site: Site, jobs: number, minutes: number): Promise<Waiting> {
  const account = `jt_bench_${jobs}`;
  const stop = new AbortController();
  const attempts = await Promise.all(Array.from({ length: jobs }, () => openJob(site, account, '--hold')));
  const drivers: number[] = [];
  const calls = attempts.map((attempt) =>
    attempt.runStage('build_script', {
      script: frame('true'),
      stop: stop.signal,
      onStart: (pid) => void drivers.push(pid),
    }),
  );
  while ((await waitingJobs(account)) < jobs) await sleep(500);
  const [callsBefore, cpuBefore] = [await requestsOf(account), cpuOf(drivers)];
  await sleep(minutes * 60_000);
  const perHour = 60 / minutes;
  const result = {
    jobs,
    callsPerHour: Math.round(((await requestsOf(account)) - callsBefore) * perHour),
    memoryMib: round(memoryOf(drivers) / jobs / 1024),
    cpuSecondsPerHour: round(((cpuOf(drivers) - cpuBefore) / jobs) * perHour),
  };
  stop.abort();
  await Promise.all(calls);
  await Promise.all(attempts.map((attempt) => attempt.call('cleanup').then(() => attempt.close())));
  return result;
}

async function waitingJobs(account: string): Promise<number> {
  const { stdout } = await run('squeue', ['--noheader', '--user', account, '--format=%A']);
  return stdout.split('\n').length - 1;
}

/** Requests that the controller has had of an account. */
async function requestsOf(account: string): Promise<number> {
  const { stdout } = await run('sdiag');
  const [, perUser = ''] = stdout.split('statistics by user');
  return Number(new RegExp(`^\\s*${account}\\s.*count:(\\d+)`, 'm').exec(perUser)?.[1] ?? 0);
}

/** The driver and what it has started. */
function treeOf(pid: number): number[] {
  const children = readText(`/proc/${pid}/task/${pid}/children`).trim();
  return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => treeOf(Number(child))))];
}

/** In KiB. */
function memoryOf(drivers: readonly number[]): number {
  const pss = (pid: number) => Number(/^Pss:\s+(\d+)/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return sum(drivers.flatMap(treeOf).map(pss));
}

/** In seconds; those of ended children are in it. */
function cpuOf(drivers: readonly number[]): number {
  const ticks = (pid: number) => {
    const stat = readText(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum(fields.slice(11, 15).map(Number));
  };
  return sum(drivers.flatMap(treeOf).map(ticks)) / 100;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
const round = (value: number) => Math.round(value * 10) / 10;

function medians(all: readonly Times[]): Times {
  const middle = (pick: (times: Times) => number) =>
    Math.round(all.map(pick).toSorted((one, other) => one - other)[Math.floor(all.length / 2)] ?? 0);
  return {
    toFirstLine: middle(({ toFirstLine }) => toFirstLine),
    shown: middle(({ shown }) => shown),
    toVerdict: middle(({ toVerdict }) => toVerdict),
  };
}

async function main(): Promise<void> {
  const site = await openSite(values.place);
  const ours: Times[] = [];
  const slurm: Times[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    slurm.push(await measureSlurm());
    ours.push(await measureOurs(site));
  }
  const minutes = Number(values.minutes);
  const waiting = await Promise.all(CROWDS.map((jobs) => measureWaiting(site, jobs, minutes)));
  await site.gitlab.close();
  const result = { rounds: ours.length, medians_ms: { ours: medians(ours), slurm: medians(slurm) }, minutes, waiting };
  const text = `${JSON.stringify(result, undefined, 2)}\n`;
  process.stdout.write(text);
  if (values.json !== undefined) writeFileSync(values.json, text);
}

await main();
