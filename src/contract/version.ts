// What `--version` prints. The bundler puts version and commit in place of the first two names below, the runtime
// knows the third.

declare const JACAMAR_VERSION: string | undefined;
declare const JACAMAR_COMMIT: string | undefined;
declare const JACAMAR_CODE_CACHE: boolean | undefined;

/** Version as in package.json; ends with `%` when the tree was not clean at build time, as upstream prints it. */
export const VERSION: string = typeof JACAMAR_VERSION === 'string' ? JACAMAR_VERSION : '0.0.0-source%';

/** Commit this was built from; ends with `%` likewise. */
const COMMIT: string = typeof JACAMAR_COMMIT === 'string' ? JACAMAR_COMMIT : 'unknown%';

/** False when V8 refused what was compiled at build time, so that every start compiles the program anew. */
const HAS_CODE_CACHE: boolean = typeof JACAMAR_CODE_CACHE === 'boolean' && JACAMAR_CODE_CACHE;

/** Lines for `--version`; tools read the version with the pattern `Version:\s*(\S+)`. */
export function versionText(): string {
  const { node, v8, openssl } = process.versions;
  return [
    `Version: ${VERSION}`,
    `Git Commit: ${COMMIT}`,
    `Node: ${node} (V8 ${v8}, OpenSSL ${openssl})`,
    `Addons: Node-API 8, ${process.platform}-${process.arch}`,
    `Code Cache: ${HAS_CODE_CACHE ? 'used' : 'not used'}`,
  ].join('\n');
}
