/**
 * Label files: texts that name the class of each image, beside the images.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import { contentBytes, type FileTree } from "../tree/file_tree.ts";
import { readDatasetJson } from "./dataset_json.ts";
import type { LabelEntries, LabelReader } from "./label_entries.ts";
import { readLabelsCsv } from "./labels_csv.ts";
import { readMetadataJsonl } from "./metadata_jsonl.ts";

/** Readers by the file's name, in lower case; the first that is there is taken. */
const READERS: Readonly<Record<string, LabelReader>> = {
  "metadata.jsonl": readMetadataJsonl,
  "metadata.csv": readLabelsCsv,
  "labels.csv": readLabelsCsv,
  "dataset.json": readDatasetJson,
};

/** Names of label files, for messages. */
export const LABEL_FILES: readonly string[] = Object.keys(READERS);

/** Path of the label file of a folder of a tree; undefined if there is none. */
export function findLabelFile(tree: FileTree, folder: string): string | undefined {
  const names = new Map(
    tree.files.filter((file) => file.startsWith(folder) && !file.includes("/", folder.length))
      .map((file) => [file.slice(folder.length).toLowerCase(), file]),
  );
  for (const name of LABEL_FILES) if (names.has(name)) return names.get(name);
  return undefined;
}

/**
 * Reads a label file.
 *
 * @throws {DataError} naming the file and the place in it
 */
export async function readLabelFile(
  tree: FileTree,
  file: string,
  column: string | undefined,
): Promise<LabelEntries> {
  const read = READERS[file.slice(file.lastIndexOf("/") + 1).toLowerCase()]!; // from `findLabelFile`
  for await (const content of tree.read([file])) {
    const bytes = contentBytes(content);
    try {
      return await read(textOf(bytes), column);
    } catch (error) {
      throw new DataError(`${tree.describe(file)}: ${reason(error)}`, { cause: error });
    }
  }
  throw new DataError(`${tree.describe(file)}: cannot be read`);
}

/** Text of a file in UTF-8, or in UTF-16 with its mark, as spreadsheets write it. */
function textOf(bytes: Uint8Array): string {
  const mark = bytes.length >= 2 ? bytes[0]! << 8 | bytes[1]! : 0;
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`not a text in UTF-8; a spreadsheet saves one as "CSV UTF-8"`);
  }
}

/** Note on images without a label. */
export function leftOut(count: number): string {
  return count === 1 ? "1 image without a label is left out" : `${count} images without a label are left out`;
}
