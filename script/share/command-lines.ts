// The command lines of the three programs as plain data, from the definitions that the programs themselves use.

import { commandLine as jacamar } from '../../src/jacamar/command-line.ts';
import { commandLine as jacamarAdmin } from '../../src/jacamar-admin/command-line.ts';
import { commandLine as jacamarAuth } from '../../src/jacamar-auth/command-line.ts';

type Definition = ReturnType<typeof jacamarAdmin>;

export interface Option {
  /** All spellings, with their dashes. */
  readonly names: readonly string[];
  /** What follows it, such as `file`; undefined: nothing. */
  readonly value: string | undefined;
  readonly description: string;
  readonly isRequired: boolean;
}

interface Argument {
  readonly name: string;
  readonly description: string;
  readonly repeats: boolean;
}

/** A program, or one of its sub-commands. */
export interface CommandLine {
  readonly name: string;
  readonly description: string;
  readonly options: readonly Option[];
  readonly arguments: readonly Argument[];
  readonly commands: readonly CommandLine[];
}

export function commandLines(): readonly CommandLine[] {
  const nothing = () => undefined;
  const definitions = [
    jacamarAuth(nothing),
    jacamar({ stage: nothing, signal: nothing, workspace: nothing }),
    jacamarAdmin({ trial: async () => undefined, workspace: async () => undefined }),
  ];
  return definitions.map(describe);
}

/** Values that name a file or a directory of the caller's. */
export function isFile({ value }: Option): boolean {
  return value === 'file' || value === 'path' || value === 'directory';
}

function describe(definition: Definition): CommandLine {
  const help = definition.createHelp();
  return {
    name: definition.name(),
    description: definition.description(),
    options: help.visibleOptions(definition).map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      value: /<([^>]+)>/.exec(option.flags)?.[1],
      description: option.description,
      isRequired: option.mandatory,
    })),
    arguments: definition.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
      repeats: argument.variadic,
    })),
    commands: definition.commands.map(describe),
  };
}
