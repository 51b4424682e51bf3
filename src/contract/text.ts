// Text from outside, made fit for a log line or a message.

/** Longest piece of foreign text in a message or log field, in UTF-16 units. */
const LONGEST = 1024;

/** Control characters and line ends of every kind. Written out, since \p{Cc} and the like take V8 half a millisecond to prepare. */
export function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is for
  return /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text);
}

/**
 * Makes foreign text harmless: C0 and C1 control characters, DEL and bidirectional marks become
 * `\u….` escapes, long text is cut. Nothing that a user chose may move a cursor or split a line.
 */
export function printable(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is for
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
