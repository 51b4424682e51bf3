// Finds the line of a key in the configuration file, for error messages: smol-toml tells no positions.
// The text has been parsed before, so it is valid TOML; where this scanner is not sure it answers with the
// line of what surrounds the key, and that is what it promises.

/** Names of tables and keys, and numbers of array elements, from the top of the file. */
export type KeyPath = readonly (string | number)[];

/** Paths are followed no deeper; our own keys end at the fifth part. */
const DEEPEST = 8;

/**
 * Reads a text once and answers where things are: the line, from 1, on which a key, element or table starts, or
 * the one of its nearest known container.
 */
export function lineFinder(text: string): (path: KeyPath) => number | undefined {
  const lines = new Scanner(text).scan();
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const line = lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return undefined;
  };
}

/** Blanks, line ends and comments. */
const VOID = /(?:[ \t\r\n]|#[^\n]*)*/y;
const BARE_KEY = /[A-Za-z0-9_-]+/y;
/** Numbers, dates, true, false: whatever ends at a separator. */
const BARE_VALUE = /[^,\]}#\n]+/y;

/** One pass over the text. Every step moves forward or ends the pass. */
class Scanner {
  readonly #text: string;
  readonly #lines = new Map<string, number>();
  readonly #arrays = new Map<string, number>();
  #at = 0;
  /** Lines are counted on the way, as `note` is only ever called further on. */
  #counted = { at: 0, line: 1 };

  constructor(text: string) {
    this.#text = text.replace(/^\ufeff/, '');
  }

  scan(): ReadonlyMap<string, number> {
    let table: KeyPath = [];
    this.#take(VOID);
    while (this.#at < this.#text.length) {
      const before = this.#at;
      if (this.#peek('[')) table = this.#header();
      else this.#pair(table);
      this.#take(VOID);
      if (this.#at === before) break;
    }
    return this.#lines;
  }

  #header(): KeyPath {
    const start = this.#at;
    const repeated = this.#text.startsWith('[[', start);
    this.#at += repeated ? 2 : 1;
    const path = this.#resolve(this.#key());
    this.#at += repeated ? 2 : 1;
    if (!repeated) return this.#note(path, start);
    const name = JSON.stringify(path);
    const element = (this.#arrays.get(name) ?? -1) + 1;
    this.#arrays.set(name, element);
    this.#note(path, start);
    return this.#note([...path, element], start);
  }

  /** `a.b` after `[[a]]` is the b of the last a. */
  #resolve(names: KeyPath): KeyPath {
    let path: KeyPath = [];
    for (const [position, name] of names.entries()) {
      path = [...path, name];
      const element = this.#arrays.get(JSON.stringify(path));
      if (element !== undefined && position < names.length - 1) path = [...path, element];
    }
    return path;
  }

  #pair(table: KeyPath): void {
    const start = this.#at;
    const path = [...table, ...this.#key()];
    for (let length = table.length + 1; length <= path.length; length++) this.#note(path.slice(0, length), start);
    if (this.#peek('=')) this.#at++;
    this.#take(VOID);
    this.#value(path);
  }

  #key(): string[] {
    const names: string[] = [];
    do {
      if (this.#peek('.')) this.#at++;
      this.#blanks();
      const quoted = this.#quoted();
      const name = quoted === '' ? this.#take(BARE_KEY) : unquoted(quoted);
      if (names.length < DEEPEST) names.push(name);
      this.#blanks();
    } while (this.#peek('.'));
    return names;
  }

  #value(path: KeyPath): void {
    if (this.#peek('[')) this.#list(']', (element) => this.#value(this.#note([...path, element], this.#at)));
    else if (this.#peek('{')) this.#list('}', () => this.#pair(path));
    else if (this.#quoted() === '') this.#take(BARE_VALUE);
  }

  #list(end: string, item: (element: number) => void): void {
    this.#at++;
    this.#take(VOID);
    for (let element = 0; this.#at < this.#text.length && !this.#peek(end); element++) {
      const before = this.#at;
      item(element);
      this.#take(VOID);
      if (this.#peek(',')) this.#at++;
      this.#take(VOID);
      if (this.#at === before) return;
    }
    this.#at++;
  }

  /** Remembers where a path is met first. */
  #note(path: KeyPath, at: number): KeyPath {
    const { text, counted } = { text: this.#text, counted: this.#counted };
    for (; counted.at < at; counted.at++) if (text[counted.at] === '\n') counted.line++;
    const name = JSON.stringify(path);
    if (!this.#lines.has(name)) this.#lines.set(name, counted.line);
    return path;
  }

  /** A string of any of the four kinds with its quotes, or nothing. By hand, because it may be a megabyte long. */
  #quoted(): string {
    const text = this.#text;
    const start = this.#at;
    const quote = text[start] ?? '';
    if (quote !== '"' && quote !== "'") return '';
    const end = text.startsWith(quote.repeat(3), start) ? quote.repeat(3) : quote;
    this.#at += end.length;
    while (this.#at < text.length && !text.startsWith(end, this.#at))
      this.#at += this.#peek('\\') && quote === '"' ? 2 : 1;
    this.#at += end.length;
    // Up to two quotes may stand before the closing three and belong to the string.
    while (end.length === 3 && this.#peek(quote)) this.#at++;
    return text.slice(start, this.#at);
  }

  #blanks(): void {
    while (this.#peek(' ') || this.#peek('\t')) this.#at++;
  }

  #peek(character: string): boolean {
    return this.#text[this.#at] === character;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const taken = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += taken.length;
    return taken;
  }
}

/** Only the escapes that JSON shares with TOML; a key with others is found by its table. */
function unquoted(text: string): string {
  if (text.startsWith("'")) return text.slice(1, -1);
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
