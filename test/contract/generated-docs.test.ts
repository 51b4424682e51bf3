// What is written about the configuration is what the schema says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { generateDocs } from '../../script/generate-docs.ts';
import { parseConfiguration, requireAuth } from '../../src/contract/config.ts';

const files = generateDocs();
const sample = files.get('packaging/custom.toml') ?? '';

describe('a generated file', () => {
  for (const [path, text] of files) {
    it(`is what script/generate-docs.ts writes: ${path}`, () => {
      assert.equal(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), text);
    });
  }
});

describe('the sample configuration', () => {
  it('can be used as it is', () => {
    assert.equal(requireAuth(parseConfiguration(sample, 'custom.toml')).auth.downscope, 'setuid');
  });

  it('can be used with every setting switched on', () => {
    const everything = sample.replaceAll(/^( *)#(?=[a-z[])/gm, '$1');
    assert.notEqual(everything, sample);
    const { auth } = parseConfiguration(everything, 'custom.toml');
    assert.equal(auth.mapping[0]?.account, 'alice');
    assert.equal(auth.runas.validationScript, '/etc/gitlab-runner/runas.bash');
  });
});

describe('the documentation', () => {
  it('has an example that can be used', () => {
    const example = /```toml\n([\s\S]*?)```/.exec(files.get('docs/configuration.md') ?? '')?.[1] ?? '';
    requireAuth(parseConfiguration(example, 'custom.toml'));
  });
});

describe('the JSON Schema', () => {
  const schema = JSON.parse(files.get('docs/configuration.schema.json') ?? '');

  it('refuses unknown names and demands what is required', () => {
    assert.equal(schema.additionalProperties, false);
    assert.equal(schema.properties.auth.properties.logging.additionalProperties, false);
    assert.deepEqual(schema.required, ['general']);
    assert.deepEqual(schema.properties.general.required, ['executor', 'data_dir']);
  });

  it('carries defaults and bounds', () => {
    const { min_uid } = schema.properties.auth.properties;
    assert.deepEqual([min_uid.type, min_uid.default, min_uid.minimum], ['integer', 1000, 1]);
  });
});
