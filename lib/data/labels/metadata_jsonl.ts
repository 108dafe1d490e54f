/**
 * `metadata.jsonl`, as Hugging Face's `imagefolder` has it: a JSON object a line, with `file_name` and further columns.
 *
 * @module
 */

import { checkLabel, labelColumn, type LabelEntries } from "./label_entries.ts";

/** Parses the file; see {@linkcode LabelReader}. */
export function readMetadataJsonl(text: string, wanted: string | undefined): LabelEntries {
  const rows = text.split("\n").flatMap((line, i) =>
    line.trim() === "" ? [] : [{ where: `line ${i + 1}`, row: parseRow(line, `line ${i + 1}`) }]
  );
  const columns = [...new Set(rows.flatMap(({ row }) => Object.keys(row)))];
  const column = labelColumn(columns, wanted);
  const entries = rows.map(({ row, where }) => {
    const { file_name: image } = row;
    if (typeof image !== "string") throw new Error(`${where}: expected file_name, the path of an image`);
    return { image, label: column === undefined ? null : checkLabel(row[column], where), where };
  });
  return { entries, column };
}

function parseRow(line: string, where: string): Readonly<Record<string, unknown>> {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`);
  }
  if (typeof row === "object" && row !== null && !Array.isArray(row)) return row as Record<string, unknown>;
  throw new Error(`${where}: expected a JSON object`);
}
