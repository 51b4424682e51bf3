// Other hosts that share the home directories, and other ways in which a runner may call the driver: wrappers that a test
// puts in the driver's place. What a program can know of its host is replaced by namespaces of the kernel, so the
// installed executables run as they are.

import { randomUUID } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { driverStages, type RunnerSettings } from '../../src/jacamar-admin/runner-settings.ts';
import type { ConfigurationWishes, World } from './world.ts';

/** Settings of a runner that calls `executable` in place of jacamar-auth. */
export async function callingThrough(
  world: World,
  executable: string,
  options: ConfigurationWishes = {},
): Promise<Partial<RunnerSettings>> {
  return { stages: driverStages({ executable, configuration: await world.configure(options) }) };
}

/** The driver on a host with this name that runs a kernel of its own. */
export async function driverOnHost(world: World, name: string): Promise<string> {
  const bootId = world.at(`boot-${name}`);
  await writeFile(bootId, `${randomUUID()}\n`, { flag: 'wx' });
  const place = `hostname ${name} && mount --bind ${bootId} /proc/sys/kernel/random/boot_id && exec "$0" "$@"`;
  return await wrapper(world, `host-${name}`, `exec unshare --uts --mount sh -c '${place}' "$DRIVER" "$@"`);
}

/** The driver on this host before it was started anew. */
export async function driverBeforeBoot(world: World): Promise<string> {
  return await driverOnHost(world, hostname());
}

/** The driver where flock(2) fails with this error, made by strace, which leaves everything else as it is. */
export async function driverWithoutLocks(world: World, error: string): Promise<string> {
  const strace = `strace -f -qq -o /dev/null -e trace=flock -e inject=flock:error=${error}`;
  return await wrapper(world, `without-locks-${error}`, `exec ${strace} "$DRIVER" "$@"`);
}

/** The driver below a shell that waits for it, as sites do to set something up. */
export async function driverBelowShell(world: World): Promise<string> {
  return await wrapper(world, 'below-shell', '"$DRIVER" "$@"; exit $?');
}

async function wrapper(world: World, name: string, commands: string): Promise<string> {
  const path = world.at(name);
  const driver = world.installation.program('jacamar-auth');
  await writeFile(path, `#!/bin/sh\nDRIVER='${driver}'\n${commands}\n`, { flag: 'wx' });
  await chmod(path, 0o755);
  return path;
}
