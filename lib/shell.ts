/**
 * Escaping of untrusted text (class names, paths, messages) for shell commands and terminals.
 *
 * @module
 */

/**
 * Control characters (C0, DEL, C1), lone surrogates, and characters that reorder or break lines: bidirectional overrides
 * and isolates, line and paragraph separators.
 */
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

/** Words that need no quotes in any shell. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * Quotes text as one word for a POSIX shell: unquoted if possible, else in single quotes, or in `$'…'` (POSIX 2024; bash,
 * zsh, ksh) with octal escapes if it has control characters.
 *
 * @param word any text, possibly empty
 */
export function shellQuote(word: string): string {
  if (PLAIN.test(word)) return word;
  if (word.search(UNPRINTABLE) < 0) return `'${word.replaceAll("'", "'\\''")}'`;
  return `$'${word.replace(/[\\']/g, "\\$&").replace(UNPRINTABLE, octal)}'`;
}

/**
 * Escapes text for a terminal or a log: control characters except the line feed become escapes like `\u001b`. Those are
 * JSON's escapes, so that a line of JSON keeps its value.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => character === "\n" ? character : escaped(character));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Octal escapes of a character's UTF-8 bytes; escapes of code points differ between shells. */
function octal(character: string): string {
  return [...new TextEncoder().encode(character)]
    .map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
