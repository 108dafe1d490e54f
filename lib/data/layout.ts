/**
 * Layout of a folder or archive of images: splits, classes, and what is left out.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { hasImageExtension, hasImageSignature, HEAD_BYTES } from "./decode/content.ts";
import { byClassFolder } from "./labels/class_folders.ts";
import { escapeControl, sortClassNames } from "./labels/class_names.ts";
import { LABEL_COLUMNS } from "./labels/label_entries.ts";
import { findLabelFile, LABEL_FILES, readLabelFile } from "./labels/label_file.ts";
import { type Labelling, withoutClasses } from "./labels/labelling.ts";
import { byLabelFile, type ReadLabels } from "./labels/match_labels.ts";
import { findSplits, foldersIn, NoTestImages, type Splits } from "./splits.ts";
import { type FileTree, sortedPaths } from "./tree/file_tree.ts";
import type { Cifar10Split } from "./official.ts";

/** Entries that a note lists by name. */
const NAMED_ENTRIES = 3;

/** An image with its class. */
export interface LabelledImage {
  /** Path in the tree. */
  readonly file: string;
  /** An index into the classes; 0 without classes. */
  readonly label: number;
}

/** Images of a tree. */
export interface ImageLayout {
  /** Class names in Unicode's composed form (NFC), in code unit order, numbers in theirs; empty without classes. */
  readonly classes: readonly string[];
  /** By class folder, then by file name; as in the label file, if there is one. */
  readonly images: readonly LabelledImage[];
  /** Images of the validation split, of the same classes; undefined if there is none. */
  readonly validation: readonly LabelledImage[] | undefined;
  /** Notes for the user: skipped entries, and the use of each split and label file. */
  readonly notes: readonly string[];
}

/**
 * Finds the images of a folder or archive and their classes: by a label file, else by folder, else without classes; all of it
 * or in split folders.
 *
 * @param split the images to list; `test` needs a `test` folder
 * @param column column of label files with the classes; undefined for the usual ones
 * @throws {DataError} naming the folder or file that does not fit
 */
export async function readLayout(
  tree: FileTree,
  split: Cifar10Split,
  column?: string,
): Promise<ImageLayout> {
  const { images, others } = await sortFiles(tree);
  const splits = findSplits(tree);
  if (split === "test" && splits.test === undefined) {
    const where = tree.describe("train");
    throw new NoTestImages(
      `${tree.path}: no test images: expected the folders ${where} and ${
        tree.describe("test")
      }, each with one subfolder of ` +
        "images per class",
    );
  }
  const labelFiles = await readLabelFiles(tree, splits, column);
  const labelling = labelFiles.some(({ unlabelled }) => unlabelled)
    ? withoutClasses(images)
    : chooseLabelling(
      tree,
      images,
      splits,
      labelFiles.filter(({ column }) => column !== undefined),
    );
  const train = labelling.imagesIn(splits.train);
  const classes = sortClassNames(train.map(({ name }) => name), labelling.areNumbers).filter((name) =>
    name !== ""
  );
  const listed = (root: string): LabelledImage[] => {
    const own = root === splits.train ? train : labelling.imagesIn(root);
    return own.map(({ file, name }) => {
      const label = name === "" ? 0 : classes.indexOf(name);
      if (label >= 0) return { file, label };
      const where = tree.describe(labelling.sourceOf(file));
      throw new DataError(`${where}: the class ${name} has no images in ${folder(tree, splits.train)}`);
    });
  };
  const read = new Set(labelFiles.map(({ file }) => file));
  const skipped = sortedPaths([...tree.ignored, ...others.filter((file) => !read.has(file))]);
  const notes = [
    ...skippedNote(tree, skipped),
    ...labelling.notes,
    ...labelFiles.filter(({ column }) => column === undefined).map(({ file, unlabelled }) =>
      unlabelled
        ? `no classes, as ${tree.describe(file)} says`
        : `${tree.describe(file)} has no labels (a column ${LABEL_COLUMNS.join(", ")})`
    ),
  ];
  if (split === "test") return { classes, images: listed(splits.test!), validation: undefined, notes }; // checked above
  const validation = splits.validation === undefined ? undefined : listed(splits.validation);
  if (splits.validation !== undefined) {
    notes.push(`training on ${folder(tree, splits.train)}, validating on ${folder(tree, splits.validation)}`);
  }
  if (splits.test !== undefined) notes.push(`${folder(tree, splits.test)} is left for evaluation`);
  return { classes, images: listed(splits.train), validation, notes };
}

/** Files that are images by name or content, and others. */
async function sortFiles(tree: FileTree): Promise<{ images: string[]; others: string[] }> {
  const [images, others]: [string[], string[]] = [[], []];
  for (const file of tree.files) {
    const isImage = hasImageExtension(file) || hasImageSignature(await tree.head(file, HEAD_BYTES));
    (isImage ? images : others).push(file);
  }
  return { images, others };
}

/** Label files of the tree and of its splits. */
async function readLabelFiles(
  tree: FileTree,
  splits: Splits,
  column: string | undefined,
): Promise<ReadLabels[]> {
  const roots = new Set(["", ...Object.values(splits)]);
  const files = [...roots].map((root) => findLabelFile(tree, root)).filter((file) => file !== undefined);
  if (files.length === 0 && column !== undefined) {
    throw new DataError(
      `${tree.path}: no label file with a column ${column}; expected ${LABEL_FILES.join(", ")}`,
    );
  }
  return await Promise.all(files.map(async (file) => ({ file, ...await readLabelFile(tree, file, column) })));
}

function chooseLabelling(
  tree: FileTree,
  images: readonly string[],
  { train }: Splits,
  labelFiles: readonly ReadLabels[],
): Labelling {
  if (labelFiles.length > 0) return byLabelFile(tree, images, labelFiles);
  const own = images.filter((file) => file.startsWith(train));
  const areInFolders = own.some((file) => file.includes("/", train.length));
  if (areInFolders || (own.length === 0 && foldersIn(tree, train).length > 0)) {
    return byClassFolder(tree, images);
  }
  if (own.length > 0) return withoutClasses(images);
  throw new DataError(
    `${tree.path}: expected one subfolder of images per class, images without classes, or CIFAR-10's batch files; found none`,
  );
}

/** Path of a folder of the tree for messages. */
function folder(tree: FileTree, root: string): string {
  return root === "" ? tree.path : tree.describe(root.slice(0, -1));
}

function skippedNote(tree: FileTree, skipped: readonly string[]): string[] {
  if (skipped.length === 0) return [];
  const some = skipped.slice(0, NAMED_ENTRIES).map(escapeControl).join(", ") +
    (skipped.length > NAMED_ENTRIES ? ", …" : "");
  const entries = skipped.length === 1
    ? "1 entry that is not an image"
    : `${skipped.length} entries that are not images`;
  return [`${tree.path}: skipped ${entries} (${some})`];
}
