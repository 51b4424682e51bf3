// The site's RunAs script, started by the real addon: what it is given, which replies count, and that it may be
// wrong in every way without holding us up. Needs root.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { AuthorizationError } from '../../src/contract/errors.ts';
import { askRunAs, type RunAsQuestion, type RunAsScript } from '../../src/jacamar-auth/runas.ts';
import type { Claims } from '../../src/jacamar-auth/token.ts';
import { loadBuiltCredentials, loadBuiltLock } from '../native/built.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { verifiedClaims } from '../support/tokens.ts';

const credentials = loadBuiltCredentials();
const lock = loadBuiltLock();

/** A script of the site in a directory of its own. */
function place(context: TestContext, body: string): string {
  const path = join(scratchDirectory(context), 'runas');
  writeFileSync(path, `#!/bin/bash\n${body}\n`, { mode: 0o700 });
  return path;
}

interface Asked {
  readonly script?: Partial<RunAsScript>;
  readonly question?: Partial<RunAsQuestion>;
  readonly claims?: Partial<Claims>;
}

function askPath(path: string, { script, question, claims }: Asked = {}) {
  const whole = { path, sha256: undefined, environment: [], ...script };
  return askRunAs(whole, { current: 'alice', target: undefined, ...question }, verifiedClaims(claims), {
    credentials,
    lock,
  });
}

const askBody = (context: TestContext, body: string, asked: Asked = {}) => askPath(place(context, body), asked);
const code = (value: string) => ({ name: 'AuthorizationError', code: value });
const unusable = { name: 'ConfigurationError', code: 'ERR_RUNAS_SCRIPT' };
const reply = (value: unknown) => `printf %s '${JSON.stringify(value)}'`;

describe('a script that agrees', () => {
  it('may name an account, a directory and words for the user', async (context) => {
    const body = `${reply({ username: 'bob', data_dir: '/data', user_message: 'hello' })}; echo note >&2`;
    const { username, dataDir, userMessage, output } = await askBody(context, body);
    assert.deepEqual([username, dataDir, userMessage], ['bob', '/data', 'hello']);
    assert.match(output.stdout, /"username":"bob"/);
    assert.match(output.stderr, /^note/);
  });

  it('without a name means the account asked for, or else the current one', async (context) => {
    for (const body of ['exit 0', 'echo', reply({})]) {
      assert.equal((await askBody(context, body)).username, 'alice');
      assert.equal((await askBody(context, body, { question: { target: 'service' } })).username, 'service');
    }
  });

  it('gets the accounts as arguments, the one asked for first', async (context) => {
    const body = `printf '{"user_message":"%s"}' "$#:$1:$2"`;
    assert.equal((await askBody(context, body)).userMessage, '1:alice:');
    assert.equal((await askBody(context, body, { question: { target: 'service' } })).userMessage, '2:service:alice');
  });

  it('gets each argument as one word that no shell has read', async (context) => {
    const target = 'a b; touch jt_never $(id) `id` \' "';
    const file = join(scratchDirectory(context), 'argument');
    await askBody(context, `printf %s "$1" > ${file}`, { question: { target } });
    assert.equal(readFileSync(file, 'utf8'), target);
  });
});

describe('the surroundings of a script', () => {
  it('are a fixed environment, with the facts of the verified token', async (context) => {
    process.env['CUSTOM_ENV_JT_CANARY'] = 'canary';
    context.after(() => delete process.env['CUSTOM_ENV_JT_CANARY']);
    const file = join(scratchDirectory(context), 'environment');
    const identities = [{ provider: 'Open-ID connect', extern_uid: 'alice@idp' }];
    const asked: Asked = {
      script: { environment: ['SITE=value', 'JWT_USER_LOGIN=forged', 'PATH=/forged'] },
      question: { target: 'service' },
      claims: { project_id: '99', project_path: 'bob/fork', user_identities: identities },
    };
    await askBody(context, `cat /proc/self/environ > ${file}`, asked);
    const entries = readFileSync(file, 'utf8').split('\0').filter(Boolean);
    const {
      PWD: _,
      SHLVL: __,
      _: ___,
      ...environment
    } = Object.fromEntries(entries.map((entry) => entry.split(/=(.*)/s, 2)));
    assert.deepEqual(environment, {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LANG: 'C.UTF-8',
      RUNAS_CURRENT_USER: 'alice',
      RUNAS_TARGET_USER: 'service',
      JWT_USER_LOGIN: 'alice',
      JWT_USER_EMAIL: 'alice@example.com',
      JWT_USER_ID: '42',
      JWT_NAMESPACE_ID: '3',
      JWT_PROJECT_ID: '7',
      JWT_PROJECT_PATH: 'group/project',
      JWT_JOB_ID: '302',
      JWT_PIPELINE_ID: '88',
      JWT_PIPELINE_SOURCE: 'push',
      JWT_ISS: 'https://gitlab.example.com',
      JWT_IDENTITY_OPEN_ID_CONNECT: 'alice@idp',
      SITE: 'value',
    });
    assert.ok(!entries.some((entry) => /canary|eyJ/.test(entry)));
  });

  it('lose a claim with a NUL, and keep one with newlines in its place', async (context) => {
    const file = join(scratchDirectory(context), 'environment');
    const claims = { pipeline_source: 'a\0PATH=/forged', user_email: 'a\nPATH=/forged' };
    await askBody(context, `cat /proc/self/environ > ${file}`, { claims });
    const entries = readFileSync(file, 'utf8').split('\0');
    assert.ok(entries.includes('JWT_USER_EMAIL=a\nPATH=/forged'));
    assert.ok(!entries.some((entry) => entry.startsWith('JWT_PIPELINE_SOURCE') || entry === 'PATH=/forged'));
  });

  it('are an empty input, the directory /, umask 077, its own session, and no other descriptor', async (context) => {
    const file = join(scratchDirectory(context), 'state');
    const lines = [
      'readlink /proc/self/fd/0',
      'pwd',
      'umask',
      'ps -o sid= -p $$',
      'echo $$',
      'ls /proc/$$/fd',
      'id -G',
    ];
    await askBody(context, `exec > ${file}; ${lines.join('; ')}`);
    const [stdin, cwd, umask, session, pid, ...rest] = readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim());
    assert.deepEqual([stdin, cwd, umask], ['/dev/null', '/', '0077']);
    assert.equal(session, pid);
    const groups = process
      .getgroups?.()
      .sort((a, b) => a - b)
      .join(' ');
    assert.equal(
      rest
        .at(-2)
        ?.split(' ')
        .sort((a, b) => Number(a) - Number(b))
        .join(' '),
      groups,
    );
    // 255 is where bash keeps its script; one more may be the descriptor that the interpreter was given.
    const descriptors = rest
      .slice(0, -2)
      .map(Number)
      .filter((descriptor) => descriptor > 2 && descriptor !== 255);
    assert.ok(descriptors.length <= 1, descriptors.join());
  });

  it('leave no descriptor behind in our process', async (context) => {
    await askBody(context, 'exit 0');
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 3; round += 1) {
      await askBody(context, 'exit 0');
      await assert.rejects(askBody(context, 'exit 1'));
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
});

describe('a script that refuses', () => {
  it('does so by its exit status, whatever it prints', async (context) => {
    for (const body of [
      'exit 1',
      `${reply({ username: 'bob' })}; exit 2`,
      'echo nonsense; exit 3',
      'kill -9 $$',
      'kill -TERM $$',
    ]) {
      await assert.rejects(askBody(context, body), code('ERR_RUNAS_REFUSED'), body);
    }
  });

  it('may tell the user why, in one harmless line; the rest is for the administrator', async (context) => {
    const body = `printf '%s' '{"user_message":"ask\\nus \\u001b[2J","error_message":"not on the list"}'; exit 1`;
    await assert.rejects(askBody(context, body), (error) => {
      assert.ok(error instanceof AuthorizationError);
      assert.match(error.publicMessage, /^ask\\u000aus \\u001b\[2J$/);
      assert.match(error.message, /not on the list/);
      return true;
    });
    await assert.rejects(askBody(context, 'echo reason >&2; exit 1'), (error) => {
      assert.ok(error instanceof AuthorizationError);
      assert.equal(error.publicMessage, 'This job is not authorized to run here.');
      return /reason/.test(error.message);
    });
  });
});

describe('a script that says nothing clear', () => {
  const outputs: Record<string, string> = {
    'no JSON': 'echo bob',
    'two objects': `echo '{}{}'`,
    'two lines of objects': `echo '{}'; echo '{}'`,
    'a name that stands twice': `echo '{"username":"alice","username":"root"}'`,
    'a name twice, once in escapes': `echo '{"username":"alice","\\u0075sername":"root"}'`,
    'a list as name': reply({ username: ['bob'] }),
    'null as name': reply({ username: null }),
    'a number as name': reply({ username: 0 }),
    'an unknown member': reply({ user: 'bob' }),
    __proto__: `echo '{"__proto__":{"username":"root"}}'`,
    constructor: reply({ constructor: 'x' }),
    'a list': reply([]),
    null: 'echo null',
    'text around': `echo 'reply: {}'`,
    'a NUL': `printf '{}\\0'`,
    'bytes that are no UTF-8': `printf '{"username":"\\xff"}'`,
    'a byte order mark': `printf '\\xef\\xbb\\xbf{}'`,
    'a relative directory': reply({ data_dir: 'data' }),
    'a directory above others': reply({ data_dir: '/data/../etc' }),
    'a directory of two lines': reply({ data_dir: '/a\n/b' }),
  };
  for (const [title, body] of Object.entries(outputs)) {
    it(`${title} is refused`, async (context) => {
      await assert.rejects(askBody(context, body), code('ERR_RUNAS_REPLY'));
    });
  }

  it('is read up to 64 KiB, and what goes beyond is no reply', async (context) => {
    const spaces = (count: number) => `head -c ${count} /dev/zero | tr '\\0' ' '`;
    assert.equal((await askBody(context, `printf '{}'; ${spaces(65_534)}`)).username, 'alice');
    await assert.rejects(askBody(context, `printf '{}'; ${spaces(65_535)}`), code('ERR_RUNAS_BROKEN'));
    await assert.rejects(askBody(context, 'head -c 100000000 /dev/zero'), code('ERR_RUNAS_BROKEN'));
    await assert.rejects(askBody(context, 'head -c 100000000 /dev/zero >&2'), code('ERR_RUNAS_BROKEN'));
  });
});

describe('a script that does not end', () => {
  it('is killed after thirty seconds, with what it started', async (context) => {
    const file = join(scratchDirectory(context), 'pids');
    const start = (how: string) => `${how} sleep 1000 & echo $! >> ${file}`;
    const path = place(context, `${start('')}; ${start('setsid')}; echo $$ >> ${file}; echo done >> ${file}; wait`);
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const pending = askPath(path);
    let isOver = false;
    const outcome = assert.rejects(pending, AuthorizationError).finally(() => {
      isOver = true;
    });
    await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('done'));
    context.mock.timers.tick(30_000);
    await until(() => {
      context.mock.timers.tick(20);
      return isOver;
    });
    await outcome;
    for (const pid of readFileSync(file, 'utf8').match(/^[0-9]+$/gm) ?? assert.fail('no pid'))
      await until(() => isGone(Number(pid)));
  });

  it('or leaves something that holds its output is refused soon, and the rest is killed', async (context) => {
    const file = join(scratchDirectory(context), 'pid');
    const started = performance.now();
    const body = `setsid sleep 1000 & echo $! > ${file}; echo '{}'`;
    await assert.rejects(askBody(context, body), code('ERR_RUNAS_BROKEN'));
    assert.ok(performance.now() - started < 60_000);
    await until(() => isGone(Number(readFileSync(file, 'utf8'))));
  });
});

/** Waits for something outside that no event tells of. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `never true: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

describe('a script that others could have written', () => {
  const damages: Record<string, (path: string) => void> = {
    'is missing': (path) => renameSync(path, `${path}.away`),
    'can be written by its group': (path) => chmodSync(path, 0o770),
    'can be written by all': (path) => chmodSync(path, 0o702),
    'belongs to somebody else': (path) => chownSync(path, 65534, 0),
    'is a link': (path) => {
      renameSync(path, `${path}.real`);
      symlinkSync(`${path}.real`, path);
    },
    'is a directory': (path) => {
      renameSync(path, `${path}.away`);
      mkdirSync(path);
    },
    'lies in a directory that others can write to': (path) => chmodSync(join(path, '..'), 0o777),
  };
  for (const [title, damage] of Object.entries(damages)) {
    it(`or that ${title}, is not executed`, async (context) => {
      const canary = join(scratchDirectory(context), 'canary');
      const path = place(context, `touch ${canary}`);
      damage(path);
      await assert.rejects(askPath(path), unusable);
      assert.equal(existsSync(canary), false);
    });
  }

  it('is not executed with another checksum than configured', async (context) => {
    const canary = join(scratchDirectory(context), 'canary');
    const path = place(context, `touch ${canary}`);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    for (const wrong of [sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0')), '', sha256.slice(1)]) {
      await assert.rejects(askPath(path, { script: { sha256: wrong } }), unusable);
    }
    assert.equal(existsSync(canary), false);
    await askPath(path, { script: { sha256 } });
    assert.equal(existsSync(canary), true);
  });

  it('is the one that was checked, also when the path leads elsewhere by then', async (context) => {
    const path = place(context, reply({ username: 'checked' }));
    const other = `${path}.other`;
    writeFileSync(other, `#!/bin/bash\n${reply({ username: 'exchanged' })}\n`, { mode: 0o700 });
    const exchanging = {
      ...credentials,
      launch: (plan: Parameters<typeof credentials.launch>[0]) => {
        renameSync(other, path);
        return credentials.launch(plan);
      },
    };
    const script = { path, sha256: undefined, environment: [] };
    const question = { current: 'alice', target: undefined };
    const { username } = await askRunAs(script, question, verifiedClaims(), { credentials: exchanging, lock });
    assert.equal(username, 'checked');
  });

  it('whose first line is wrong is told as that, and not as a file that is missing', async (context) => {
    for (const first of ['#!/usr/bin/jt-no-such-shell', '#!/bin/bash\r', 'echo']) {
      const path = place(context, '');
      writeFileSync(path, `${first}\n`);
      await assert.rejects(askPath(path), { ...unusable, message: /first line/ });
    }
  });

  it('has to be executable', async (context) => {
    const path = place(context, 'exit 0');
    chmodSync(path, 0o600);
    await assert.rejects(
      askPath(path),
      (error: NodeJS.ErrnoException) => error.code === 'EACCES' || error.code === 'ERR_RUNAS_SCRIPT',
    );
  });
});
