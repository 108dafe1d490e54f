/**
 * Parquet files as a source of images, as the Hugging Face hub has its data sets: a column with encoded images, and one with
 * their classes.
 *
 * @module
 */

import { counted } from "../../counted.ts";
import { DataError } from "../../errors.ts";
import { stampOf } from "../files.ts";
import type { ImageSource } from "../image_source.ts";
import { composedClassName, MAX_CLASSES, sortClassNames } from "../labels/class_names.ts";
import { LABEL_COLUMNS } from "../labels/label_entries.ts";
import { leftOut } from "../labels/label_file.ts";
import type { ImageLayout, LabelledImage } from "../layout.ts";
import type { Cifar10Split } from "../official.ts";
import { NoTestImages, type SplitName, splitOfName } from "../splits.ts";
import { contentOr, type FileContent, sortedPaths } from "../tree/file_tree.ts";
import { FolderTree } from "../tree/folder_tree.ts";
import { ParquetFile } from "./parquet_file.ts";

/** Columns with images in public data sets, the first that is there being taken. */
const IMAGE_COLUMNS: readonly string[] = ["image", "img", "picture", "jpg", "png"];

/** Parquet files of one data set. */
export class ParquetSource implements ImageSource {
  readonly path: string;
  /** By path from the source's folder. */
  readonly #files: ReadonlyMap<string, ParquetFile>;
  readonly #isFolder: boolean;
  readonly #ignored: readonly string[];

  private constructor(
    path: string,
    files: Map<string, ParquetFile>,
    isFolder: boolean,
    ignored: readonly string[],
  ) {
    this.path = path;
    this.#files = files;
    this.#isFolder = isFolder;
    this.#ignored = ignored;
  }

  /**
   * Opens a Parquet file, or all in a folder.
   *
   * @returns undefined for a folder without any
   * @throws {DataError} if a file is damaged
   */
  static async open(path: string): Promise<ParquetSource | undefined> {
    const { isDirectory } = await Deno.stat(path);
    const names = isDirectory ? (await FolderTree.open(path)).files : [""];
    const parquet = names.filter((name) => name === "" || isParquetName(name));
    if (parquet.length === 0) return undefined;
    const files = new Map<string, ParquetFile>();
    for (const name of parquet) {
      files.set(name, await ParquetFile.open(name === "" ? path : `${path}/${name}`));
    }
    return new ParquetSource(path, files, isDirectory, names.filter((name) => !parquet.includes(name)));
  }

  async layout(split: Cifar10Split, column: string | undefined): Promise<ImageLayout> {
    const bySplit = this.#bySplit();
    if (split === "test" && !bySplit.test) {
      throw new NoTestImages(
        `${this.path}: no test images: expected Parquet files, or folders of them, called train and test`,
      );
    }
    const rows: Record<SplitName, Row[]> = { train: [], validation: [], test: [] };
    for (const [name, files] of Object.entries(bySplit)) {
      for (const file of files) rows[name as SplitName].push(...await this.#rows(file, column));
    }
    const train = rows.train.flatMap(({ name }) => name === undefined ? [] : [name]);
    const [first] = this.#files.values();
    const classes = orderClasses(new Set(train), first!.classNames(this.#labelColumn(first!, column)));
    if (classes.length > MAX_CLASSES) {
      throw new DataError(`${this.path}: expected at most ${MAX_CLASSES} classes, found ${classes.length}`);
    }
    const listed = (rows: readonly Row[]): LabelledImage[] =>
      rows.filter(({ name }) => classes.length === 0 || name !== undefined).map(({ file, name }) => {
        const label = name === undefined ? 0 : classes.indexOf(name);
        if (label >= 0) return { file, label };
        throw new DataError(`${this.describe(file)}: the class ${name} has no images for training`);
      });
    const used = split === "test" ? rows.test : [...rows.train, ...rows.validation];
    const left = classes.length === 0 ? 0 : used.filter(({ name }) => name === undefined).length;
    const unused = this.#files.size - Object.values(bySplit).reduce((sum, { length }) => sum + length, 0);
    const notes = [
      ...unused === 0
        ? []
        : [`${this.path}: left out ${counted(unused, "Parquet file", "Parquet files")} of no split`],
      ...this.#ignored.length === 0 ? [] : [
        `${this.path}: skipped ${
          counted(this.#ignored.length, "file that is", "files that are")
        } not Parquet`,
      ],
      ...left === 0 ? [] : [leftOut(left)],
    ];
    return {
      classes,
      images: listed(split === "test" ? rows.test : rows.train),
      validation: split === "test" || !bySplit.validation ? undefined : listed(rows.validation),
      notes,
    };
  }

  async *read(files: readonly string[]): AsyncGenerator<FileContent> {
    const wanted = new Map<string, Set<number>>();
    for (const file of files) {
      const [name, row] = parseImage(file);
      const rows = wanted.get(name) ?? new Set();
      wanted.set(name, rows.add(row));
    }
    for (const [name, rows] of wanted) {
      const file = this.#files.get(name)!; // from the layout
      for await (const { row, value } of file.values(imageColumn(file), rows)) {
        const image = imageName(name, row);
        yield await contentOr(image, () => Promise.resolve(this.#bytesOf(value, image)));
      }
    }
  }

  stamp(): Promise<string> {
    return stampOf(this.path, [...this.#files.keys()]);
  }

  describe(file: string): string {
    const [name, row] = parseImage(file);
    return `${this.#isFolder ? `${this.path}/${name}` : this.path}: row ${row}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(); // each reading closes its file
  }

  /** Names of the files of each split; all are for training where none is called `train`. */
  #bySplit(): { train: string[] } & { readonly [split in SplitName]?: string[] } {
    const names = sortedPaths(this.#files.keys());
    const splits = names.map(splitOfPath);
    if (!splits.includes("train")) return { train: names };
    const bySplit: { train: string[] } & { [split in SplitName]?: string[] } = { train: [] };
    names.forEach((name, i) => {
      const split = splits[i];
      if (split !== undefined) (bySplit[split] ??= []).push(name);
    });
    return bySplit;
  }

  async #rows(name: string, wanted: string | undefined): Promise<Row[]> {
    const file = this.#files.get(name)!; // a key of the files
    imageColumn(file);
    const column = this.#labelColumn(file, wanted);
    if (column === undefined) {
      return Array.from({ length: file.rows }, (_, row) => ({ file: imageName(name, row), name: undefined }));
    }
    const names = file.classNames(column);
    const rows: Row[] = [];
    for await (const { row, value } of file.values(column)) {
      const image = imageName(name, row);
      const where = this.describe(image);
      const text = names && isNumber(value) ? nameOf(Number(value), names, where) : plainLabel(value, where);
      rows.push({
        file: image,
        name: text === undefined ? undefined : composedClassName(text, where, "give the class another name"),
      });
    }
    return rows;
  }

  #labelColumn(file: ParquetFile, wanted: string | undefined): string | undefined {
    if (wanted === undefined) return LABEL_COLUMNS.find((name) => file.columns.includes(name));
    if (file.columns.includes(wanted)) return wanted;
    throw new DataError(`${file.path}: no column ${wanted}; expected one of ${file.columns.join(", ")}`);
  }

  #bytesOf(value: unknown, image: string): Uint8Array<ArrayBuffer> {
    const bytes = value !== null && typeof value === "object" && "bytes" in value ? value.bytes : value;
    if (bytes instanceof Uint8Array) return Uint8Array.from(bytes);
    throw new DataError(
      `${this.describe(image)}: expected an image's bytes; files outside the Parquet file are not read`,
    );
  }
}

/** True for the name of a Parquet file. */
export function isParquetName(name: string): boolean {
  return name.toLowerCase().endsWith(".parquet");
}

/** An image with its class name; undefined without one. */
interface Row {
  readonly file: string;
  readonly name: string | undefined;
}

function imageName(file: string, row: number): string {
  return `${file}#${row}`;
}

function parseImage(image: string): [file: string, row: number] {
  const at = image.lastIndexOf("#");
  return [image.slice(0, at), Number(image.slice(at + 1))];
}

/** @throws {DataError} if there is none */
function imageColumn({ path, columns }: ParquetFile): string {
  const column = IMAGE_COLUMNS.find((name) => columns.includes(name));
  if (column !== undefined) return column;
  throw new DataError(
    `${path}: expected a column of images (${IMAGE_COLUMNS.join(", ")}), found ${columns.join(", ")}`,
  );
}

/** Split of a file: by a word of its name, as in `train-00000-of-00002`, else of a folder's, as in `train/0000`. */
function splitOfPath(path: string): SplitName | undefined {
  const words = path.split("/").reverse().flatMap((name) => name.split(/[-_.]/));
  return words.map(splitOfName).find((split) => split !== undefined);
}

function isNumber(value: unknown): value is bigint | number {
  return typeof value === "bigint" || typeof value === "number";
}

/** Name of a class by its number; undefined for -1, the hub's for none. */
function nameOf(number: number, names: readonly string[], where: string): string | undefined {
  if (number === -1 || names[number] !== undefined) return names[number];
  throw new DataError(`${where}: the label is ${number}, expected one of the ${names.length} classes, or -1`);
}

/** A label as a text; undefined for none. */
function plainLabel(value: unknown, where: string): string | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  // Without a logical type, which some writers leave out, a text is bytes.
  if (value instanceof Uint8Array) return plainLabel(new TextDecoder().decode(value), where);
  const isWhole = typeof value === "bigint" || Number.isInteger(value);
  if (isWhole || typeof value === "string" || typeof value === "boolean") return String(value);
  const found = typeof value === "number" ? String(value) : Array.isArray(value) ? "a list" : "a record";
  throw new DataError(`${where}: the label is ${found}, expected a text or a whole number`);
}

/** Classes with images, in the order that the file names, else by name or number. */
function orderClasses(found: ReadonlySet<string>, names: readonly string[] | undefined): string[] {
  if (names) return names.filter((name) => found.has(name));
  return sortClassNames(found, [...found].every((name) => /^\d+$/.test(name)));
}
