// Build step: runs one program as the runtime would, and adds to its code cache what V8 compiled meanwhile, so that
// the installed program need not compile it again at every start. Without privilege: the privileged addon is asked
// for nothing that changes ids.   node make-code-cache.cjs BUNDLES PREFIX PROGRAM ARGUMENTS…
'use strict';
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { Script } = require('node:vm');
const { cacheName, runProgram } = require('../src/runtime/program.cjs');

const [, , bundles, prefix, program, ...args] = process.argv;
process.argv.splice(2, Number.POSITIVE_INFINITY, ...args);
// The programs find what belongs to them from there.
process.execPath = `${prefix}/libexec/jacamar-runtime`;

const cache = `${bundles}/${cacheName(program, process.argv)}`;
const script = new Script(readFileSync(`${bundles}/${program}.js`, 'latin1'), {
  filename: `${program}.js`,
  ...(existsSync(cache) ? { cachedData: readFileSync(cache) } : {}),
});
if (script.cachedDataRejected) throw new Error(`${cache} does not fit its bundle`);
const keep = () => writeFileSync(cache, script.createCachedData());
process.on('exit', keep);

/** The job's account is the one that builds, whatever its name. */
function withoutPrivilege({ launch, ...addon }) {
  const uid = Math.max(process.geteuid(), 2000);
  return {
    ...addon,
    capabilities: () => ({ permitted: 'c0', effective: 'c0', ambient: '0' }),
    lookUpAccount: async (name) => ({ name, uid, gid: uid, groups: [uid], home: `${prefix}/home`, shell: '/bin/bash' }),
    launch: ({ credentials: _, ...plan }) => launch(plan),
  };
}

/** The addons end a process without a word to Node. */
function endingLate({ exit, ...addon }) {
  const exitLater = (code) => {
    keep();
    return exit(code);
  };
  return exit === undefined ? addon : { ...addon, exit: exitLater };
}

const { dlopen } = process;
process.dlopen = (module_, file, ...rest) => {
  dlopen(module_, file, ...rest);
  const isPrivileged = 'launch' in module_.exports;
  module_.exports = endingLate(isPrivileged ? withoutPrivilege(module_.exports) : module_.exports);
};

runProgram(script, require);
