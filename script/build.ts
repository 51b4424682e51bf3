// Builds what is installed, without the native parts: one bundle per program, and the shared runtime, a
// single executable application made of the pinned Node and the bundles. Nothing is downloaded.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const OUT = join(ROOT, 'build/runtime');
/** Of the npm package for this processor. */
const NODE = realpathSync(join(ROOT, 'node_modules/.bin/node'));
const PROGRAMS = ['jacamar-auth', 'jacamar', 'jacamar-admin'];
/** See src/runtime/program.cjs: a run stage's, and those of all other calls. */
const RUN_CACHES = ['jacamar-auth.run.cache', 'jacamar.run.cache'];
const CACHES = [...PROGRAMS.map((name) => `${name}.cache`), ...RUN_CACHES];
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

/**
 * pino writes to what we give it; its own destinations, threads and handlers of the end would only be loaded at each
 * start, and be more code with privilege.
 */
const LEFT_OUT_OF_PINO =
  /^(?:sonic-boom|on-exit-leak-free|worker_threads|@pinojs\/redact|\.\/lib\/multistream|\.\/(?:lib\/)?transport)$/;

const leanPino: Plugin = {
  name: 'lean-pino',
  setup(build) {
    build.onResolve({ filter: LEFT_OUT_OF_PINO }, ({ path, resolveDir }) =>
      resolveDir.startsWith(join(ROOT, 'node_modules/pino')) ? { path, namespace: 'left-out' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `module.exports = function () { throw new Error('${path} is not part of this program') }`,
    }));
  },
};

async function bundlePrograms(): Promise<void> {
  const { version, commit } = sourceState();
  const { metafile } = await build({
    entryPoints: PROGRAMS.map((name) => ({ in: join(ROOT, `src/${name}/main.ts`), out: name })),
    outdir: OUT,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    charset: 'ascii',
    // Names stay: a crash is told with a stack, and what restores minified names costs more than they do.
    minifySyntax: true,
    minifyWhitespace: true,
    // import() is not available in a single executable application; required lazily instead.
    supported: { 'dynamic-import': false },
    define: { JACAMAR_VERSION: JSON.stringify(version), JACAMAR_COMMIT: JSON.stringify(commit) },
    plugins: [leanPino],
    logLevel: 'warning',
    metafile: true,
    absWorkingDir: ROOT,
  });
  writeFileSync(join(OUT, 'bundles.json'), JSON.stringify(metafile));
}

/**
 * Node options of the runtime: no debugger by signal, no prototype by assignment, no modules of other people in
 * OpenSSL. Our programs are short: one helper thread is enough, and what they allocate until they wait fits into
 * 4 MiB, so that no memory need be collected before. V8 takes its code caches with these, unlike with most others.
 */
const RUNTIME_OPTIONS = [
  '--disable-sigusr1',
  '--disable-proto=throw',
  '--openssl-config=/dev/null',
  '--v8-pool-size=1',
  '--min-semi-space-size=4',
];

/** The form in which the runtime takes a bundle. */
function makeScript(program: string): void {
  const text = readFileSync(join(OUT, `${program}.cjs`), 'latin1');
  writeFileSync(
    join(OUT, `${program}.js`),
    `(function(exports,require,module,JACAMAR_CODE_CACHE){${text}\n})`,
    'latin1',
  );
}

/** What V8 compiles at every start, and for the two programs that work for a runner, what a whole job needs. */
async function makeCodeCaches(): Promise<void> {
  for (const cache of CACHES) rmSync(join(OUT, cache), { force: true });
  const maker = join(ROOT, 'script/make-code-cache.cjs');
  for (const program of PROGRAMS) {
    const args = [...RUNTIME_OPTIONS, maker, OUT, OUT, program, '--version'];
    execFileSync(NODE, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const args = [join(ROOT, 'script/warm-up.ts'), OUT, join(ROOT, 'build/Release'), NODE, ...RUNTIME_OPTIONS];
  const warmUp = spawn(NODE, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true, timeout: 300_000 });
  const [status] = await once(warmUp, 'exit');
  if (status !== 0) process.stderr.write('No job could be played here: every stage will compile what it needs.\n');
  for (const cache of RUN_CACHES.filter((name) => !existsSync(join(OUT, name)))) {
    copyFileSync(join(OUT, cache.replace('.run', '')), join(OUT, cache));
  }
}

/** Those of an earlier build, so that two builds can be compared: V8 makes different ones each time. */
function takeCodeCaches(directory: string): void {
  for (const cache of CACHES) copyFileSync(join(directory, cache), join(OUT, cache));
}

async function makeRuntime(): Promise<void> {
  const main = join(OUT, 'main.cjs');
  await build({
    entryPoints: [join(ROOT, 'src/runtime/main.cjs')],
    outfile: main,
    bundle: true,
    platform: 'node',
    logLevel: 'warning',
    absWorkingDir: ROOT,
  });
  const configuration = {
    // This path becomes part of the application; a full one would tell where it was built.
    main: relative(ROOT, main),
    output: join(OUT, 'runtime.blob'),
    disableExperimentalSEAWarning: true,
    execArgv: RUNTIME_OPTIONS,
    execArgvExtension: 'none',
    assets: Object.fromEntries(
      [...PROGRAMS.map((name) => `${name}.js`), ...CACHES].map((asset) => [asset, join(OUT, asset)]),
    ),
  };
  const file = join(OUT, 'runtime.json');
  writeFileSync(file, JSON.stringify(configuration));
  execFileSync(NODE, ['--experimental-sea-config', file], { cwd: ROOT, stdio: ['ignore', 'ignore', 'ignore'] });
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
for (const program of PROGRAMS) makeScript(program);
const given = process.env['JACAMAR_CODE_CACHES'];
if (given === undefined) await makeCodeCaches();
else takeCodeCaches(given);
await makeRuntime();
