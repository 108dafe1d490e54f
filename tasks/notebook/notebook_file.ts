/**
 * Jupyter notebooks as files (nbformat 4).
 *
 * @module
 */
import { DataError } from "../../lib/errors.ts";

/** Text of a cell or an output: lines with their ends, or all in one. */
export type Lines = string | readonly string[];

/** Output of a cell. */
export interface NotebookOutput {
  /** A printed `stream`, `display_data`, the `execute_result` of the last expression, or an `error`. */
  readonly output_type: "stream" | "display_data" | "execute_result" | "error";
  /** Of a stream: `stdout` or `stderr`. */
  readonly name?: string;
  /** Of a stream. */
  readonly text?: Lines;
  /** Of data and results: representations by media type, binary ones in base64. */
  readonly data?: Readonly<Record<string, Lines>>;
  /** Of an error: its name. */
  readonly ename?: string;
  /** Of an error: its message. */
  readonly evalue?: string;
}

/** A cell: text in Markdown, or code and what it put out. */
export interface NotebookCell {
  readonly cell_type: "code" | "markdown" | "raw";
  readonly id?: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly source: Lines;
  readonly outputs?: readonly NotebookOutput[];
}

/** A notebook. */
export interface Notebook {
  readonly cells: readonly NotebookCell[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly nbformat: number;
  readonly nbformat_minor: number;
}

/** Lines as one text. */
export function textOf(lines: Lines): string {
  return typeof lines === "string" ? lines : lines.join("");
}

/**
 * Reads a notebook.
 *
 * @throws {DataError} naming the file if it is not one
 */
export async function readNotebook(file: string): Promise<Notebook> {
  let notebook: Partial<Notebook>;
  try {
    notebook = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    throw new DataError(`${file}: cannot be read as a notebook: ${(error as Error).message}`);
  }
  if (!Array.isArray(notebook.cells) || notebook.nbformat !== 4) {
    throw new DataError(`${file}: expected a notebook of nbformat 4`);
  }
  return notebook as Notebook;
}

/** A notebook as a file's text, as Jupyter writes it. */
export function encodeNotebook(notebook: Notebook): string {
  return JSON.stringify(notebook, null, 1) + "\n";
}

/**
 * A notebook without what differs from run to run, or by the machine: times of execution, versions, and the pieces in which
 * printed text arrived.
 */
export function withoutTraces({ cells, metadata, ...rest }: Notebook): Notebook {
  const { language_info = {}, ...others } = metadata;
  const { version: _, ...language } = language_info as Record<string, unknown>;
  return {
    cells: cells.map((cell) => {
      const { execution: _, ...metadata } = cell.metadata;
      return { ...cell, metadata, ...(cell.outputs && { outputs: joinStreams(cell.outputs) }) };
    }),
    metadata: { ...others, language_info: language },
    ...rest,
  };
}

/** Outputs in which printed text is one, where nothing else came between. */
function joinStreams(outputs: readonly NotebookOutput[]): NotebookOutput[] {
  const joined: NotebookOutput[] = [];
  for (const output of outputs) {
    const last = joined.at(-1);
    if (output.text !== undefined && last?.text !== undefined && last.name === output.name) {
      const text = textOf(last.text) + textOf(output.text);
      joined[joined.length - 1] = { ...last, text: text.split(/(?<=\n)/) };
    } else joined.push(output);
  }
  return joined;
}
