import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfigOutput } from '../../src/jacamar-admin/config-output.ts';

const accepted: [string, string, object][] = [
  ['no output changes nothing', '', {}],
  ['a null document changes nothing', 'null\n', {}],
  ['names match in any case', '{"Builds_Dir":"/b"}', { builds_dir: '/b' }],
  ['unknown names are ignored', '{"future":1}', {}],
  ['a null member is absent', '{"builds_dir":null}', {}],
  ['an empty directory is kept, to be complained about', '{"builds_dir":""}', { builds_dir: '' }],
  ['blanks around the document are fine', ' {"shell":"bash"} \n', { shell: 'bash' }],
  ['a null in job_env is an empty text', '{"job_env":{"A":null}}', { job_env: { A: '' } }],
];

for (const [title, stdout, result] of accepted) {
  test(`config output: ${title}`, () => assert.deepEqual(parseConfigOutput(stdout), { kind: 'parsed', result }));
}

const refused: [string, string][] = [
  ['a lone newline', '\n'],
  ['text before the document', 'hello {"shell":"bash"}'],
  ['text behind the document', '{"shell":"bash"} hello'],
  ['two documents', '{}{}'],
  ['a list', '[]'],
  ['a number in job_env', '{"job_env":{"A":1}}'],
  ['a text where a boolean belongs', '{"builds_dir_is_shared":"true"}'],
  ['a number as directory', '{"builds_dir":1}'],
  ['coloured text', '\u001b[31merror'],
];

for (const [title, stdout] of refused) {
  test(`config output that cannot be parsed: ${title}`, () => {
    const parsed = parseConfigOutput(stdout);
    assert.equal(parsed.kind, 'bad');
    assert.match((parsed as { text: string }).text, /^error while parsing JSON output: /);
  });
}
