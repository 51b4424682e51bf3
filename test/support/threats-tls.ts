// An authority, certificates of it that are good or bad in one way each, and a TLS server that passes everything on to
// the GitLab stand-in. Made with openssl(1), which can also sign what has expired.

import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Authorities {
  readonly directory: string;
  /** PEM of the authority. */
  readonly ca: string;
}

const SETTINGS = `[ca]
default_ca = small
[small]
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;

/** Certificates named good, other-host, expired and self-signed, for 127.0.0.1. */
export async function makeAuthorities(directory: string): Promise<Authorities> {
  await mkdir(directory, { mode: 0o700 });
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  await writeFile(join(directory, 'settings'), SETTINGS);
  await writeFile(join(directory, 'index'), '');
  await writeFile(join(directory, 'serial'), '01\n');
  const key = (name: string) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`];
  await openssl('req', '-x509', ...key('ca'), '-subj', '/CN=authority', '-days', '2', '-out', 'ca.pem');
  const sign = async (name: string, san: string, ...dates: string[]) => {
    await openssl(
      'req',
      ...key(name),
      '-subj',
      `/CN=${name}`,
      '-addext',
      `subjectAltName=${san}`,
      '-out',
      `${name}.csr`,
    );
    const authority = ['-config', 'settings', '-cert', 'ca.pem', '-keyfile', 'ca.key'];
    await openssl('ca', '-batch', '-notext', ...authority, ...dates, '-in', `${name}.csr`, '-out', `${name}.pem`);
  };
  await sign('good', 'IP:127.0.0.1', '-days', '2');
  await sign('other-host', 'DNS:gitlab.example.com', '-days', '2');
  await sign('expired', 'IP:127.0.0.1', '-startdate', '20200101000000Z', '-enddate', '20200201000000Z');
  const own = [...key('self-signed'), '-subj', '/CN=self', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  await openssl('req', '-x509', ...own, '-out', 'self-signed.pem');
  return { directory, ca: join(directory, 'ca.pem') };
}

/** Listens on 127.0.0.1 with one of the certificates. */
export async function serveTls({ directory }: Authorities, name: string, target: string) {
  const [key, cert] = await Promise.all(['key', 'pem'].map((end) => readFile(join(directory, `${name}.${end}`))));
  const server = createServer({ key, cert }, (incoming, response) => {
    const { method, headers, url } = incoming;
    const passed = request(`${target}${url}`, { ...(method === undefined ? {} : { method }), headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
