/**
 * A folder as a file tree.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { readBytes, readHead, stampOf, targetOf, unreadable } from "../files.ts";
import { contentOr, type FileContent, type FileTree, isIgnoredName, sortedPaths } from "./file_tree.ts";

/** Limit on nested folders: deeper ones are no data set, or a link back to a folder that holds it. */
const MAX_DEPTH = 12;

/** A folder and all it holds, links followed. */
export class FolderTree implements FileTree {
  readonly path: string;
  readonly files: readonly string[];
  readonly emptyFolders: readonly string[];
  readonly ignored: readonly string[];

  private constructor(path: string, { files, emptyFolders, ignored }: Found) {
    this.path = path;
    this.files = sortedPaths(files);
    this.emptyFolders = sortedPaths(emptyFolders);
    this.ignored = sortedPaths(ignored);
  }

  /**
   * Lists a folder.
   *
   * @throws {DataError} if it, or a folder in it, cannot be read
   */
  static async open(path: string): Promise<FolderTree> {
    const found: Found = { files: [], emptyFolders: [], ignored: [] };
    await list(path, "", found, 0);
    return new FolderTree(path, found);
  }

  head(file: string, most: number): Promise<Uint8Array> {
    return readHead(this.describe(file), most);
  }

  async *read(files: readonly string[]): AsyncGenerator<FileContent> {
    for (const file of files) yield await contentOr(file, () => readBytes(this.describe(file)));
  }

  stamp(): Promise<string> {
    return stampOf(this.path, this.files);
  }

  pathOf(folder: string): string {
    return this.describe(folder);
  }

  describe(file: string): string {
    return `${this.path}/${file}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

interface Found {
  readonly files: string[];
  readonly emptyFolders: string[];
  readonly ignored: string[];
}

async function list(root: string, prefix: string, found: Found, depth: number): Promise<void> {
  const folder = prefix === "" ? root : `${root}/${prefix.slice(0, -1)}`;
  if (depth > MAX_DEPTH) throw new DataError(`${folder}: more than ${MAX_DEPTH} folders inside one another`);
  const before = found.files.length;
  let at = folder;
  let folders = 0;
  try {
    for await (const entry of Deno.readDir(folder)) {
      const file = `${prefix}${entry.name}`;
      at = `${root}/${file}`;
      if (isIgnoredName(entry.name)) {
        found.ignored.push(file);
        continue;
      }
      const { isDirectory, isFile } = entry.isSymlink ? await targetOf(at) : entry;
      if (isDirectory) {
        folders++;
        await list(root, `${file}/`, found, depth + 1);
      } else found[isFile ? "files" : "ignored"].push(file);
    }
  } catch (error) {
    throw error instanceof DataError ? error : unreadable(at, error);
  }
  if (prefix !== "" && folders === 0 && found.files.length === before) {
    found.emptyFolders.push(prefix.slice(0, -1));
  }
}
