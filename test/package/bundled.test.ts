// What of others is in the programs: each part is on the list that an installation carries (SBOM), with its licence.

import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bundledPackages, NODE_PACKAGE_NAME } from '../../script/share/bundled.ts';

const ROOT = join(import.meta.dirname, '../..');
const SHARE = join(ROOT, 'build/share');

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly licenses?: readonly { readonly expression: string }[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly evidence: { readonly occurrences: readonly { readonly location: string }[] };
}

const sbom = JSON.parse(readFileSync(join(SHARE, 'sbom.cdx.json'), 'utf8'));
const components: readonly Component[] = sbom.components;
const ofNode = ({ description }: Component) => description === 'part of Node.js';

describe('what is bundled', () => {
  it('is the npm packages that packaging/bundled-packages.json allows, and no others', () => {
    const allowed = JSON.parse(readFileSync(join(ROOT, 'packaging/bundled-packages.json'), 'utf8'));
    assert.deepEqual(bundledPackages(), allowed);
  });

  it('has a text of its licence beside the programs', () => {
    for (const { name } of components.filter((each) => !ofNode(each))) {
      const texts = globSync('*', { cwd: join(SHARE, 'licenses', name.replace('/', '-')) });
      assert.ok(texts.length > 0, name);
    }
    // That of Node has those of its parts.
    const text = readFileSync(join(SHARE, 'licenses', NODE_PACKAGE_NAME, 'LICENSE'), 'utf8');
    for (const part of ['V8', 'OpenSSL', 'zlib', 'ICU', 'libuv', 'nghttp2'])
      assert.ok(text.includes(`- ${part}`), part);
  });
});

describe('the SBOM', () => {
  it('is CycloneDX with what every tool expects', () => {
    assert.deepEqual([sbom.bomFormat, sbom.specVersion, sbom.version], ['CycloneDX', '1.6', 1]);
    assert.match(sbom.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    const references = components.map((each) => each['bom-ref']);
    assert.equal(new Set(references).size, references.length);
    const [whole, ...parts] = sbom.dependencies;
    assert.equal(whole.ref, sbom.metadata.component['bom-ref']);
    assert.deepEqual(whole.dependsOn, references);
    assert.deepEqual(
      parts.map(({ ref }: { ref: string }) => ref),
      references,
    );
  });

  it('has every npm package of the bundles in the version and with the checksum that are locked', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    for (const name of new Set(Object.values(bundledPackages()).flat())) {
      const component = components.find((each) => each.name === name);
      const locked = packages[`node_modules/${name}`];
      assert.equal(component?.version, locked.version, name);
      assert.equal(component?.licenses?.[0]?.expression, locked.license);
      const checksum = Buffer.from(component?.hashes?.[0]?.content ?? '', 'hex').toString('base64');
      assert.equal(`sha512-${checksum}`, locked.integrity);
    }
  });

  it('has Node and the libraries in it, and what the launchers are linked with', () => {
    const versions = new Map(components.map(({ name, version }) => [name, version]));
    assert.equal(versions.get(NODE_PACKAGE_NAME), process.versions.node);
    for (const name of ['v8', 'openssl', 'uv', 'zlib'] as const)
      assert.equal(versions.get(name), process.versions[name]);
    for (const name of ['glibc', 'libstdc++', 'node-addon-api']) assert.ok(versions.has(name), name);
  });

  it('names files of an installation only', () => {
    const places = new Set(components.flatMap(({ evidence }) => evidence.occurrences.map(({ location }) => location)));
    const built: Record<string, string> = { bin: 'native/bin', lib: 'Release', libexec: 'runtime' };
    for (const place of places) {
      const [directory = '', file = ''] = place.split('/');
      assert.ok(existsSync(join(ROOT, 'build', built[directory] ?? '?', file)), place);
    }
  });
});
