// Build step: runs one bundle as `--version` and keeps what V8 compiled for it, so that the installed program
// need not compile it again at every start. usage: node make-code-cache.cjs BUNDLE SCRIPT CACHE
'use strict';
const { readFileSync, writeFileSync } = require('node:fs');
const { basename } = require('node:path');
const { Script } = require('node:vm');

const [, , bundle, source, cache] = process.argv;
const text = `(function(exports,require,module){${readFileSync(bundle, 'utf8')}\n})`;
writeFileSync(source, text);
const script = new Script(text, { filename: basename(source) });
process.argv.splice(2, Number.POSITIVE_INFINITY, '--version');
process.on('exit', () => writeFileSync(cache, script.createCachedData()));
const module_ = { exports: {} };
script.runInThisContext()(module_.exports, require, module_);
