/**
 * Files under relative paths: a folder, or an archive that is read without unpacking it.
 *
 * @module
 */

import { DataError } from "../../errors.ts";

/** A file's content, or why it cannot be read. */
export type FileContent =
  & {
    /** Path in the tree. */
    readonly file: string;
  }
  & ({
    /** The whole file. */
    readonly bytes: Uint8Array<ArrayBuffer>;
  } | {
    /** Names the file; others may be intact. */
    readonly error: DataError;
  });

/** Content of a file from `read`, whose `DataError` is kept. */
export async function contentOr(
  file: string,
  read: () => Promise<Uint8Array<ArrayBuffer>>,
): Promise<FileContent> {
  try {
    return { file, bytes: await read() };
  } catch (error) {
    if (error instanceof DataError) return { file, error };
    throw error;
  }
}

/** Bytes of a file's content. */
export function contentBytes(content: FileContent): Uint8Array<ArrayBuffer> {
  if ("error" in content) throw content.error;
  return content.bytes;
}

/** A folder or an archive. */
export interface FileTree extends AsyncDisposable {
  /** Path of the folder or archive, for messages. */
  readonly path: string;
  /** Paths of the files, with `/` between names, in code unit order. */
  readonly files: readonly string[];
  /** Paths of folders without files, in code unit order. */
  readonly emptyFolders: readonly string[];
  /** Hidden entries, metadata folders of archivers, and whatever is neither file nor folder, none of which is data. */
  readonly ignored: readonly string[];
  /**
   * First bytes of a file.
   *
   * @param most number of bytes, at most {@linkcode MOST_HEAD_BYTES}; a shorter file gives fewer
   * @throws {DataError} naming the file
   */
  head(file: string, most: number): Promise<Uint8Array>;
  /**
   * Contents of files, in the order that the tree reads fastest.
   *
   * @param files paths of the tree
   * @throws {DataError} naming the archive, where it is damaged so that no further file can be read
   */
  read(files: readonly string[]): AsyncIterable<FileContent>;
  /**
   * Digest of the state of its files; see `stampOf`.
   *
   * @throws {DataError} naming the file that cannot be found
   */
  stamp(): Promise<string>;
  /** Path of a folder of the tree by which it alone can be read; undefined in an archive. */
  pathOf(folder: string): string | undefined;
  /** Name of a file for messages: its path for a folder, `ARCHIVE: FILE` for an archive. */
  describe(file: string): string;
}

/** Most bytes that {@linkcode FileTree.head} gives. */
export const MOST_HEAD_BYTES = 512;

/** Metadata folders of archivers (macOS) and network drives (Synology). */
const SYSTEM_FOLDERS: ReadonlySet<string> = new Set(["__MACOSX", "@eaDir"]);

/** True for a name that is never data: hidden (`.DS_Store`, `.git`), or a metadata folder. */
export function isIgnoredName(name: string): boolean {
  return name.startsWith(".") || SYSTEM_FOLDERS.has(name);
}

/** Paths sorted by code unit, names being compared before what is inside. */
export function sortedPaths(paths: Iterable<string>): string[] {
  return [...paths].sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
}
