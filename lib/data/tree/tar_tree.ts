/**
 * A tar archive, compressed by gzip or not, as a file tree. It can only be read from its beginning: once for its names, and once
 * for the contents of files, in the archive's order.
 *
 * @module
 */

import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { DataError } from "../../errors.ts";
import { hasImageExtension } from "../decode/content.ts";
import { MAX_FILE_BYTES, reason, stampOf, unreadable } from "../files.ts";
import { ArchiveListing, type ArchivePaths, memberPath } from "./archive_listing.ts";
import { type FileContent, type FileTree, MOST_HEAD_BYTES } from "./file_tree.ts";

/** A tar archive. */
export class TarTree implements FileTree {
  readonly path: string;
  readonly files: readonly string[];
  readonly emptyFolders: readonly string[];
  readonly ignored: readonly string[];
  readonly #isGzip: boolean;
  /** Paths in the archive by those in the tree. */
  readonly #members: ReadonlyMap<string, string>;
  /** First bytes of the files whose names do not tell that they are images. */
  readonly #heads: ReadonlyMap<string, Uint8Array>;

  private constructor(
    path: string,
    isGzip: boolean,
    paths: ArchivePaths,
    members: string[],
    heads: Map<string, Uint8Array>,
  ) {
    this.path = path;
    this.files = paths.files;
    this.emptyFolders = paths.emptyFolders;
    this.ignored = paths.ignored;
    this.#isGzip = isGzip;
    this.#members = new Map(members.map((member) => [paths.within(member), member]));
    this.#heads = new Map([...heads].map(([member, head]) => [paths.within(member), head]));
  }

  /**
   * Reads the names in an archive, all of which is inflated for that.
   *
   * @param onMember called with the number of members so far
   * @throws {DataError} if the archive is damaged or cut short, or has a path that leads out of it
   */
  static async open(path: string, isGzip: boolean, onMember: (done: number) => void): Promise<TarTree> {
    const listing = new ArchiveListing(path);
    const members: string[] = [];
    const heads = new Map<string, Uint8Array>();
    let done = 0;
    for await (const { header: { name, type }, body } of entriesOf(path, isGzip)) {
      const member = listing.add(name, type === "file" ? "file" : type === "directory" ? "folder" : "other");
      onMember(++done);
      if (type === "file" && member !== undefined) {
        members.push(member);
        if (!hasImageExtension(member)) heads.set(member, await firstBytes(body, MOST_HEAD_BYTES));
      }
      await body.cancel();
    }
    return new TarTree(path, isGzip, listing.finish(), members, heads);
  }

  async head(file: string, most: number): Promise<Uint8Array> {
    const known = this.#heads.get(file);
    if (known) return known.subarray(0, most);
    for await (const { bytes } of this.read([file])) return bytes.subarray(0, most);
    throw this.#gone(file);
  }

  async *read(files: readonly string[]): AsyncGenerator<FileContent> {
    const wanted = new Map(files.map((file) => [this.#members.get(file)!, file])); // paths of the tree
    for await (const { header: { name, size }, body } of entriesOf(this.path, this.#isGzip)) {
      const member = memberPath(name);
      const file = wanted.get(member);
      if (file === undefined) {
        await body.cancel();
        continue;
      }
      wanted.delete(member);
      yield { file, bytes: await wholeBody(body, size, this.describe(file)) };
      if (wanted.size === 0) return;
    }
    for (const file of wanted.values()) throw this.#gone(file);
  }

  stamp(): Promise<string> {
    return stampOf(this.path, [""]);
  }

  describe(file: string): string {
    return `${this.path}: ${file}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #gone(file: string): DataError {
    return new DataError(`${this.describe(file)}: gone; the archive has changed since it was listed`);
  }
}

/** Name of the first file in an archive; undefined if it has none. */
export async function firstMember(path: string, isGzip: boolean): Promise<string | undefined> {
  for await (const { header: { name, type }, body } of entriesOf(path, isGzip)) {
    if (type === "file") return memberPath(name); // before the body, which may be cut short
    await body.cancel();
  }
  return undefined;
}

/** Entries of an archive; the body of each must be read or cancelled before the next. */
async function* entriesOf(path: string, isGzip: boolean): AsyncGenerator<ParsedTarEntry> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  let after = "its beginning";
  try {
    const bytes = isGzip ? file.readable.pipeThrough(new DecompressionStream("gzip")) : file.readable;
    for await (const entry of bytes.pipeThrough(createTarDecoder({ strict: true }))) {
      yield entry;
      after = entry.header.name;
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${path}: damaged or cut short after ${after}: ${reason(error)}`, { cause: error });
  }
}

async function firstBytes(body: ReadableStream<Uint8Array>, most: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(most);
  let filled = 0;
  for await (const chunk of body.values({ preventCancel: true })) {
    const part = chunk.subarray(0, most - filled);
    bytes.set(part, filled);
    filled += part.length;
    if (filled === most) break;
  }
  return bytes.subarray(0, filled);
}

async function wholeBody(
  body: ReadableStream<Uint8Array>,
  size: number,
  file: string,
): Promise<Uint8Array<ArrayBuffer>> {
  if (size > MAX_FILE_BYTES) {
    throw new DataError(`${file}: ${size} bytes, expected at most ${MAX_FILE_BYTES}`);
  }
  const bytes = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of body) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled < size) throw new DataError(`${file}: cut short after ${filled} of ${size} bytes`);
  return bytes;
}
