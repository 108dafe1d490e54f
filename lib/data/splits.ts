/**
 * Splits of a data set by folder: `train`, `val` and `test`, or their usual other names.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { findLabelFile } from "./labels/label_file.ts";
import type { FileTree } from "./tree/file_tree.ts";

/** A data set without test images, where they were asked for. */
export class NoTestImages extends DataError {}

/** Names of split folders, in any case. */
const SPLITS = {
  train: /^(?:train|training)$/i,
  validation: /^(?:val|valid|validation)$/i,
  test: /^(?:test|testing)$/i,
} as const;

/** Name of a split. */
export type SplitName = keyof typeof SPLITS;

/** Split folders, as paths with a `/` at their ends; `train` is empty for a data set without split folders. */
export type Splits = { readonly train: string } & { readonly [split in SplitName]?: string };

/** Names of the folders in a folder, in code unit order. */
export function foldersIn(tree: FileTree, root: string): string[] {
  const names = [...tree.files, ...tree.emptyFolders.map((folder) => `${folder}/`)]
    .filter((path) => path.startsWith(root) && path.includes("/", root.length))
    .map((path) => path.slice(root.length, path.indexOf("/", root.length)));
  return [...new Set(names)].sort();
}

/**
 * Finds the split folders. A folder `train` is a split, not a class, if it has folders or a label file in it, or if all
 * beside it are splits, too.
 *
 * @throws {DataError} naming a folder beside the splits that is none, or the same as another
 */
export function findSplits(tree: FileTree): Splits {
  const folders = foldersIn(tree, "");
  const train = folders.find((name) => SPLITS.train.test(name));
  if (train === undefined) return { train: "" };
  const isSplit = foldersIn(tree, `${train}/`).length > 0 || findLabelFile(tree, `${train}/`) !== undefined;
  const areSplits = folders.length > 1 && folders.every((name) => splitOfName(name) !== undefined);
  if (!isSplit && !areSplits) return { train: "" };
  const splits: { -readonly [split in SplitName]?: string } = {};
  for (const name of folders) {
    const split = splitOfName(name);
    const other = split && splits[split];
    if (split === undefined || other !== undefined) {
      const why = other === undefined
        ? "neither a split nor a class"
        : `the same split as ${other.slice(0, -1)}`;
      const path = tree.pathOf(train);
      throw new DataError(
        `${tree.describe(name)}: ${why}, beside ${train}, which has class folders; to read only ${train}, ` +
          (path === undefined ? "unpack the archive" : `give it as the data (--data ${path})`),
      );
    }
    splits[split] = `${name}/`;
  }
  return { ...splits, train: `${train}/` };
}

/** Split that a folder or file of this name is; undefined for none. */
export function splitOfName(name: string): SplitName | undefined {
  return (Object.keys(SPLITS) as SplitName[]).find((split) => SPLITS[split].test(name));
}
