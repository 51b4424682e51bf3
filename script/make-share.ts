// Build step: what an installation has in `share` and is made from the sources and the bundles. Manual pages,
// completions, the list of what of others is in it (SBOM), and their licences. Says how many npm packages the
// privileged program contains, and fails when a program contains others than packaging/bundled-packages.json allows.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { bundledPackages, type Part, parts, ROOT } from './share/bundled.ts';
import { completions } from './share/completions.ts';
import { manual } from './share/manual.ts';
import { sbom } from './share/sbom.ts';

const OUT = join(ROOT, 'build/share');
/** All of them let us pass on binaries, with their text beside. */
const ACCEPTED = ['MIT', 'ISC', 'BSD-3-Clause', 'LGPL-2.1-or-later', 'GPL-3.0-or-later WITH GCC-exception-3.1'];

function write(path: string, text: string): void {
  mkdirSync(dirname(join(OUT, path)), { recursive: true });
  writeFileSync(join(OUT, path), text);
}

function copy(source: string, path: string): void {
  mkdirSync(dirname(join(OUT, path)), { recursive: true });
  copyFileSync(source, join(OUT, path));
}

function checkPackages(): void {
  const found = bundledPackages();
  const allowed = readFileSync(join(ROOT, 'packaging/bundled-packages.json'), 'utf8');
  const privileged = found['jacamar-auth'] ?? [];
  process.stdout.write(`jacamar-auth contains ${privileged.length} npm packages: ${privileged.join(', ')}\n`);
  if (JSON.stringify(JSON.parse(allowed)) === JSON.stringify(found)) return;
  throw new Error(`packaging/bundled-packages.json does not list what is bundled: ${JSON.stringify(found, null, 2)}`);
}

function checkLicences(all: readonly Part[]): void {
  const unknown = all.filter(({ texts, licence }) => texts.length > 0 && !ACCEPTED.includes(licence));
  const silent = all.filter(({ texts, description }) => texts.length === 0 && description !== 'part of Node.js');
  if (unknown.length === 0 && silent.length === 0) return;
  const complaints = [...unknown, ...silent].map(({ name, licence }) => `${name} (${licence})`);
  throw new Error(`licence not accepted, or without a text: ${complaints.join(', ')}`);
}

function licences(all: readonly Part[]): void {
  for (const file of ['LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT'])
    copy(join(ROOT, file), `licenses/jacamar-ci/${file}`);
  for (const { name, texts } of all) {
    for (const text of texts) copy(text, `licenses/${name.replace('/', '-')}/${basename(text)}`);
  }
}

checkPackages();
const all = parts();
checkLicences(all);
rmSync(OUT, { recursive: true, force: true });
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const time = Number(process.env['SOURCE_DATE_EPOCH'] ?? execFileSync(join(ROOT, 'script/source-date')).toString());
const date = new Date(time * 1000).toISOString().slice(0, 10);
for (const [path, text] of [...manual(version, date), ...completions()]) write(path, text);
write('sbom.cdx.json', sbom(version, time, all));
licences(all);
