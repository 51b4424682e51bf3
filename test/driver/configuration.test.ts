// A configuration that cannot be used stops every job, so its administrator has to find out what to mend: the whole
// text in his log, a neutral line for the user, and a failure that the runner does not blame on the job.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import { driverStages } from '../../src/jacamar-admin/runner-settings.ts';
import { catchSyslog, type SyslogCatcher } from '../support/syslog.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const { account } = world;

let syslog: SyslogCatcher;
before(async () => {
  syslog = await catchSyslog(world.installation.program('jacamar-auth'), world.directory);
});

interface Fault {
  readonly title: string;
  /** Makes the file and returns its path. */
  readonly make: () => Promise<string>;
  /** In the administrator's log. `FILE` stands for the path. */
  readonly told: string;
}

const withGeneral = (line: string) =>
  world.writeConfiguration(
    `[general]\nexecutor = "shell"\ndata_dir = "$HOME"\n${line}\n[auth]\ndownscope = "setuid"\n`,
  );

async function placed(place: (path: string) => Promise<unknown>): Promise<string> {
  const path = await world.configure();
  await place(path);
  return path;
}

const faults: readonly Fault[] = [
  {
    title: 'with a misspelled key',
    make: () => withGeneral('limit_biuld_dir = true'),
    told: 'unknown key general.limit_biuld_dir (FILE, line 4); did you mean limit_build_dir?',
  },
  {
    title: 'with a key nobody knows',
    make: () => withGeneral('xyzzy = 1'),
    told: 'unknown key general.xyzzy (FILE, line 4)',
  },
  {
    title: 'with a value of the wrong type',
    make: () => withGeneral('limit_build_dir = "yes"'),
    told: 'general.limit_build_dir (FILE, line 4): expected true or false',
  },
  {
    title: 'with a key that this version does not do',
    make: () => withGeneral('[auth.logging]\nnetwork = "tcp"'),
    told: 'auth.logging.network (FILE, line 5) = "tcp": not implemented yet',
  },
  {
    title: 'without downscope',
    make: () => world.configure({ auth: { downscope: undefined } }),
    told: 'missing key auth.downscope (FILE): it is required with jacamar-auth',
  },
  { title: 'that is no TOML', make: () => withGeneral('limit_build_dir: true'), told: 'FILE:4:' },
  {
    title: 'that is no text',
    make: () => placed((path) => writeFile(path, Buffer.from([0xff, 0xfe, 0x00]))),
    told: 'FILE: not valid UTF-8',
  },
  {
    title: 'that does not exist',
    make: async () => world.at('missing.toml'),
    told: 'configuration FILE: cannot be opened (ENOENT)',
  },
  {
    title: 'writable by everybody',
    make: () => placed((path) => chmod(path, 0o666)),
    told: 'configuration FILE: can be written by group or others',
  },
  {
    title: 'writable by a group',
    make: () => placed((path) => chmod(path, 0o660)),
    told: 'configuration FILE: can be written by group or others',
  },
  {
    title: 'owned by another account',
    make: () => placed((path) => chown(path, account.uid, 0)),
    told: `configuration FILE: is owned by uid ${account.uid}, not by root or this process`,
  },
  { title: 'that is a symbolic link', make: async () => linked(), told: 'configuration FILE: is a symbolic link' },
  { title: 'that is a FIFO', make: async () => fifo(), told: 'configuration FILE: is not a regular file' },
  {
    title: 'below a directory that others can write to',
    make: () => belowOpenDirectory(),
    told: 'can be written by group or others',
  },
  {
    title: 'named by a relative path',
    make: async () => 'custom.toml',
    told: 'configuration custom.toml: is not an absolute path',
  },
  {
    title: 'whose log has no directory',
    make: () => world.configure({ auth: { logging: { location: '/proc/nonexistent/log' } } }),
    told: 'auth.logging.location: /proc/nonexistent/log cannot be used',
  },
  {
    title: 'with a downscope that cannot be',
    make: () => world.configure({ auth: { downscope: 'none' } }),
    told: 'auth.downscope = "none" as root would run every job as root',
  },
  {
    title: 'with a jacamar that others can replace',
    make: () => world.configure({ auth: { jacamar_path: `${account.home}/jacamar` } }),
    told: 'jacamar cannot be started',
  },
];

let made = 0;
async function linked(): Promise<string> {
  const path = world.at('link.toml');
  if (made++ === 0) await symlink(await world.configure(), path);
  return path;
}

async function fifo(): Promise<string> {
  const path = world.at('fifo.toml');
  execFileSync('sh', ['-c', 'test -p "$1" || mkfifo -m 600 "$1"', 'sh', path]);
  return path;
}

async function belowOpenDirectory(): Promise<string> {
  const directory = world.at('open');
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o777);
  await writeFile(`${directory}/custom.toml`, '', { mode: 0o600 });
  return `${directory}/custom.toml`;
}

for (const { title, make, told } of faults) {
  test(`a configuration ${title} is a system failure: neutral for the user, whole in the log, shown with -u`, async () => {
    const configuration = await make();
    const text = told.replace('FILE', configuration);
    const plain = await configWith(configuration, []);
    assert.equal(plain.outcome.kind, 'system-failure');
    assert.equal(plain.outcome.kind === 'system-failure' && plain.outcome.text, 'exit status 2');
    assert.equal(plain.stdout, '');
    const [, reference = ''] =
      /^The configuration of this runner cannot be used; its administrator has to mend it\. \(reference ([0-9a-f]{8})\)\n$/.exec(
        plain.stderr,
      ) ?? [];
    assert.notEqual(reference, '', plain.stderr);
    const log = await logs();
    const line = log.find((each) => each.includes(reference));
    assert.ok(line, `reference ${reference} in ${log.join('\n')}`);
    assert.ok(line.includes(JSON.stringify(text).slice(1, -1)), line);
    assert.match(line, /"level":"ERROR".*"stage":"config_exec"/);
    const open = await configWith(configuration, ['-u']);
    assert.ok(open.stderr.includes(text), open.stderr);
  });
}

/** One config stage whose syslog is ours. */
async function configWith(configuration: string, options: readonly string[]) {
  await syslog.clear();
  const stages = driverStages({ executable: syslog.executable, configuration, options });
  const job = await world.stages({ configuration, settings: { stages } });
  return job.config();
}

/** The log file where one is known, and else the syslog. */
async function logs(): Promise<string[]> {
  const file = await readFile(world.logFile, 'utf8').catch(() => '');
  return [...file.split('\n'), ...(await syslog.lines())];
}

test('config without --configuration is the fault of the configuration, and says what is missing', async () => {
  const executable = world.installation.program('jacamar-auth');
  const job = await world.stages({ settings: { stages: { config: { executable, args: ['-u', 'config'] } } } });
  const { outcome, stderr } = await job.config();
  assert.equal(outcome.kind, 'system-failure');
  assert.match(stderr, /^The configuration of this runner cannot be used; /m);
  assert.match(stderr, /option --configuration is missing from the runner's arguments/);
});

test('a later stage finds the configuration that config named, and checks it again', async () => {
  const configuration = await world.configure();
  const job = await (await world.stages({ configuration })).configured();
  await chmod(configuration, 0o666);
  const { outcome, stdout } = await job.run('echo ran');
  assert.equal(outcome.kind, 'system-failure');
  assert.equal(stdout, '');
});

test('the configuration of the tutorial is all that a job needs', async () => {
  const text = `[general]\nexecutor = "shell"\ndata_dir = "$HOME"\nlimit_build_dir = true\n[auth]\ndownscope = "setuid"\nstate_dir = "${world.at('state')}"\n[auth.logging]\nlocation = "${world.logFile}"\nlevel = "debug"\n`;
  const played = await world.play({ configuration: await world.writeConfiguration(text) });
  assert.equal(played.verdict, 'success', played.jobLog);
});
