// From a job to the account that may run it: token, binding, the site's rules, mapping or RunAs, account,
// server. Every stage goes this way again; the later ones must arrive where the config stage did.

import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { CI_VARIABLE_PREFIX } from '../contract/custom-executor.ts';
import { AuthorizationError, ConfigurationError, JobError, SystemFailure } from '../contract/errors.ts';
import { type Job, variableValues } from '../contract/job.ts';
import { errorDetails } from '../contract/log.ts';
import { tell } from '../contract/program.ts';
import { printable } from '../contract/text.ts';
import { type Account, findAccount, lookUp, lookUpGid } from './account.ts';
import { bindToJob, onlyValue } from './binding.ts';
import { isRoot } from './credentials.ts';
import { type Decision, noteAccount, noteClaims } from './decision.ts';
import { checkJobAtServer } from './job-check.ts';
import { findKey, pinnedKey } from './keys.ts';
import { findMapping, looksLikeBot, type Mapping } from './mapping.ts';
import { judgeByLists, requireClaims, requireShell } from './policy.ts';
import type { JobRecord } from './record.ts';
import { askRunAs, type RunAsReply } from './runas.ts';
import { ask, type Server } from './server.ts';
import type { Site } from './site.ts';
import { type Claims, verifyToken } from './token.ts';

/** The decision that a job may run, and as whom. */
export interface Authorization {
  readonly claims: Claims;
  readonly account: Account;
  /** From RunAs, in place of `general.data_dir`. */
  readonly dataDir: string | undefined;
}

/** A job together with the server it came from. */
export interface ServedJob {
  readonly job: Job;
  readonly server: Server;
}

/**
 * Decides about a job at its config stage, with every check there is.
 * @throws {AuthorizationError} refused; @throws {SystemFailure} it cannot be decided now
 */
export async function authorize(site: Site, served: ServedJob, decision: Decision): Promise<Authorization> {
  requireLogins(site);
  adviseOnToken(site, served);
  const claims = await verifyJobToken(site, served, decision);
  const { name, mapping } = mapLogin(site, served.job, claims);
  if (site.configuration.auth.listsPreValidation) await judgeName(site, name);
  const { username, dataDir } = await runAs(site, claims, name);
  const account = await judgeAccount(site, username, decision);
  await checkAtServer(site, served, claims, mapping);
  return { claims, account, dataDir };
}

/**
 * Decides again at a later stage: the token must still be good, and lead to the account on record.
 * @throws {AuthorizationError} it leads elsewhere, or nowhere any more
 */
export async function authorizeAgain(
  site: Site,
  served: ServedJob,
  record: JobRecord,
  decision: Decision,
  expiryGraceMs = 0,
): Promise<Authorization> {
  const { account: recorded } = record;
  const asking = recordIsAuthority() ? withAnswerFor(recorded.name, site) : site;
  const claims = await verifyJobToken(site, served, decision, expiryGraceMs);
  requireRecorded(claims, record);
  const username = recordIsAuthority() ? recorded.name : await nameFromScratch(site, served.job, claims);
  const account = await judgeAccount(asking, username, decision);
  if (account.name !== recorded.name || account.uid !== recorded.uid) {
    throw refuse('ERR_ACCOUNT_CHANGED', `account "${account.name}" (uid ${account.uid}) is not the one on record`);
  }
  return { claims, account, dataDir: record.dataDir };
}

/** Asks the name service at once, which answers while the token is verified; directories take their time. */
function withAnswerFor(name: string, site: Site): Site {
  const { credentials } = site;
  const answer = credentials.lookUpAccount(name);
  answer.catch(() => {}); // told where it is waited for
  const lookUpAccount = (asked: string) => (asked === name ? answer : credentials.lookUpAccount(asked));
  return { ...site, credentials: { ...credentials, lookUpAccount } };
}

/**
 * Who may clean up after a job: the account on record. In root mode, where nobody else could have written the
 * record, it suffices: tokens expire, servers go away, accounts are removed, and none of that may leave a job's
 * scripts and processes behind. A service account has to show a token, and where it leads.
 */
export async function authorizeCleanup(
  site: Site,
  served: ServedJob,
  record: JobRecord,
  decision: Decision,
): Promise<Account> {
  noteAccount(decision, record.account);
  decision.rule = 'record';
  const { jwtExpDelayMs } = site.configuration.auth;
  if (!recordIsAuthority()) return (await authorizeAgain(site, served, record, decision, jwtExpDelayMs)).account;
  try {
    requireRecorded(await verifyJobToken(site, served, decision, jwtExpDelayMs), record);
  } catch (error) {
    site.log.warn('cleaning up on the strength of the record alone', errorDetails(error));
  }
  return { shell: '/bin/sh', groups: [record.account.gid], ...record.account };
}

/** In root mode only root can have written the record. A service account could have, if it were broken into. */
function recordIsAuthority(): boolean {
  return isRoot();
}

function requireRecorded(claims: Claims, record: JobRecord): void {
  if (claims.jti === record.tokenId && claims.user_id === record.userId && claims.iss === record.server) return;
  throw refuse('ERR_TOKEN_CHANGED', "the token is not the one that was authorized at the job's config stage");
}

/** Token, signature, times, claims, binding, claim rules: everything that needs no account. */
async function verifyJobToken(
  site: Site,
  { job, server }: ServedJob,
  decision: Decision,
  expiryGraceMs = 0,
): Promise<Claims> {
  const { auth } = site.configuration;
  const claims = await verifyToken(findToken(site, job), {
    issuer: server.url,
    audiences: auth.jwtRequiredAud,
    expiryGraceMs,
    now: new Date(site.now()),
    findKey: (kid) => keyFor(site, server, kid),
  });
  bindToJob(claims, job);
  noteClaims(decision, claims);
  requireClaims(claims, auth);
  return claims;
}

async function keyFor(site: Site, server: Server, kid: string) {
  const { jwksFile, jwksMaxAgeMs: maxAgeMs } = site.configuration.auth;
  if (jwksFile !== undefined) return pinnedKey(jwksFile, kid);
  const { stateDirectory, lock, now } = site;
  return await findKey({ server, stateDirectory, maxAgeMs, lock, ask, now }, kid);
}

const DEFAULT_TOKEN_VARIABLE = 'CI_JOB_JWT';

/** The site's variable, else the default one, as upstream does. */
function findToken({ configuration }: Site, job: Job) {
  const wanted = configuration.general.jwtEnvVariable;
  const token = onlyValue(wanted, variableValues(job, wanted));
  if (token !== undefined) return token;
  const fallback = onlyValue(DEFAULT_TOKEN_VARIABLE, variableValues(job, DEFAULT_TOKEN_VARIABLE));
  if (fallback !== undefined) return fallback;
  throw refuse('ERR_TOKEN_MISSING', `the job has no ID token in ${wanted}`);
}

/** Tells the user what to add to the job; upstream's wording, which sites' own documentation quotes. */
function adviseOnToken({ configuration, log }: Site, { job, server: { url } }: ServedJob): void {
  const variable = configuration.general.jwtEnvVariable;
  if (variableValues(job, variable).length > 0) return;
  log.warn('the job has no ID token in the variable that the site asks for', { variable });
  const advice = [
    `No id_token found on ${variable} variable. Please update your CI job to include the following:`,
    '',
    '  id_tokens:',
    `    ${variable}:`,
    `      aud: ${url}`,
    '',
    `For additional details see: ${url}/help/ci/yaml/index.md#id_tokens`,
  ];
  tell(advice.join('\n'));
}

/** The account name that the login stands for before RunAs. Bots need an entry that limits them to projects. */
function mapLogin(site: Site, job: Job, claims: Claims): { name: string; mapping: Mapping | undefined } {
  const { auth } = site.configuration;
  if (job.scopedUserId !== undefined && !auth.allowCompositeIdentities) {
    throw refuse('ERR_COMPOSITE_IDENTITY', 'an agent acts for the user (allow_composite_identities is not set)');
  }
  const mapping = findMapping(claims, auth.mapping);
  if (!acceptsBots(site, mapping) && looksLikeBot(claims.user_login)) {
    throw refuse('ERR_BOT_ACCOUNT', `"${printable(claims.user_login)}" is named like a bot (allow_bot_accounts)`);
  }
  return { name: mapping?.account ?? claims.user_login, mapping };
}

/** With downscope "none" nobody gains rights by a name, so upstream does not look; neither do we. */
function acceptsBots({ configuration }: Site, mapping: Mapping | undefined): boolean {
  const { downscope, allowBotAccounts } = configuration.auth;
  return downscope === 'none' || allowBotAccounts || mapping?.projects !== undefined;
}

async function nameFromScratch(site: Site, job: Job, claims: Claims): Promise<string> {
  const { name } = mapLogin(site, job, claims);
  return (await runAs(site, claims, name)).username;
}

/** Without a script the name stands. */
async function runAs(site: Site, claims: Claims, current: string): Promise<Pick<RunAsReply, 'username' | 'dataDir'>> {
  const { validationScript: path, sha256, validationEnv: environment } = site.configuration.auth.runas;
  const target = targetAccount(site);
  if (path === undefined) return { username: current, dataDir: undefined };
  const reply = await askRunAs({ path, sha256, environment }, { current, target }, claims, site);
  site.log.info('RunAs script ended', { current, target, username: reply.username, ...reply.output });
  if (reply.userMessage !== undefined) tell(reply.userMessage.split('\n').map(printable).join('\n'));
  return reply;
}

/** The account that the job asks for by the site's variable; it becomes one argument of the script. */
function targetAccount({ configuration, environment }: Site): string | undefined {
  const { userVariable } = configuration.auth.runas;
  const target = userVariable === undefined ? undefined : environment[`${CI_VARIABLE_PREFIX}${userVariable}`];
  if (target === undefined || target === '') return undefined;
  if (/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/.test(target)) return target;
  const message = `The CI variable ${userVariable} holds "${printable(target)}", which is no name of an account.`;
  throw new JobError({ code: 'ERR_RUNAS_TARGET', message });
}

/** The account of a name, judged by every rule on accounts; with downscope "none" it is our own. */
async function judgeAccount(site: Site, name: string, decision: Decision): Promise<Account> {
  const { auth } = site.configuration;
  if (auth.downscope === 'none') {
    decision.rule = await judgeName(site, name);
    return await ownAccount(site);
  }
  const account = await findAccount(name, site.credentials, auth);
  noteAccount(decision, account);
  decision.rule = judgeByLists(name, await groupsOnLists(site, account), auth);
  requireShell(account, auth.shellAllowlist);
  return account;
}

/** Lists alone, for a name that need not be an account here. */
async function judgeName(site: Site, name: string): Promise<string> {
  const account = await lookUp(name, site.credentials);
  return judgeByLists(name, account === undefined ? [] : await groupsOnLists(site, account), site.configuration.auth);
}

async function ownAccount({ credentials }: Site): Promise<Account> {
  const { username } = userInfo();
  const account = await credentials.lookUpAccount(username);
  if (account !== undefined) return account;
  throw new SystemFailure({ code: 'ERR_ACCOUNT_OWN', message: `this process's own account "${username}" is unknown` });
}

/** The names on the site's group lists that the account is a member of, compared by number. */
async function groupsOnLists({ configuration, credentials }: Site, account: Account): Promise<string[]> {
  const { groupsAllowlist, groupsBlocklist } = configuration.auth;
  const memberships: string[] = [];
  for (const name of new Set([...(groupsAllowlist ?? []), ...groupsBlocklist])) {
    const gid = await lookUpGid(name, credentials);
    if (gid === undefined) throw unknownGroup(name);
    if (account.groups.includes(gid)) memberships.push(name);
  }
  return memberships;
}

/** A misspelled entry of a blocklist must not be one that blocks nobody. */
function unknownGroup(name: string): ConfigurationError {
  const message = `auth.groups_allowlist or auth.groups_blocklist names "${name}", which is no group on this host`;
  return new ConfigurationError({ code: 'ERR_CONFIG_GROUP_UNKNOWN', message });
}

async function checkAtServer(site: Site, served: ServedJob, claims: Claims, mapping: Mapping | undefined) {
  const { verifyJob: mode } = site.configuration.auth;
  if (mode === 'off') return;
  const rules = { mode, allowBotAccounts: acceptsBots(site, mapping) };
  const server = (path: string, headers: Record<string, string>) => ask(served.server, path, headers);
  const unchecked = await checkJobAtServer(claims, served.job, rules, server);
  if (unchecked !== undefined) site.log.warn('the job could not be checked at the server', { reason: unchecked });
}

const NOLOGIN_FILES = ['/etc/nologin', '/var/run/nologin'];

/** The administrator's text is meant for users, so they get it whole. */
function requireLogins({ configuration }: Site): void {
  if (!configuration.auth.enforceNologin) return;
  const file = NOLOGIN_FILES.find((path) => existsSync(path));
  if (file === undefined) return;
  const text = readFileSync(file, 'utf8').slice(0, 4096).trim();
  throw new AuthorizationError({
    code: 'ERR_NOLOGIN',
    message: `${file} exists (enforce_nologin)`,
    publicMessage: `This host takes no jobs at the moment.${text === '' ? '' : `\n${text}`}`,
  });
}

function refuse(code: string, message: string): AuthorizationError {
  return new AuthorizationError({ code, message });
}
