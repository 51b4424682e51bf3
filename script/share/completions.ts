// Completion of command lines in bash, zsh and fish, made from their definitions.

import { type CommandLine, commandLines, isFile, type Option } from './command-lines.ts';

/** Path below `share`, and text. */
export function completions(): ReadonlyMap<string, string> {
  return new Map(
    commandLines().flatMap((program) => [
      [`bash-completion/completions/${program.name}`, bash(program)],
      [`zsh/site-functions/_${program.name}`, zsh(program)],
      [`fish/vendor_completions.d/${program.name}.fish`, fish(program)],
    ]),
  );
}

const names = (options: readonly Option[]) => options.flatMap((option) => option.names);
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

const wordsOf = ({ commands }: CommandLine) => commands.map(({ name }) => name);

/** With the options of its own sub-commands, which are offered together with it: they are few. */
function withInner(command: CommandLine): CommandLine {
  const all = [command, ...command.commands].flatMap(({ options }) => options);
  return { ...command, options: [...new Map(all.map((option) => [option.names.join(), option])).values()] };
}

/** The sub-command decides which options there are; an option with a value is asked for that first. */
function bash(program: CommandLine): string {
  const whole = [program, ...program.commands.map(withInner)];
  const files = names(whole.flatMap(({ options }) => options).filter(isFile));
  const others = names(
    whole.flatMap(({ options }) => options).filter((option) => option.value !== undefined && !isFile(option)),
  );
  const function_ = `_${program.name.replaceAll('-', '_')}`;
  const words = (command: CommandLine) => [...wordsOf(command), ...names(withInner(command).options)].join(' ');
  return [
    `# bash completion of ${program.name}; made by script/share/completions.ts`,
    `${function_}() {`,
    '  local current=$2 previous=$3 word command=',
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    `    case $word in ${wordsOf(program).join(' | ')}) command=$word && break ;; esac`,
    '  done',
    '  case $previous in',
    ...cases([
      [files, `mapfile -t COMPREPLY < <(compgen -f -- "$current"); return`],
      [others, 'COMPREPLY=(); return'],
    ]),
    '  esac',
    '  local words',
    '  case $command in',
    ...program.commands.map((command) => `    ${command.name}) words=${quoted(words(command))} ;;`),
    `    *) words=${quoted([...wordsOf(program), ...names(program.options)].join(' '))} ;;`,
    '  esac',
    `  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")`,
    '}',
    `complete -o filenames -F ${function_} ${program.name}`,
    '',
  ].join('\n');
}

function cases(all: readonly (readonly [readonly string[], string])[]): string[] {
  return all.filter(([words]) => words.length > 0).map(([words, act]) => `    ${words.join(' | ')}) ${act} ;;`);
}

function zsh(program: CommandLine): string {
  const describe = (command: CommandLine) => quoted(`${command.name}:${command.description.replaceAll(':', '\\:')}`);
  return [
    `#compdef ${program.name}`,
    '# Made by script/share/completions.ts',
    'local curcontext=$curcontext state line',
    'typeset -A opt_args',
    `_arguments -C ${program.options.map(zshOption).join(' ')} '1: :->command' '*:: :->rest'`,
    'case $state in',
    `  command) local -a commands=(${program.commands.map(describe).join(' ')}); _describe command commands ;;`,
    '  rest)',
    '    case $words[1] in',
    ...program.commands.map((command) => `      ${command.name}) ${zshArguments(command)} ;;`),
    '    esac ;;',
    'esac',
    '',
  ].join('\n');
}

function zshArguments(command: CommandLine): string {
  const inner = command.commands.length === 0 ? [] : [quoted(`1: :(${wordsOf(command).join(' ')})`)];
  const places = command.arguments.map(({ name, repeats }) => quoted(`${repeats ? '*' : ''}:${name}:_files`));
  return `_arguments ${[...withInner(command).options.map(zshOption), ...inner, ...places].join(' ')}`;
}

function zshOption(option: Option): string {
  const text = option.description.replaceAll(/[[\]:]/g, '\\$&');
  const value = option.value === undefined ? '' : `:${option.value}:${isFile(option) ? '_files' : ' '}`;
  const [first = '', second] = option.names;
  const rest = quoted(`[${text}]${value}`);
  return second === undefined ? `${first}${rest}` : `'(${first} ${second})'{${first},${second}}${rest}`;
}

function fish(program: CommandLine): string {
  const start = `complete -c ${program.name}`;
  return [
    `# fish completion of ${program.name}; made by script/share/completions.ts`,
    `${start} -f`,
    ...program.commands.map(
      ({ name, description }) => `${start} -n __fish_use_subcommand -a ${name} -d ${fishText(description)}`,
    ),
    ...program.options.map((option) => `${start} -n __fish_use_subcommand ${fishOption(option)}`),
    ...program.commands.flatMap((command) => {
      const behind = `${start} -n '__fish_seen_subcommand_from ${command.name}'`;
      const inner = command.commands.length === 0 ? [] : [`${behind} -a ${quoted(wordsOf(command).join(' '))}`];
      return [...inner, ...withInner(command).options.map((option) => `${behind} ${fishOption(option)}`)];
    }),
    '',
  ].join('\n');
}

function fishOption(option: Option): string {
  const spelled = option.names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const value = option.value === undefined ? [] : isFile(option) ? ['-r', '-F'] : ['-x'];
  return [...spelled, ...value, '-d', fishText(option.description)].join(' ');
}

function fishText(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}
