// A command line as getopt_long(3) reads it: prefixes of long options, bundles of short ones, the last of a kind wins.

export interface OptionShape {
  readonly long: string;
  readonly short?: string;
  readonly takes: 'value' | 'optional' | 'nothing';
}

export interface CommandLine {
  /** By long name; an option without a value has an empty one. */
  readonly options: ReadonlyMap<string, string>;
  readonly words: readonly string[];
  /** The word that getopt would complain about. */
  readonly unrecognized?: string;
}

/**
 * @param isPermuting options may stand behind words; otherwise the first word ends them
 * @param abbreviates long options may be cut short
 */
export function readCommandLine(
  argv: readonly string[],
  shapes: readonly OptionShape[],
  isPermuting: boolean,
  abbreviates = true,
): CommandLine {
  const options = new Map<string, string>();
  const words: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') return { options, words: [...words, ...rest] };
    if (!word.startsWith('-') || word === '-') {
      words.push(word);
      if (!isPermuting) return { options, words: [...words, ...rest] };
      continue;
    }
    const isKnown = word.startsWith('--')
      ? readLong(word, shapes, abbreviates, rest, options)
      : readShort(word, shapes, rest, options);
    if (!isKnown) return { options, words, unrecognized: word };
  }
  return { options, words };
}

function readLong(
  word: string,
  shapes: readonly OptionShape[],
  abbreviates: boolean,
  rest: string[],
  into: Map<string, string>,
): boolean {
  const [, name = '', , value] = /^--([^=]*)(=(.*))?$/s.exec(word) ?? [];
  const candidates = shapes.filter(({ long }) => long.startsWith(name));
  const only = abbreviates && candidates.length === 1 ? candidates[0] : undefined;
  const shape = candidates.find(({ long }) => long === name) ?? only;
  if (shape === undefined) return false;
  into.set(shape.long, value ?? (shape.takes === 'value' ? (rest.shift() ?? '') : ''));
  return true;
}

function readShort(word: string, shapes: readonly OptionShape[], rest: string[], into: Map<string, string>): boolean {
  for (let at = 1; at < word.length; at += 1) {
    const shape = shapes.find(({ short }) => short === word[at]);
    if (shape === undefined) return false;
    if (shape.takes === 'nothing') {
      into.set(shape.long, '');
      continue;
    }
    const attached = word.slice(at + 1);
    into.set(shape.long, attached !== '' || shape.takes === 'optional' ? attached : (rest.shift() ?? ''));
    return true;
  }
  return true;
}

export const value = (long: string, short?: string): OptionShape => ({ long, takes: 'value', ...(short && { short }) });
export const flag = (long: string, short?: string): OptionShape => ({
  long,
  takes: 'nothing',
  ...(short && { short }),
});
