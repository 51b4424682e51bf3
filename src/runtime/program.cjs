// Runs a program from its bundle. Modules of Node are loaded when something of them is first used: streams,
// cryptography and the like take milliseconds each, and most stages need only some of them, or not at once.
'use strict';

function lazily(require) {
  return (name) =>
    new Proxy(
      {},
      {
        get: (_, member) => require(name)[member],
        ownKeys: () => Reflect.ownKeys(require(name)),
        getOwnPropertyDescriptor: (_, member) => ({
          ...Reflect.getOwnPropertyDescriptor(require(name), member),
          configurable: true,
        }),
      },
    );
}

/** The code cache for a call. Run stages are most of a job and need less than the other stages, so they have their own. */
exports.cacheName = (program, argv) => {
  const isRunStage = program !== 'jacamar-admin' && argv.includes('run');
  return isRunStage ? `${program}.run.cache` : `${program}.cache`;
};

/** `script` is a bundle in the form that script/build.ts gives it. */
exports.runProgram = (script, require) => {
  const module_ = { exports: {} };
  script.runInThisContext()(module_.exports, lazily(require), module_, script.cachedDataRejected === false);
};
