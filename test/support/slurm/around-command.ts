// The program behind script/slurm-lab: a lab around one command.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { SlurmLab } from './lab.ts';

const words = process.argv.slice(2);
const accounting = words[0] === '--accounting';
const [program = process.env['SHELL'] ?? '/bin/sh', ...argv] = accounting ? words.slice(1) : words;

const lab = await SlurmLab.open({ accounting });
try {
  // Ctrl-C is for the command, which has the same terminal.
  process.on('SIGINT', () => {});
  const environment = { ...process.env, SLURM_CONF: lab.configuration };
  const child = spawn(program, argv, { stdio: 'inherit', env: environment });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
} finally {
  await lab.close();
}
