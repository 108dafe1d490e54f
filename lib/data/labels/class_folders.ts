/**
 * Classes by folder: one folder of images per class.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { foldersIn } from "../splits.ts";
import type { FileTree } from "../tree/file_tree.ts";
import { composedClassName, escapeNotAscii, MAX_CLASSES } from "./class_names.ts";
import type { ClassedImage, Labelling } from "./labelling.ts";

/** @param images all images of the tree, in code unit order */
export function byClassFolder(tree: FileTree, images: readonly string[]): Labelling {
  return {
    areNumbers: false,
    notes: [],
    imagesIn: (root) => {
      const own = images.filter((file) => file.startsWith(root));
      checkDepths(tree, root, own);
      return classFolders(tree, root).flatMap(([name, folder]): ClassedImage[] => {
        const files = own.filter((file) => file.startsWith(folder));
        if (files.length === 0) {
          throw new DataError(
            `${
              describe(tree, folder)
            }: a class folder without images: expected PNG, JPEG, WebP or GIF files in it`,
          );
        }
        return files.map((file) => ({ file, name }));
      });
    },
    sourceOf: (file) => file.slice(0, file.lastIndexOf("/")),
  };
}

/** Path of a folder for messages. */
function describe(tree: FileTree, folder: string): string {
  return folder === "" ? tree.path : tree.describe(folder.replace(/\/$/, ""));
}

/** Every image lies in a folder of its class, and not deeper. */
function checkDepths(tree: FileTree, root: string, images: readonly string[]): void {
  for (const file of images) {
    const [first, second, ...deeper] = file.slice(root.length).split("/");
    if (second === undefined) {
      const where = describe(tree, root);
      throw new DataError(
        `${tree.describe(file)}: an image outside the class folders; move it into one, or out of ${where} ` +
          "(expected one subfolder of images per class)",
      );
    }
    if (deeper.length > 0) {
      const outer = describe(tree, `${root}${first}`);
      const path = tree.pathOf(`${root}${first}`);
      throw new DataError(
        `${outer}/${second}: a folder inside a class folder: move its images up; or, if it is a class itself, the data is at ${outer} ` +
          (path === undefined ? "(which has to be unpacked)" : `(--data ${path})`),
      );
    }
  }
}

/** Class names (NFC) with their folders, in the order of their labels. */
function classFolders(tree: FileTree, root: string): [string, string][] {
  const folders = foldersIn(tree, root);
  if (folders.length > MAX_CLASSES) {
    throw new DataError(
      `${describe(tree, root)}: expected at most ${MAX_CLASSES} class folders, found ${folders.length}`,
    );
  }
  const byName = new Map<string, string>();
  for (const folder of folders) {
    const name = composedClassName(folder, describe(tree, `${root}${folder}`), "rename the folder");
    const other = byName.get(name);
    if (other !== undefined) {
      const both = [other, folder].map((one) => `"${escapeNotAscii(one)}"`).join(" and ");
      throw new DataError(
        `${describe(tree, root)}: the class folders ${both} have the same name, ${name}, in Unicode's NFC`,
      );
    }
    byName.set(name, folder);
  }
  return [...byName].sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, folder]) => [name, `${root}${folder}/`]);
}
