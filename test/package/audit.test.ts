// script/audit.ts against a registry of the test's own: the real one cannot be asked everywhere.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

const ADVISORY = {
  id: 1,
  url: 'https://example.com/1',
  title: 'weak',
  severity: 'low',
  vulnerable_versions: '>=0',
  cwe: [],
  cvss: { score: 0, vectorString: null },
};

const PACKAGE = {
  name: 'pino',
  'dist-tags': { latest: '1.0.0' },
  versions: { '1.0.0': { name: 'pino', version: '1.0.0', dist: {} } },
};

/** Exit status of the audit, and what it said. */
async function audit(status: number, body: unknown): Promise<{ status: number; told: string; asked: string }> {
  let asked = '';
  const registry = createServer((request, response) => {
    asked += request.url;
    // For a weak package npm wants to know its versions as well.
    const answer = request.method === 'POST' ? body : PACKAGE;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((listening) => registry.listen(0, '127.0.0.1', listening));
  const { port } = registry.address() as AddressInfo;
  const script = join(import.meta.dirname, '../../script/audit.ts');
  const env = { ...process.env, npm_config_registry: `http://127.0.0.1:${port}`, npm_config_fetch_retries: '0' };
  const result = await new Promise<{ status: number; told: string }>((resolve) => {
    execFile(process.execPath, [script], { env }, (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), told: stdout + stderr });
    });
  });
  registry.close();
  return { ...result, asked };
}

test('no known weakness is status 0', async () => {
  const { status, told, asked } = await audit(200, {});
  assert.equal(status, 0, told);
  assert.match(told, /no weakness is known of [1-9][0-9]* npm packages/);
  assert.match(asked, /advisories\/bulk/);
});

test('a known weakness is status 1, and is told', async () => {
  const { status, told } = await audit(200, { pino: [ADVISORY] });
  assert.equal(status, 1, told);
  assert.match(told, /https:\/\/example\.com\/1/);
});

test('a registry that does not answer is status 3, and is told', async () => {
  const { status, told } = await audit(405, {});
  assert.equal(status, 3, told);
  assert.match(told, /NOT CHECKED/);
});
