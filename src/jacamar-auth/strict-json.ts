// JSON from people who may gain something by being misunderstood: a member that stands twice, which
// JSON.parse resolves silently in favour of the last, and bytes that are no UTF-8 are errors here.

/**
 * Parses UTF-8 JSON.
 * @throws {SyntaxError} bad UTF-8, bad JSON, or one object with two members of one name (RFC 8259 section 4
 * leaves their meaning open)
 */
export function parseStrictJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  const value: unknown = JSON.parse(text);
  refuseTwins(text);
  return value;
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
function refuseTwins(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  let previous = '';
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') addName(open.at(-1), JSON.parse(previous) as string);
    previous = token;
  }
}

function addName(names: Set<string> | undefined, name: string): void {
  if (names?.has(name)) throw new SyntaxError(`member ${JSON.stringify(name)} stands twice`);
  names?.add(name);
}
