// The list of what of others an installation contains, for tools that watch for weaknesses: CycloneDX 1.6, JSON.
// Its number is made of its content, so that equal builds have equal lists.

import { createHash } from 'node:crypto';
import type { Part } from './bundled.ts';

const LICENCE_OF_OURS = 'Apache-2.0 OR MIT';

/** @param time in seconds since 1970 */
export function sbom(version: string, time: number, parts: readonly Part[]): string {
  const root = `pkg:generic/jacamar-ci@${version}`;
  const content = {
    metadata: {
      timestamp: new Date(time * 1000).toISOString(),
      component: {
        type: 'application',
        'bom-ref': root,
        name: 'jacamar-ci',
        version,
        licenses: [{ expression: LICENCE_OF_OURS }],
        purl: root,
      },
    },
    components: parts.map(component),
    dependencies: [
      { ref: root, dependsOn: parts.map(({ purl }) => purl) },
      ...parts.map(({ purl }) => ({ ref: purl, dependsOn: [] })),
    ],
  };
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return `${JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: uuid(digest), version: 1, ...content }, null, 2)}\n`;
}

function component(part: Part): object {
  return {
    type: 'library',
    'bom-ref': part.purl,
    name: part.name,
    version: part.version,
    ...(part.description === undefined ? {} : { description: part.description }),
    ...(part.licence === 'NOASSERTION' ? {} : { licenses: [{ expression: part.licence }] }),
    ...(part.sha512 === undefined ? {} : { hashes: [{ alg: 'SHA-512', content: part.sha512 }] }),
    purl: part.purl,
    ...(part.cpe === undefined ? {} : { cpe: part.cpe }),
    evidence: { occurrences: part.in.map((location) => ({ location })) },
  };
}

/** RFC 9562, version 8: the rest of the bits is ours to choose. */
function uuid(digest: string): string {
  const groups = [digest.slice(0, 8), digest.slice(8, 12), `8${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`];
  return `urn:uuid:${groups.join('-')}-${digest.slice(20, 32)}`;
}
