/**
 * Label files: texts that name the class of each image, beside the images.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import type { FileTree } from "../tree/file_tree.ts";
import { readDatasetJson } from "./dataset_json.ts";
import { readLabelsCsv } from "./labels_csv.ts";
import { readMetadataJsonl } from "./metadata_jsonl.ts";

/** An image that a label file names. */
export interface LabelEntry {
  /** Path from the label file's folder, or a name without its extension. */
  readonly image: string;
  /** Class name or number; null if the file has none for this image. */
  readonly label: string | number | null;
  /** Place in the label file, for messages, such as `line 3`. */
  readonly where: string;
}

/** Content of a label file. */
export interface LabelEntries {
  readonly entries: readonly LabelEntry[];
  /** Column of the labels; undefined if there is none. */
  readonly column: string | undefined;
}

/**
 * Parses a label file.
 *
 * @param text the file
 * @param column column with the labels; undefined for the usual ones
 * @throws {Error} saying what is wrong and where; the caller adds the file
 */
export type LabelReader = (text: string, column: string | undefined) => LabelEntries | Promise<LabelEntries>;

/** Columns with labels in public data sets, the first that is there being taken. */
export const LABEL_COLUMNS: readonly string[] = ["label", "class", "labels", "category", "fine_label"];

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
  for await (const { bytes } of tree.read([file])) {
    try {
      return await read(new TextDecoder("utf-8", { fatal: true }).decode(bytes), column);
    } catch (error) {
      throw new DataError(`${tree.describe(file)}: ${reason(error)}`, { cause: error });
    }
  }
  throw new DataError(`${tree.describe(file)}: cannot be read`);
}

/**
 * Column with the labels.
 *
 * @throws {Error} if `wanted` is not there
 */
export function labelColumn(columns: readonly string[], wanted: string | undefined): string | undefined {
  if (wanted === undefined) return LABEL_COLUMNS.find((name) => columns.includes(name));
  if (columns.includes(wanted)) return wanted;
  throw new Error(`no column ${wanted}; expected one of ${columns.join(", ")}`);
}

/**
 * A label from a file.
 *
 * @throws {Error} if it is neither a text nor a whole number
 */
export function checkLabel(label: unknown, where: string): LabelEntry["label"] {
  if (label === null || label === undefined || label === "") return null;
  if (typeof label === "string" || Number.isInteger(label)) return label as string | number;
  throw new Error(`${where}: the label is ${JSON.stringify(label)}, expected a text or a whole number`);
}

/** Note on images without a label. */
export function leftOut(count: number): string {
  return count === 1 ? "1 image without a label is left out" : `${count} images without a label are left out`;
}
