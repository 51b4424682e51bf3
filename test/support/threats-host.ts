// A host that is wrong on purpose: the driver runs in a mount namespace with an /etc and a /run of its own, and with a
// name service that answers what the test wrote down for it. The machine that runs the tests is not touched.

import { execFile } from 'node:child_process';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { driverStages } from '../../src/jacamar-admin/runner-settings.ts';
import { eventually } from './eventually.ts';
import type { JobWishes } from './job-wishes.ts';
import type { World } from './world.ts';

const run = promisify(execFile);

/** One answer of the faulty name service to `asked`; of several, each look-up of a process gets the next. */
export interface Answer {
  readonly asked: string;
  /** Default `entry`; `slow` never answers. */
  readonly kind?: 'entry' | 'slow' | 'again' | 'stopped';
  readonly name?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly home?: string;
  readonly shell?: string;
}

export class PrivateHost {
  readonly #world: World;
  readonly #root: string;
  /** Open to every account of the host, unlike the world. */
  readonly #shared: string;

  private constructor(world: World, root: string, shared: string) {
    this.#world = world;
    this.#root = root;
    this.#shared = shared;
  }

  /** Where accounts of this host, which have no home, may put their files: general.data_dir. */
  get dataDirectory(): string {
    return join(this.#shared, 'data');
  }

  /** Goes with the world. */
  static async open(world: World): Promise<PrivateHost> {
    const root = world.at('host');
    const shared = await mkdtemp(join(tmpdir(), 'jt_host_'));
    world.onClose(() => rm(shared, { recursive: true, force: true }));
    await chmod(shared, 0o755);
    await mkdir(join(root, 'run'), { recursive: true });
    await copyEtc(root);
    const host = new PrivateHost(world, root, shared);
    await mkdir(host.dataDirectory);
    await chmod(host.dataDirectory, 0o1777);
    await host.#installNameService();
    await writeFile(host.driver, host.#driverText(), { mode: 0o700 });
    return host;
  }

  /** Stands for jacamar-auth in the runner's settings. */
  get driver(): string {
    return join(this.#root, 'driver');
  }

  /** A file of the private /etc or /run, by its usual path. */
  at(path: string): string {
    return join(this.#root, path);
  }

  async addUser(name: string, uid: number, gid: number, home = '/nonexistent', shell = '/bin/bash'): Promise<void> {
    await appendFile(this.at('/etc/passwd'), `${name}:x:${uid}:${gid}::${home}:${shell}\n`);
  }

  async removeUser(name: string): Promise<void> {
    const lines = (await readFile(this.at('/etc/passwd'), 'utf8')).split('\n');
    await writeFile(this.at('/etc/passwd'), lines.filter((line) => !line.startsWith(`${name}:`)).join('\n'));
  }

  async addGroups(lines: readonly string[]): Promise<void> {
    await appendFile(this.at('/etc/group'), lines.map((line) => `${line}\n`).join(''));
  }

  /** Adds answers of the faulty service; what it is not told about does not exist. */
  async answer(...answers: readonly Answer[]): Promise<void> {
    const lines = answers.map(({ asked, kind = 'entry', name = asked, uid = 61234, gid = 61234, home, shell }) =>
      [asked, kind, name, uid, gid, home ?? '/nonexistent', shell ?? '/bin/bash'].join('|'),
    );
    await appendFile(this.at('/etc/jt_answers'), lines.map((line) => `${line}\n`).join(''));
  }

  /** The services that look-ups go to. */
  async services(list: string): Promise<void> {
    await writeFile(this.at('/etc/nsswitch.conf'), `passwd: ${list}\ngroup: files\n`);
  }

  /** The same job on this host. */
  async job(wishes: JobWishes): Promise<JobWishes> {
    const { general, ...rest } = wishes.options ?? {};
    const options = { ...rest, general: { data_dir: this.dataDirectory, ...general } };
    const configuration = wishes.configuration ?? (await this.#world.configure(options));
    const stages = driverStages({ executable: this.driver, configuration, options: wishes.driverOptions ?? [] });
    return { ...wishes, configuration, settings: { ...wishes.settings, stages } };
  }

  async #installNameService(): Promise<void> {
    const source = join(import.meta.dirname, 'threats-nss.c');
    const libraries = join(this.#shared, 'lib');
    await mkdir(libraries, { mode: 0o755 });
    await run('cc', ['-shared', '-fPIC', '-o', join(libraries, 'libnss_jtname.so.2'), source]);
    await run('/sbin/ldconfig', ['-X', '-C', this.at('/etc/ld.so.cache'), libraries]);
    await writeFile(this.at('/etc/jt_answers'), '');
    await chmod(this.at('/etc/jt_answers'), 0o644);
    await this.services('files jtname');
  }

  #driverText(): string {
    const mounts = `mount --bind '${this.at('/etc')}' /etc && mount --bind '${this.at('/run')}' /run`;
    const driver = this.#world.installation.program('jacamar-auth');
    return `#!/bin/sh\nexec unshare --mount --propagation private sh -c "${mounts} && exec '${driver}' \\"\\$@\\"" sh "$@"\n`;
  }
}

/** Other tests make accounts meanwhile, whose tools leave files behind for a moment only: then cp(1) fails. */
async function copyEtc(root: string): Promise<void> {
  await eventually('a whole copy of /etc', async () => {
    await rm(join(root, 'etc'), { recursive: true, force: true });
    return await run('cp', ['-a', '/etc', root]).then(
      () => true,
      () => false,
    );
  });
}
