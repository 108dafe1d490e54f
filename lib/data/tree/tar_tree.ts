/**
 * A tar archive, compressed by gzip or not, as a file tree. It can only be read from its beginning: once for its names, and once
 * for the contents of files, in the archive's order.
 *
 * @module
 */

import { pipeline, Readable } from "node:stream";
import { posix } from "node:path";
import { createGunzip } from "node:zlib";
import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { DataError } from "../../errors.ts";
import { hasImageExtension } from "../decode/content.ts";
import { MAX_FILE_BYTES, reason, stampOf, unreadable } from "../files.ts";
import { ArchiveListing, type ArchivePaths, memberPath } from "./archive_listing.ts";
import { contentBytes, contentOr, type FileContent, type FileTree, MOST_HEAD_BYTES } from "./file_tree.ts";

/** A tar archive. */
export class TarTree implements FileTree {
  readonly path: string;
  readonly files: readonly string[];
  readonly emptyFolders: readonly string[];
  readonly ignored: readonly string[];
  readonly #isGzip: boolean;
  /** Paths in the archive of what the files of the tree contain, which is another file's content for a link. */
  readonly #members: ReadonlyMap<string, string>;
  /** First bytes of the files whose names do not tell that they are images. */
  readonly #heads: ReadonlyMap<string, Uint8Array>;

  private constructor(
    path: string,
    isGzip: boolean,
    paths: ArchivePaths,
    members: Map<string, string>,
    heads: Map<string, Uint8Array>,
  ) {
    this.path = path;
    this.files = paths.files;
    this.emptyFolders = paths.emptyFolders;
    this.ignored = paths.ignored;
    this.#isGzip = isGzip;
    this.#members = new Map([...members].map(([file, member]) => [paths.within(file), member]));
    this.#heads = heads;
  }

  /**
   * Reads the names in an archive, all of which is inflated for that.
   *
   * @param onMember called with the number of members so far
   * @throws {DataError} if the archive is damaged or cut short, or has a path that leads out of it
   */
  static async open(path: string, isGzip: boolean, onMember: (done: number) => void): Promise<TarTree> {
    const listing = new ArchiveListing(path);
    const members = new Map<string, string>();
    const links: Link[] = [];
    const heads = new Map<string, Uint8Array>();
    let done = 0;
    for await (const { header: { name, type, linkname = "" }, body } of entriesOf(path, isGzip)) {
      onMember(++done);
      if (type === "link" || type === "symlink") {
        links.push({ name, target: type === "link" ? memberPath(linkname) : linkedPath(name, linkname) });
        await body.cancel();
        continue;
      }
      const member = listing.add(name, type === "file" ? "file" : type === "directory" ? "folder" : "other");
      if (type === "file" && member !== undefined) {
        members.set(member, member);
        if (!hasImageExtension(member)) heads.set(member, await firstBytes(body, MOST_HEAD_BYTES));
      }
      await body.cancel();
    }
    const targets = new Map(links.map(({ name, target }) => [memberPath(name), target]));
    for (const { name, target } of links) {
      const content = members.get(target) ?? members.get(targets.get(target) ?? ""); // a link to a link
      const file = listing.add(name, content === undefined ? "other" : "file");
      if (file !== undefined && content !== undefined) members.set(file, content);
    }
    return new TarTree(path, isGzip, listing.finish(), members, heads);
  }

  async head(file: string, most: number): Promise<Uint8Array> {
    const known = this.#heads.get(this.#members.get(file) ?? "");
    if (known) return known.subarray(0, most);
    for await (const content of this.read([file])) return contentBytes(content).subarray(0, most);
    throw this.#gone(file);
  }

  async *read(files: readonly string[]): AsyncGenerator<FileContent> {
    const wanted = Map.groupBy(files, (file) => this.#members.get(file)!); // paths of the tree
    for await (const { header: { name, size, type }, body } of entriesOf(this.path, this.#isGzip)) {
      const member = memberPath(name);
      const [first, ...links] = type === "file" ? wanted.get(member) ?? [] : [];
      if (first === undefined) {
        await body.cancel();
        continue;
      }
      wanted.delete(member);
      const content = await contentOr(first, () => wholeBody(body, size, this.describe(first)));
      const copies = links.map((file) =>
        "bytes" in content ? { file, bytes: content.bytes.slice() } : { file, error: content.error }
      );
      yield* [content, ...copies]; // whoever reads the first may give its bytes away
      if (wanted.size === 0) return;
    }
    for (const [file] of wanted.values()) throw this.#gone(file!);
  }

  stamp(): Promise<string> {
    return stampOf(this.path, [""]);
  }

  pathOf(): undefined {}

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

/** A link in an archive. GNU tar makes hard links of the second and further names of a file. */
interface Link {
  readonly name: string;
  /** Path in the archive. */
  readonly target: string;
}

/** Path in the archive that a symbolic link leads to; none for one that leads out of it. */
function linkedPath(name: string, target: string): string {
  return target.startsWith("/") ? "" : memberPath(posix.join(posix.dirname(memberPath(name)), target));
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
    const bytes = isGzip ? ReadableStream.from(inflated(file)) : file.readable;
    for await (const entry of bytes.pipeThrough(createTarDecoder({ strict: true }))) {
      yield entry;
      after = entry.header.name;
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${path}: damaged or cut short after ${after}: ${reason(error)}`, { cause: error });
  }
}

/** Inflates gzip, also of several members and with padding at its end, which `DecompressionStream` refuses. */
async function* inflated(file: Deno.FsFile): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const gunzip = createGunzip();
  pipeline(Readable.from(file.readable), gunzip, () => {}); // an error of either is thrown by the loop
  yield* gunzip;
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
    await body.cancel();
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
