/**
 * A zip archive as a file tree, read by yauzl: its directory first, then single entries.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { DataError } from "../../errors.ts";
import { MAX_FILE_BYTES, reason, stampOf, unreadable } from "../files.ts";
import { ArchiveListing, type ArchivePaths } from "./archive_listing.ts";
import { contentOr, type FileContent, type FileTree } from "./file_tree.ts";

/** The part of yauzl's entries that is used here. */
interface ZipEntry {
  readonly fileName: string;
  readonly fileNameRaw: Uint8Array;
  readonly uncompressedSize: number;
  /** Of the content. */
  readonly crc32: number;
  readonly versionMadeBy: number;
  readonly externalFileAttributes: number;
  isEncrypted(): boolean;
}

/** Likewise, of an archive. */
interface ZipFile {
  eachEntry(): AsyncIterable<ZipEntry>;
  openReadStreamPromise(entry: ZipEntry): Promise<AsyncIterable<Uint8Array> & { destroy(): void }>;
  close(): void;
}

/** A zip archive. */
export class ZipTree implements FileTree {
  readonly path: string;
  readonly files: readonly string[];
  readonly emptyFolders: readonly string[];
  readonly ignored: readonly string[];
  readonly #zip: ZipFile;
  readonly #entries: ReadonlyMap<string, ZipEntry>;

  private constructor(path: string, zip: ZipFile, paths: ArchivePaths, entries: Map<string, ZipEntry>) {
    this.path = path;
    this.files = paths.files;
    this.emptyFolders = paths.emptyFolders;
    this.ignored = paths.ignored;
    this.#zip = zip;
    this.#entries = new Map([...entries].map(([file, entry]) => [paths.within(file), entry]));
  }

  /**
   * Reads an archive's directory.
   *
   * @throws {DataError} if the archive is damaged or cut short, or has a path that leads out of it
   */
  static async open(path: string): Promise<ZipTree> {
    let zip: ZipFile;
    try {
      await Deno.stat(path);
      // Loaded when needed: most programs open no archive.
      const { default: yauzl } = await import("yauzl");
      zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) throw unreadable(path, error);
      throw damaged(path, error);
    }
    const listing = new ArchiveListing(path);
    const entries = new Map<string, ZipEntry>();
    try {
      for await (const entry of zip.eachEntry()) {
        const name = nameOf(entry);
        const kind = name.endsWith("/") ? "folder" : isLink(entry) ? "other" : "file";
        const file = listing.add(name, kind);
        if (file !== undefined && kind === "file") entries.set(file, entry);
      }
      return new ZipTree(path, zip, listing.finish(), entries);
    } catch (error) {
      zip.close();
      throw error instanceof DataError ? error : damaged(path, error);
    }
  }

  async head(file: string, most: number): Promise<Uint8Array> {
    const { uncompressedSize } = this.#entryOf(file);
    return await this.#bytes(file, Math.min(most, uncompressedSize));
  }

  async *read(files: readonly string[]): AsyncGenerator<FileContent> {
    for (const file of files) yield await contentOr(file, () => this.#whole(file));
  }

  stamp(): Promise<string> {
    return stampOf(this.path, [""]);
  }

  pathOf(): undefined {}

  describe(file: string): string {
    return `${this.path}: ${file}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#zip.close();
    return Promise.resolve();
  }

  #entryOf(file: string): ZipEntry {
    const entry = this.#entries.get(file)!; // a path of the tree
    if (entry.isEncrypted()) throw new DataError(`${this.describe(file)}: encrypted`);
    return entry;
  }

  async #whole(file: string): Promise<Uint8Array<ArrayBuffer>> {
    const { uncompressedSize, crc32: expected } = this.#entryOf(file);
    if (uncompressedSize > MAX_FILE_BYTES) {
      throw new DataError(
        `${this.describe(file)}: ${uncompressedSize} bytes, expected at most ${MAX_FILE_BYTES}`,
      );
    }
    const bytes = await this.#bytes(file, uncompressedSize);
    if (crc32(bytes) !== expected) {
      throw new DataError(`${this.describe(file)}: damaged: its checksum is wrong`);
    }
    return bytes;
  }

  /** The first `count` bytes of an entry. */
  async #bytes(file: string, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(count);
    let filled = 0;
    try {
      const stream = await this.#zip.openReadStreamPromise(this.#entryOf(file));
      for await (const chunk of stream) {
        const part = chunk.subarray(0, count - filled);
        bytes.set(part, filled);
        filled += part.length;
        if (filled === count) break;
      }
      stream.destroy();
    } catch (error) {
      throw new DataError(`${this.describe(file)}: damaged: ${reason(error)}`, { cause: error });
    }
    if (filled < count) {
      throw new DataError(`${this.describe(file)}: cut short after ${filled} of ${count} bytes`);
    }
    return bytes;
  }
}

/**
 * Name of an entry. macOS writes UTF-8 without saying so, which yauzl takes for code page 437; no text of that code page with letters
 * beyond ASCII is likely to be UTF-8.
 */
function nameOf({ fileName, fileNameRaw }: ZipEntry): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(fileNameRaw);
  } catch {
    return fileName;
  }
}

/** True for a symbolic link of Unix, whose content is the path that it leads to. */
function isLink({ versionMadeBy, externalFileAttributes }: ZipEntry): boolean {
  const UNIX = 3;
  return versionMadeBy >> 8 === UNIX && (externalFileAttributes >>> 16 & 0xf000) === 0xa000;
}

function damaged(path: string, error: unknown): DataError {
  return new DataError(`${path}: a damaged zip file: ${reason(error)}`, { cause: error });
}
