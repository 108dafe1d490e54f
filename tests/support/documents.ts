/** Documents of the project: their code blocks, commands and headings. */
import { fileURLToPath } from "node:url";
import { readDocument } from "../../tasks/docs/documents.ts";
import { PAGES } from "../../tasks/docs/pages.ts";

/** Root of the project. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** All documents, from the root of the project. */
export const DOCUMENTS: readonly string[] = [
  ...PAGES.map(({ file }) => file),
  ...["cifar10", "cifar10-tiny", "classifier"].map((model) => `checkpoints/${model}/README.md`),
  "bench/results/nvidia-h200/README.md",
];

/** A code block of a document. */
export interface CodeBlock {
  readonly document: string;
  /** Line of its first line in the document, from 1. */
  readonly line: number;
  readonly language: string;
  /** What follows the language. */
  readonly info: string;
  readonly code: string;
}

/** Code blocks of a document. */
export async function blocksOf(document: string): Promise<CodeBlock[]> {
  const text = await readDocument(ROOT, document);
  const blocks = text.matchAll(/^```(\w*) ?(.*)\n([\s\S]*?)^```$/gm);
  return Array.from(blocks, ({ index, 1: language, 2: info, 3: code }) => {
    return { document, line: text.slice(0, index).split("\n").length + 1, language, info, code };
  });
}

/** A command of a document. */
export interface DocumentCommand {
  readonly where: string;
  /** As one line for a shell, without comments. */
  readonly text: string;
}

/** Commands of a block: every line of `sh`, those after `$` of `console`; lines that end in a pipe or backslash are joined. */
export function commandsOf({ document, line, language, code }: CodeBlock): DocumentCommand[] {
  if (language !== "sh" && language !== "console") return [];
  const commands: DocumentCommand[] = [];
  let open = "";
  for (const [i, text] of code.split("\n").entries()) {
    const begins = language === "sh" || text.startsWith("$ ");
    if (open === "" && !begins) continue;
    const part = (language === "sh" ? text : text.replace(/^\$ /, "")).replace(/\s+#\s.*$/, "").trim();
    open = `${open} ${part}`.trim();
    if (/[|\\]$/.test(open)) {
      open = open.replace(/\\$/, "").trim();
      continue;
    }
    if (open !== "") commands.push({ where: `${document}:${line + i}`, text: open });
    open = "";
  }
  return commands;
}

/** All commands of all documents, each text once. */
export async function allCommands(): Promise<DocumentCommand[]> {
  const all = (await Promise.all(DOCUMENTS.map(blocksOf))).flat().flatMap(commandsOf);
  return [...new Map(all.toReversed().map((command) => [command.text, command])).values()].reverse();
}
