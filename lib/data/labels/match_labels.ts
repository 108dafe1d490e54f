/**
 * Classes by label file.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import type { FileTree } from "../tree/file_tree.ts";
import { composedClassName, MAX_CLASSES } from "./class_names.ts";
import type { LabelEntries } from "./label_entries.ts";
import { leftOut } from "./label_file.ts";
import type { ClassedImage, Labelling } from "./labelling.ts";

/** A label file that was read. */
export interface ReadLabels extends LabelEntries {
  /** Path in the tree. */
  readonly file: string;
}

/**
 * Finds the image of each entry: by its path from the label file's folder, or by its name without an extension where one image
 * alone has it.
 *
 * @param images all images of the tree
 * @throws {DataError} naming the place of an entry that names no image, or one that another names with another class
 */
export function byLabelFile(
  tree: FileTree,
  images: readonly string[],
  labelFiles: readonly ReadLabels[],
): Labelling {
  const byFile = new Map<string, string>();
  let areNumbers = true;
  for (const { file: labelFile, entries } of labelFiles) {
    const find = imageFinder(images, labelFile.slice(0, labelFile.lastIndexOf("/") + 1));
    for (const { image, label, where } of entries) {
      const place = `${tree.describe(labelFile)}: ${where}`;
      const file = find(image);
      if (file === undefined) throw new DataError(`${place}: ${image}: no such image`);
      if (label === null) continue;
      const name = composedClassName(String(label), place, "give the class another name");
      const other = byFile.get(file);
      if (other !== undefined && other !== name) {
        throw new DataError(`${place}: ${image} has the class ${name}, and ${other} before`);
      }
      byFile.set(file, name);
      areNumbers &&= /^\d+$/.test(name);
    }
  }
  const names = new Set(byFile.values());
  const sources = labelFiles.map(({ file }) => tree.describe(file)).join(" and ");
  if (names.size > MAX_CLASSES) {
    throw new DataError(`${sources}: expected at most ${MAX_CLASSES} classes, found ${names.size}`);
  }
  if (names.size === 0) throw new DataError(`${sources}: no image has a label`);
  const left = images.filter((file) => !byFile.has(file));
  return {
    areNumbers,
    notes: [
      `classes by the column ${labelFiles[0]!.column} of ${sources}`, // there is one
      ...left.length === 0
        ? []
        : [`${leftOut(left.length)} (${left.slice(0, 3).join(", ")}${left.length > 3 ? ", …" : ""})`],
    ],
    imagesIn: (root) =>
      [...byFile].filter(([file]) => file.startsWith(root))
        .map(([file, name]): ClassedImage => ({ file, name })),
    sourceOf: (file) => file,
  };
}

function imageFinder(images: readonly string[], folder: string): (image: string) => string | undefined {
  const all = new Set(images);
  // macOS decomposes names (NFD), spreadsheets and keyboards compose them.
  const byComposed = uniqueBy(images, (file) => file.normalize("NFC"));
  const byStem = uniqueBy(
    images,
    (file) => file.replace(/\.[^./]*$/, "").slice(file.lastIndexOf("/") + 1).normalize("NFC"),
  );
  return (image) => {
    const path = `${folder}${image.replaceAll("\\", "/").replace(/^\.\//, "")}`;
    if (all.has(path)) return path;
    return byComposed.get(path.normalize("NFC")) ?? byStem.get(image.normalize("NFC"));
  };
}

/** Files by a key, undefined where several have it. */
function uniqueBy(
  files: readonly string[],
  key: (file: string) => string,
): ReadonlyMap<string, string | undefined> {
  const unique = new Map<string, string | undefined>();
  for (const file of files) unique.set(key(file), unique.has(key(file)) ? undefined : file);
  return unique;
}
