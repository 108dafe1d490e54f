/**
 * The layout of an image folder: which subfolders are classes or splits, which files are images, what is skipped.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { hasImageExtension, hasImageSignature, HEAD_BYTES } from "./decode/content.ts";
import { type FolderListing, listFolder, readHead } from "./files.ts";
import type { Cifar10Split } from "./official.ts";

/** Labels are bytes. */
const MAX_CLASSES = 256;
/** Skipped entries that are told by name. */
const NAMED_ENTRIES = 3;

/** An image of a class. */
export interface ImageFile {
  readonly path: string;
  /** An index into the classes. */
  readonly label: number;
}

/** What there is to read in an image folder. */
export interface ImageFolderLayout {
  /** Class names in Unicode's composed form (NFC), in code unit order. */
  readonly classes: readonly string[];
  /** By class, then by file name. */
  readonly images: readonly ImageFile[];
  /** Images to validate on, of the same classes, if the folder comes with some. */
  readonly validation: readonly ImageFile[] | undefined;
  /** What a user should know: what was skipped, which split is used for what. */
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
 * Finds the images of a folder with one subfolder a class, or with such folders in `train`, `val` and `test` (or other
 * usual names of theirs).
 *
 * @param path the folder
 * @param split which images are wanted; `test` needs a `test` folder
 * @throws {DataError} naming a folder or file that is not as it should be
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
    throw new DataError(`${stranger.path}: a class of which ${path}/${splits!.train} has no images`);
  }
  if (splits?.validation !== undefined) {
    reader.note(`${path}/${splits.train} is trained on, ${path}/${splits.validation} validated on`);
  }
  if (splits?.test !== undefined) reader.note(`${path}/${splits.test} is kept for evaluation, and not read`);
  return reader.layout(classes, validation);
}

/** A class with the names of its images. */
interface Class {
  readonly name: string;
  readonly path: string;
  readonly files: readonly string[];
}

/** Reads class folders and remembers what it skips. */
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

  /** The classes of the folder itself, or of the split's folder in it. */
  async classes(split: string | undefined): Promise<Class[]> {
    const root = split === undefined ? this.#path : `${this.#path}/${split}`;
    if (split !== undefined) this.#skip(this.#path, (await listFolder(this.#path)).ignored);
    const [stray] = await this.#imagesIn(root, await listFolder(root));
    if (stray !== undefined) throw new DataError(`${root}/${stray}: an image outside the class folders`);
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
      ? "1 entry that is no image"
      : `${skipped.length} entries that are no images`;
    return {
      classes: names,
      images: images(classes),
      validation: validation && images(validation),
      notes: [...(skipped.length > 0 ? [`${this.#path}: skipped ${entries} (${some})`] : []), ...this.#notes],
    };
  }

  /** Names of the files that are images by name or content; the rest is skipped. */
  async #imagesIn(folder: string, { files, ignored }: FolderListing): Promise<string[]> {
    this.#skip(folder, ignored);
    const images: string[] = [];
    for (const name of files) {
      const is = hasImageExtension(name) ||
        hasImageSignature(await readHead(`${folder}/${name}`, HEAD_BYTES));
      if (is) images.push(name);
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

/** The split folders, if that is what the folder's subfolders are: `train` and others, which hold class folders. */
async function findSplits(path: string): Promise<Readonly<SplitFolders> | undefined> {
  const { folders } = await listFolder(path);
  const train = folders.find((name) => SPLITS.train.test(name));
  if (train === undefined || (await listFolder(`${path}/${train}`)).folders.length === 0) return undefined;
  const splits: SplitFolders = {};
  for (const name of folders) {
    const split = (Object.keys(SPLITS) as (keyof typeof SPLITS)[]).find((key) => SPLITS[key].test(name));
    if (split === undefined || splits[split] !== undefined) {
      const why = split === undefined
        ? "neither a split nor a class"
        : `a second folder like ${splits[split]}`;
      throw new DataError(
        `${path}/${name}: beside ${train}, which holds class folders, this is ${why}; to read only ${train}, give it as \
the data (--data ${path}/${train})`,
      );
    }
    splits[split] = name;
  }
  return splits;
}

/** Class folders by class name, in the order of their labels. */
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
      throw new DataError(`${root}/${shown}: the name of a class must not have control characters`);
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

/** What a terminal takes for commands. */
const CONTROL = /\p{Cc}/u;
/** What may look equal and not be. */
const NOT_ASCII = /[^\x20-\x7e]/;

/** Writes some characters of a name as escapes. */
function escaped(name: string, characters: RegExp): string {
  return [...name].map((one) =>
    characters.test(one) ? `\\u${one.codePointAt(0)!.toString(16).padStart(4, "0")}` : one
  )
    .join("");
}
