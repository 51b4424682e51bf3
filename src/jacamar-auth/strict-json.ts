// JSON from people who may gain something by being misunderstood: a member that stands twice, which
// JSON.parse resolves silently in favour of the last, and what is no Unicode text are errors here.

/**
 * Parses UTF-8 JSON.
 * @throws {SyntaxError} bad UTF-8, bad JSON, half a surrogate pair (RFC 8259 section 8.2 calls the outcome
 * unpredictable), or one object with two members of one name (section 4 leaves their meaning open)
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  const value = parse(text);
  refuseAmbiguity(text);
  return value;
}

/** JSON.parse quotes the text, which may hold a secret, in its message; here only the cause does. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError('not JSON', { cause });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SyntaxError('not UTF-8');
  }
}

/** Strings, and the characters that give JSON its structure; everything else is of no interest here. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

/** `text` is known to be valid JSON, so a string before a colon is a member's name. */
function refuseAmbiguity(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  let previous = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token.includes('\\u')) refuseHalfPairs(JSON.parse(token) as string);
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') addName(open.at(-1), JSON.parse(previous) as string);
    previous = token;
  }
}

function refuseHalfPairs(text: string): void {
  if (!text.isWellFormed()) throw new SyntaxError('a string holds half a surrogate pair');
}

function addName(names: Set<string> | undefined, name: string): void {
  if (names?.has(name)) throw new SyntaxError(`member ${JSON.stringify(name)} stands twice`);
  names?.add(name);
}
