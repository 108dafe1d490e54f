/**
 * Text from outside (class names, paths, messages) in commands that people paste and on terminals that obey control
 * characters.
 *
 * @module
 */

/**
 * Control characters (C0, DEL, C1), lone surrogates, and what reorders or breaks the line it stands in: bidirectional
 * overrides and isolates, line and paragraph separators.
 */
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu;

/** Words that every shell takes as they are. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * Text as one word of a POSIX shell's command line: unquoted where it needs no quotes, else in single quotes, or in
 * `$'…'` (POSIX 2024; bash, zsh, ksh) where it has control characters, which stay visible as octal escapes.
 *
 * @param word any text, also empty
 */
export function shellQuote(word: string): string {
  if (PLAIN.test(word)) return word;
  if (word.search(UNPRINTABLE) < 0) return `'${word.replaceAll("'", "'\\''")}'`;
  return `$'${word.replace(/[\\']/g, "\\$&").replace(UNPRINTABLE, octal)}'`;
}

/**
 * Text for a terminal or a log: control characters but the line feed become `\u001b`, which is what JSON has for them,
 * so that a line of JSON stays the same JSON.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => character === "\n" ? character : escaped(character));
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The bytes of a character in UTF-8, since shells differ in how they write a code point. */
function octal(character: string): string {
  return [...new TextEncoder().encode(character)]
    .map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
