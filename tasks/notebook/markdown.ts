/**
 * Notebooks as Markdown, with the outputs of their cells, for the site of the documents.
 *
 * @module
 */
import { type Notebook, type NotebookCell, type NotebookOutput, textOf } from "./notebook_file.ts";

/** Markdown of a notebook; pictures are in it as `data:` addresses. */
export function notebookMarkdown({ cells }: Notebook): string {
  return cells.map((cell) => cellMarkdown(cell).join("\n\n")).join("\n\n") + "\n";
}

function cellMarkdown({ cell_type: type, source, outputs = [] }: NotebookCell): string[] {
  const text = textOf(source);
  return type === "code" ? [fenced(text, "ts cell"), ...outputs.map(outputMarkdown)] : [text];
}

function outputMarkdown({ text, data = {}, ename, evalue }: NotebookOutput): string {
  if (text !== undefined) return fenced(textOf(text).trimEnd(), "text");
  if (ename !== undefined) return fenced(`${ename}: ${evalue}`, "text");
  const as = (type: string) => data[type] === undefined ? undefined : textOf(data[type]);
  const name = as("text/plain") ?? "output";
  const [png, html, markdown] = [as("image/png"), as("text/html"), as("text/markdown")];
  if (png !== undefined) return `![${name}](data:image/png;base64,${png.trim()})`;
  const picture = /^<img alt="([^"]*)" src="(data:image\/gif;base64,[^"]*)">$/.exec(html ?? "");
  if (picture) return `![${picture[1]}](${picture[2]})`;
  return markdown?.trim() ?? fenced(name, "text");
}

function fenced(text: string, info: string): string {
  return `\`\`\`${info}\n${text}\n\`\`\``;
}
