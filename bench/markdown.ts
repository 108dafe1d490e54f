/**
 * Markdown as `deno fmt` formats it, for the pages that the benchmark writes.
 *
 * @module
 */

/** Line width of `deno fmt`. */
const WIDTH = 110;

/**
 * A Markdown table, padded as `deno fmt` does.
 * @param left number of left-aligned columns; the others are right-aligned
 */
export function markdownTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  left = 0,
): string {
  const widths = heads.map((head, i) => Math.max(3, head.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const cell = (text: string, i: number) =>
    i < left ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0);
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
  const rule = widths.map((width, i) => i < left ? "-".repeat(width) : "-".repeat(width - 1) + ":");
  return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

/** A Markdown list. */
export function bulletList(items: readonly string[]): string {
  return items.map((item) => `- ${wrap(item, WIDTH - 2).replaceAll("\n", "\n  ")}`).join("\n");
}

/** Words with the code in them, which no line break may divide. */
const WORDS = /(?:[^\s`]|`[^`]*`)+/g;

/** Text in lines of at most `width` characters. */
export function wrap(text: string, width: number = WIDTH): string {
  const lines: string[] = [];
  let line = "";
  for (const [word] of text.matchAll(WORDS)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
