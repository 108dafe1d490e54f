/**
 * Documents as Markdown.
 *
 * @module
 */
import { join } from "node:path";
import { notebookMarkdown } from "../notebook/markdown.ts";
import { readNotebook } from "../notebook/notebook_file.ts";

/**
 * Text of a document in Markdown, a notebook's with the outputs of its cells.
 *
 * @param root the repository
 * @param file from the repository's root
 */
export async function readDocument(root: string, file: string): Promise<string> {
  const path = join(root, file);
  return file.endsWith(".ipynb") ? notebookMarkdown(await readNotebook(path)) : await Deno.readTextFile(path);
}
