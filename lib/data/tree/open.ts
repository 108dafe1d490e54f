/**
 * Opens a folder or an archive as a file tree, recognised by content.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { isLfsPointer, LFS_POINTER } from "../decode/content.ts";
import { readHead, unreadable } from "../files.ts";
import type { FileTree } from "./file_tree.ts";
import { FolderTree } from "./folder_tree.ts";
import { TarTree } from "./tar_tree.ts";
import { ZipTree } from "./zip_tree.ts";

/** Kinds of archives. */
export type ArchiveKind = "zip" | "tar" | "tar.gz";

/** Bytes in which a tar archive has its signature. */
const TAR_HEAD_BYTES = 263;

/** First bytes of compressed files and archives that are not read, by name. */
const UNSUPPORTED: readonly (readonly [number[], string])[] = [
  [[0x42, 0x5a, 0x68], "compressed by bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed by xz"],
  [[0x28, 0xb5, 0x2f, 0xfd], "compressed by zstd"],
  [[0x37, 0x7a, 0xbc, 0xaf], "a 7z archive"],
  [[0x52, 0x61, 0x72, 0x21], "a RAR archive"],
];

/**
 * Opens a folder, or a zip, tar or tar.gz archive.
 *
 * @param onEntry called with the number of entries read, for an archive whose names take long to read
 * @throws {DataError} if there is no such file, or it is no such archive
 */
export async function openTree(path: string, onEntry: (done: number) => void = () => {}): Promise<FileTree> {
  let isDirectory: boolean;
  try {
    ({ isDirectory } = await Deno.stat(path));
  } catch (error) {
    throw unreadable(path, error);
  }
  if (isDirectory) return await FolderTree.open(path);
  const kind = archiveKind(await readHead(path, TAR_HEAD_BYTES), path);
  if (kind === "zip") return await ZipTree.open(path);
  return await TarTree.open(path, kind === "tar.gz", onEntry);
}

/**
 * Kind of an archive from its first bytes.
 *
 * @throws {DataError} if it is none that is read
 */
export function archiveKind(head: Uint8Array, path: string): ArchiveKind {
  const begins = (bytes: readonly number[], at = 0) => bytes.every((byte, i) => head[at + i] === byte);
  if (begins([0x50, 0x4b, 3, 4]) || begins([0x50, 0x4b, 5, 6])) return "zip";
  if (begins([0x1f, 0x8b])) return "tar.gz";
  if (begins([0x75, 0x73, 0x74, 0x61, 0x72], 257)) return "tar"; // "ustar"
  const what = head.length === 0
    ? "an empty file"
    : isLfsPointer(head)
    ? LFS_POINTER
    : UNSUPPORTED.find(([signature]) => begins(signature))?.[1] ?? "not an archive";
  throw new DataError(`${path}: ${what}; expected a folder, or a zip, tar or tar.gz archive`);
}
