// First code of the shared runtime, a single executable application: runs the one program whose launcher
// started it. Launchers name themselves by argv[0], which nobody else can choose for them.
'use strict';
const { getAsset } = require('node:sea');
const { Script } = require('node:vm');

const PROGRAMS = ['jacamar-auth', 'jacamar', 'jacamar-admin'];
const program = process.argv0.slice(process.argv0.lastIndexOf('/') + 1);
if (!PROGRAMS.includes(program)) {
  process._rawDebug('jacamar-runtime is started by the executables in bin, not by hand');
  process.reallyExit(2);
}
const wrapped = `(function(exports,require,module){${getAsset(`${program}.cjs`, 'utf8')}\n})`;
const module_ = { exports: {} };
new Script(wrapped, { filename: `${program}.cjs` }).runInThisContext()(module_.exports, require, module_);
