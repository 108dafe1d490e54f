/** Parser for the tables of docs/paper.md, and checks of their claims. */

/** A table row. */
export interface PaperRow {
  /** Heading of the paper's section: authors and year. */
  readonly paper: string;
  /** Line of the paper that the file cites, alone or in a list; empty if a row continues the one above. */
  readonly line: string;
  readonly says: string;
  readonly file: string;
  readonly symbols: readonly string[];
}

/**
 * Reads all rows.
 *
 * @throws {Error} for a row without four columns, or with a file that is not a link to itself
 */
export function readPaper(markdown: string): PaperRow[] {
  let paper = "";
  const rows: PaperRow[] = [];
  for (const text of markdown.split("\n")) {
    paper = /^## (.*)/.exec(text)?.[1] ?? paper;
    if (!text.startsWith("|") || /^\| *(line of the paper|-+) *\|/.test(text)) continue;
    const cells = text.split("|").slice(1, -1).map((cell) => cell.trim());
    const [line, says, link, symbols] = cells;
    const [, file, target] = /^\[`([^`]+)`\]\(\.\.\/(.+)\)$/.exec(link) ?? [];
    if (cells.length !== 4 || file === undefined || file !== target) throw new Error(`not a row: ${text}`);
    rows.push({
      paper,
      line,
      says,
      file,
      symbols: [...symbols.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    });
  }
  return rows;
}

/** True if a TypeScript or WGSL file declares a symbol; `Class.member` is a member of that class. */
export function declares(text: string, file: string, symbol: string): boolean {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  if (file.endsWith(".wgsl")) {
    return new RegExp(`^\\s*(fn|struct|override|const|alias)\\s+${symbol}\\b`, "m").test(code);
  }
  const [name, member] = symbol.split(".");
  const declaration = `(?:export )?(?:async )?(?:function\\*?|const|class|interface|type) ${name}\\b`;
  if (member === undefined) return new RegExp(`^${declaration}`, "m").test(code);
  const [body] = new RegExp(`^${declaration}[^]*?^\\}`, "m").exec(code) ?? [""];
  const modifiers = "(?:(?:static|readonly|async|get|override) )*\\*?";
  return new RegExp(`^  ${modifiers}${member}\\s*[(:=<]`, "m").test(body);
}

/** Equations, lines of algorithms, sections, tables and appendices that the comments of a text, or plain text, cite. */
export function citationsIn(text: string): Set<string> {
  const prose = commentsOf(text);
  const found = new Set<string>();
  const list = "(\\d+(?:\\.\\d+)*(?:(?:, | and |, and | to )\\d+(?:\\.\\d+)*)*)";
  for (const kind of ["equation", "section", "table"]) {
    for (const [, numbers] of prose.matchAll(new RegExp(`\\b${kind}s? ${list}`, "gi"))) {
      for (const [number] of numbers.matchAll(/\d+(\.\d+)*/g)) found.add(`${kind} ${number}`);
    }
  }
  for (
    const [, number, lines] of prose.matchAll(new RegExp(`\\balgorithm (\\d+)(?:, lines? ${list})?`, "gi"))
  ) {
    found.add(`algorithm ${number}`);
    for (const line of linesIn(lines ?? "")) found.add(`algorithm ${number}, line ${line}`);
  }
  for (const [, letter] of prose.matchAll(/\bappendix ([a-z])\b/gi)) {
    found.add(`appendix ${letter.toLowerCase()}`);
  }
  return found;
}

/** Numbers of a list such as "1, 3 and 5" or "2 to 5". */
function linesIn(list: string): number[] {
  const numbers = [...list.matchAll(/\d+/g)].map(Number);
  const [first, last] = numbers;
  if (!list.includes(" to ")) return numbers;
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** True if a comment names a paper by authors and year. */
export function isCited(text: string, paper: string): boolean {
  return commentsOf(text).includes(paper);
}

/** Comments as running text; text without any is prose itself. */
function commentsOf(text: string): string {
  const comments = text.match(/\/\*[\s\S]*?\*\/|\/\/.*/g) ?? [text];
  return comments.join("\n").replace(/^\s*(\/\*+|\*\/?|\/\/)/gm, " ").replaceAll("&", "and").replace(
    /\s+/g,
    " ",
  );
}
