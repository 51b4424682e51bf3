// A syslog of the test's own: the command runs in a mount namespace whose /dev has a log socket, and what arrives on
// it comes back as text. The machine's own syslog sees nothing of it.

import { chmod, readFile, rm, writeFile } from 'node:fs/promises';

// The lines wait in the socket until the command has ended, so one process does for both.
const CATCHER = `
use IO::Socket::UNIX;
my $into = shift;
system('mount', '-t', 'tmpfs', '-o', 'mode=755', 'none', '/dev') == 0 or die 'mount';
system('mknod', '-m', '666', '/dev/null', 'c', '1', '3') == 0 or die 'mknod';
system('mknod', '-m', '666', '/dev/urandom', 'c', '1', '9') == 0 or die 'mknod';
my $log = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => '/dev/log', Listen => 0) or die 'socket';
my $status = system(@ARGV);
$log->blocking(0);
open(my $file, '>>', $into) or die 'file';
while (defined $log->recv(my $line, 65536)) { print $file "$line\\n" }
close $file;
exit($status >> 8 || $status & 127);
`;

export interface SyslogCatcher {
  /** Runs the wrapped program with its own arguments. */
  readonly executable: string;
  /** What arrived so far, one message per line. */
  lines(): Promise<string[]>;
  /** Forgets what arrived. */
  clear(): Promise<void>;
}

/** Wraps `program`; both files are made in `directory`, which only root can enter. */
export async function catchSyslog(program: string, directory: string): Promise<SyslogCatcher> {
  const [catcher, executable, received] = ['catcher.pl', 'with-syslog', 'syslog'].map(
    (name) => `${directory}/${name}`,
  ) as [string, string, string];
  await writeFile(catcher, CATCHER);
  await writeFile(executable, `#!/bin/sh\nexec unshare --mount perl ${catcher} ${received} ${program} "$@"\n`);
  await chmod(executable, 0o700);
  return {
    executable,
    lines: async () => (await readFile(received, 'utf8').catch(() => '')).split('\n').filter((line) => line !== ''),
    clear: () => rm(received, { force: true }),
  };
}
