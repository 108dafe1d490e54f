/**
 * Layout of image folders: class and split subfolders, image files and skipped entries.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { hasImageExtension, hasImageSignature, HEAD_BYTES } from "./decode/content.ts";
import { type FolderListing, listFolder, readHead } from "./files.ts";
import type { Cifar10Split } from "./official.ts";

/** Labels are bytes. */
const MAX_CLASSES = 256;
/** Skipped entries that a note lists by name. */
const NAMED_ENTRIES = 3;

/** An image of a class. */
export interface ImageFile {
  readonly path: string;
  /** An index into the classes. */
  readonly label: number;
}

/** Contents of an image folder. */
export interface ImageFolderLayout {
  /** Class names in Unicode's composed form (NFC), in code unit order. */
  readonly classes: readonly string[];
  /** By class, then by file name. */
  readonly images: readonly ImageFile[];
  /** Images of the validation split, of the same classes; undefined if the folder has none. */
  readonly validation: readonly ImageFile[] | undefined;
  /** Notes for the user: skipped entries, and the use of each split. */
  readonly notes: readonly string[];
}

/** Names of split folders, in any case. */
const SPLITS = {
  train: /^(?:train|training)$/i,
  validation: /^(?:val|valid|validation)$/i,
  test: /^(?:test|testing)$/i,
} as const;

type SplitFolders = { -readonly [split in keyof typeof SPLITS]?: string };

/**
 * Lists the images of a folder with one subfolder per class, or with such folders in `train`, `val` and `test` (or their
 * usual other names).
 *
 * @param path the folder
 * @param split the images to list; `test` needs a `test` folder
 * @throws {DataError} naming the folder or file that does not fit the layout
 */
export async function readLayout(path: string, split: Cifar10Split): Promise<ImageFolderLayout> {
  const reader = new LayoutReader(path);
  const splits = await findSplits(path);
  if (split === "test") {
    if (!splits?.test) {
      throw new DataError(
        `${path}: no test images: expected the folders ${path}/train and ${path}/test, each with one subfolder of \
images per class`,
      );
    }
    const train = await classFolders(`${path}/${splits.train}`);
    const test = await reader.classes(splits.test);
    const [expected, found] = [[...train.keys()], test.map(({ name }) => name)];
    if (expected.join("\n") !== found.join("\n")) {
      throw new DataError(
        `${path}: train and test must have the same classes, found [${expected}] and [${found}]`,
      );
    }
    return reader.layout(test, undefined);
  }
  const classes = await reader.classes(splits?.train);
  const validation = splits?.validation === undefined ? undefined : await reader.classes(splits.validation);
  const stranger = validation?.find(({ name }) => !classes.some((one) => one.name === name));
  if (stranger) {
    throw new DataError(`${stranger.path}: a class without images in ${path}/${splits!.train}`);
  }
  if (splits?.validation !== undefined) {
    reader.note(`training on ${path}/${splits.train}, validating on ${path}/${splits.validation}`);
  }
  if (splits?.test !== undefined) reader.note(`${path}/${splits.test} is left for evaluation`);
  return reader.layout(classes, validation);
}

/** A class with the names of its images. */
interface Class {
  readonly name: string;
  readonly path: string;
  readonly files: readonly string[];
}

/** Reads class folders and collects the skipped entries. */
class LayoutReader {
  readonly #path: string;
  readonly #skipped: string[] = [];
  readonly #notes: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  /** Classes of the folder itself, or of one of its split folders. */
  async classes(split: string | undefined): Promise<Class[]> {
    const root = split === undefined ? this.#path : `${this.#path}/${split}`;
    if (split !== undefined) this.#skip(this.#path, (await listFolder(this.#path)).ignored);
    const [stray] = await this.#imagesIn(root, await listFolder(root));
    if (stray !== undefined) {
      throw new DataError(
        `${root}/${stray}: an image outside the class folders; move it into one, or out of ${root} ` +
          "(expected one subfolder of images per class)",
      );
    }
    const classes: Class[] = [];
    for (const [name, folder] of await classFolders(root)) {
      const path = `${root}/${folder}`;
      const listing = await listFolder(path);
      if (listing.folders.length > 0) {
        throw new DataError(
          `${path}/${
            listing.folders[0]
          }: a folder inside a class folder; if it is a class itself, the data is at \
${path} (--data ${path})`,
        );
      }
      const files = await this.#imagesIn(path, listing);
      if (files.length === 0) {
        throw new DataError(`${path}: a class folder without images: expected PNG, JPEG or WebP files in it`);
      }
      classes.push({ name, path, files });
    }
    return classes;
  }

  layout(classes: readonly Class[], validation: readonly Class[] | undefined): ImageFolderLayout {
    const names = classes.map(({ name }) => name);
    const images = (of: readonly Class[]) =>
      of.flatMap(({ name, path, files }) =>
        files.map((file) => ({ path: `${path}/${file}`, label: names.indexOf(name) }))
      );
    const skipped = [...new Set(this.#skipped)];
    const some = skipped.slice(0, NAMED_ENTRIES).join(", ") + (skipped.length > NAMED_ENTRIES ? ", …" : "");
    const entries = skipped.length === 1
      ? "1 entry that is not an image"
      : `${skipped.length} entries that are not images`;
    return {
      classes: names,
      images: images(classes),
      validation: validation && images(validation),
      notes: [...(skipped.length > 0 ? [`${this.#path}: skipped ${entries} (${some})`] : []), ...this.#notes],
    };
  }

  /** Names of the files that are images by extension or content; other files are skipped. */
  async #imagesIn(folder: string, { files, ignored }: FolderListing): Promise<string[]> {
    this.#skip(folder, ignored);
    const images: string[] = [];
    for (const name of files) {
      const isImage = hasImageExtension(name) ||
        hasImageSignature(await readHead(`${folder}/${name}`, HEAD_BYTES));
      if (isImage) images.push(name);
      else this.#skip(folder, [name]);
    }
    return images;
  }

  #skip(folder: string, names: readonly string[]): void {
    for (const name of names) {
      this.#skipped.push(escaped(`${folder}/${name}`.slice(this.#path.length + 1), CONTROL));
    }
  }
}

/** The split folders; undefined unless there is a `train` folder with class folders in it. */
async function findSplits(path: string): Promise<Readonly<SplitFolders> | undefined> {
  const { folders } = await listFolder(path);
  const train = folders.find((name) => SPLITS.train.test(name));
  if (train === undefined || (await listFolder(`${path}/${train}`)).folders.length === 0) return undefined;
  const splits: SplitFolders = {};
  for (const name of folders) {
    const split = (Object.keys(SPLITS) as (keyof typeof SPLITS)[]).find((key) => SPLITS[key].test(name));
    if (split === undefined || splits[split] !== undefined) {
      const why = split === undefined ? "neither a split nor a class" : `the same split as ${splits[split]}`;
      throw new DataError(
        `${path}/${name}: ${why}, beside ${train}, which has class folders; to read only ${train}, give it as the data \
(--data ${path}/${train})`,
      );
    }
    splits[split] = name;
  }
  return splits;
}

/** Class folders by class name (NFC), in the order of their labels. */
async function classFolders(root: string): Promise<Map<string, string>> {
  const { folders } = await listFolder(root);
  if (folders.length === 0) {
    throw new DataError(
      `${root}: expected one subfolder of images per class, or CIFAR-10's batch files; found neither`,
    );
  }
  if (folders.length > MAX_CLASSES) {
    throw new DataError(`${root}: expected at most ${MAX_CLASSES} class folders, found ${folders.length}`);
  }
  const byName = new Map<string, string>();
  for (const folder of folders) {
    const name = folder.normalize("NFC"); // macOS writes decomposed names, keyboards composed ones
    if (CONTROL.test(name)) {
      const shown = escaped(name, CONTROL);
      throw new DataError(`${root}/${shown}: class names must not contain control characters`);
    }
    if (RESERVED.has(name.toLowerCase())) {
      const why = "all, any and none are keywords when a class is requested; rename the folder";
      throw new DataError(`${root}/${folder}: ${why}`);
    }
    const other = byName.get(name);
    if (other !== undefined) {
      const both = [other, folder].map((one) => `"${escaped(one, NOT_ASCII)}"`).join(" and ");
      throw new DataError(`${root}: the class folders ${both} have the same name, ${name}, in Unicode's NFC`);
    }
    byName.set(name, folder);
  }
  return new Map([...byName].sort(([a], [b]) => a < b ? -1 : 1));
}

/** Keywords of `--class` and of the server's `class`, which win over a class of the same name. */
const RESERVED: ReadonlySet<string> = new Set(["all", "any", "none"]);

/** Control characters, which a terminal may take for commands. */
const CONTROL = /\p{Cc}/u;
/** Characters that may look equal and not be. */
const NOT_ASCII = /[^\x20-\x7e]/;

/** Replaces matching characters by `\uXXXX`. */
function escaped(name: string, characters: RegExp): string {
  return [...name].map((one) =>
    characters.test(one) ? `\\u${one.codePointAt(0)!.toString(16).padStart(4, "0")}` : one
  )
    .join("");
}
