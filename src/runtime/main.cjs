// First code of the shared runtime, a single executable application: runs the one program whose launcher
// started it. Launchers name themselves by argv[0], which nobody else can choose for them.
'use strict';
const { getRawAsset } = require('node:sea');
const { Script } = require('node:vm');
const { cacheName, runProgram } = require('./program.cjs');

const PROGRAMS = ['jacamar-auth', 'jacamar', 'jacamar-admin'];
const program = process.argv0.slice(process.argv0.lastIndexOf('/') + 1);
if (!PROGRAMS.includes(program)) {
  process._rawDebug('jacamar-runtime is started by the executables in bin, not by hand');
  process.reallyExit(2);
}
// A code cache that does not fit this processor or V8 is rejected, and the source compiled instead.
const script = new Script(Buffer.from(getRawAsset(`${program}.js`)).latin1Slice(), {
  filename: `${program}.js`,
  cachedData: new Uint8Array(getRawAsset(cacheName(program, process.argv))),
});
runProgram(script, require);
