/**
 * Class names of data sets: checks and order.
 *
 * @module
 */

import { DataError } from "../../errors.ts";

/** Labels are bytes. */
export const MAX_CLASSES = 256;

/** Keywords of `--class` and of the server's `class`, which win over a class of the same name. */
const RESERVED: ReadonlySet<string> = new Set(["all", "any", "none"]);

/** Control characters, which a terminal may take for commands. */
const CONTROL = /\p{Cc}/u;
/** Characters that may look equal and not be. */
const NOT_ASCII = /[^\x20-\x7e]/;

/**
 * A class name in Unicode's composed form (NFC): macOS writes decomposed names, keyboards composed ones.
 *
 * @param where the folder or the place in a label file, for messages
 * @param remedy how to change the name
 * @throws {DataError} if it has control characters or is a keyword
 */
export function composedClassName(name: string, where: string, remedy: string): string {
  const composed = name.normalize("NFC");
  if (CONTROL.test(composed)) {
    throw new DataError(`${escapeControl(where)}: class names must not contain control characters`);
  }
  if (RESERVED.has(composed.toLowerCase())) {
    throw new DataError(
      `${where}: all, any and none are keywords when a class is requested; ${remedy}`,
    );
  }
  return composed;
}

/**
 * Class names in the order of their labels: code units, or numbers in theirs.
 *
 * @param areNumbers all names are whole numbers that stand for one another's order
 */
export function sortClassNames(names: Iterable<string>, areNumbers: boolean): string[] {
  const sorted = [...new Set(names)].sort();
  return areNumbers ? sorted.sort((a, b) => Number(a) - Number(b)) : sorted;
}

/** Replaces control characters by `\uXXXX`. */
export function escapeControl(text: string): string {
  return escaped(text, CONTROL);
}

/** Replaces all but printable ASCII by `\uXXXX`. */
export function escapeNotAscii(text: string): string {
  return escaped(text, NOT_ASCII);
}

function escaped(text: string, characters: RegExp): string {
  return [...text].map((one) =>
    characters.test(one) ? `\\u${one.codePointAt(0)!.toString(16).padStart(4, "0")}` : one
  )
    .join("");
}
