// The manual pages: written by hand in packaging/man, with the command lines and the keys of the configuration put in
// from their definitions.

import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { configurationFile } from '../../src/contract/config.ts';
import { type AnyKey, type AnyTable, defaultText, namedTables, statusText } from '../generate-docs.ts';
import { type CommandLine, commandLines, type Option } from './command-lines.ts';

const PAGES = join(import.meta.dirname, '../../packaging/man');

/** Path below `share`, and text. `version` and `date` (in the form 2026-11-25) stand at the foot of each page. */
export function manual(version: string, date: string): ReadonlyMap<string, string> {
  const programs = new Map(commandLines().map((each) => [each.name, each]));
  return new Map(
    globSync('*.[0-9]', { cwd: PAGES })
      .toSorted()
      .map((file) => {
        const [name = ''] = basename(file).split(/\.\d$/);
        const filled = readFileSync(join(PAGES, file), 'utf8')
          .replaceAll('@VERSION@', roff(version))
          .replaceAll('@DATE@', date)
          .replace(/^@COMMANDS@$/m, () => commands(programs.get(name)))
          .replace(/^@OPTIONS@$/m, () => options(programs.get(name)?.options ?? []))
          .replace(/^@TABLES@$/m, () => namedTables(configurationFile, '').map(tableText).join('\n'));
        return [`man/man${file.at(-1)}/${file}`, filled];
      }),
  );
}

function commands(program: CommandLine | undefined): string {
  return (program?.commands ?? []).map(commandText).join('\n');
}

function commandText(command: CommandLine): string {
  const places = command.arguments.map(({ name, repeats }) => `\\fI${roff(name)}\\fR${repeats ? ' ...' : ''}`);
  const head = [`\\fB${roff(command.name)}\\fR`, ...places].join(' ');
  const own = command.options.filter(({ names }) => !names.includes('--help'));
  const explained = command.arguments
    .filter(({ description }) => description !== '')
    .map(({ name, description }) => `.TP\n.I ${roff(name)}\n${sentence(description)}`);
  const inner = [...explained, ...(own.length === 0 ? [] : [options(own)]), ...command.commands.map(commandText)];
  return ['.TP', head, sentence(command.description), ...(inner.length === 0 ? [] : ['.RS', ...inner, '.RE'])].join(
    '\n',
  );
}

function options(all: readonly Option[]): string {
  return all
    .map(({ names, value, description, isRequired }) => {
      const spelled = names.map((name) => `\\fB${roff(name)}\\fR`).join(', ');
      const follows = value === undefined ? '' : ` \\fI${roff(value)}\\fR`;
      return `.TP\n${spelled}${follows}\n${sentence(description)}${isRequired ? ' Required.' : ''}`;
    })
    .join('\n');
}

function tableText([name, table]: readonly [string, AnyTable]): string {
  const title = table.repeated ? `[[${name}]]` : `[${name}]`;
  return [`.SS ${roff(title)}`, sentence(table.description), ...Object.values(table.keys).map(keyText)].join('\n');
}

function keyText(key: AnyKey): string {
  const status = statusText(key.notes.status);
  const value = key.notes.required ? 'required' : `default: ${defaultText(key).replace('–', 'none')}`;
  const facts = [
    `${key.label.charAt(0).toUpperCase()}${key.label.slice(1)}; ${value}.`,
    ...(status === 'works' ? [] : [`Status: ${status}.`]),
    ...(key.notes.origin === 'ours' ? ['Not upstream.'] : []),
  ];
  return `.TP\n.B ${roff(key.name)}\n${sentence(key.notes.description)}\n${marked(facts.join(' '))}`;
}

/** With a capital and a full stop, as the prose around it. */
function sentence(text: string): string {
  const start = /^[a-z][a-z]* /.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return marked(/[.!?]$/.test(start) ? start : `${start}.`);
}

/** Code between backquotes becomes bold. */
function marked(text: string): string {
  const parts = text.split('`').map((part, index) => (index % 2 === 0 ? roff(part) : `\\fB${roff(part)}\\fR`));
  return parts.join('');
}

/** A backslash, a dash that has to stay a dash, and a dot or quote that would begin a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replace(/^(?=[.'])/, '\\&');
}
