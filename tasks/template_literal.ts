/**
 * Quoting of text in generated TypeScript.
 *
 * @module
 */

/** Quotes `text` as a template literal, so that diffs of the generated file read like those of its source. */
export function templateLiteral(text: string): string {
  return "`" + text.replace(/[\\`]|\$\{/g, "\\$&").replaceAll("\r", "\\r") + "`";
}
