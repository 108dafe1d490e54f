/**
 * File access whose failures are `DataError`s: what could not be read, and why.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { DataError } from "../errors.ts";

/** The message of whatever was thrown, first line only: the rest is a stack or a hint for developers. */
export function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}

/** Turns what the file system threw into a {@link DataError} that starts with the path. */
export function unreadable(path: string, error: unknown): DataError {
  const what = error instanceof Deno.errors.NotFound
    ? "no such file or folder"
    : `cannot read: ${reason(error)}`;
  return new DataError(`${path}: ${what}`, { cause: error });
}

/**
 * Reads a whole file.
 *
 * @throws {DataError} if it cannot be read
 */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** A folder's visible entries by kind, names in code unit order, links followed. */
export interface FolderListing {
  /** Names of the subfolders. */
  readonly folders: string[];
  /** Names of everything else. */
  readonly files: string[];
}

/**
 * Lists a folder. Names that start with a dot are left out: they belong to the system (`.DS_Store`, `.git`).
 *
 * @throws {DataError} if it cannot be read
 */
export async function listFolder(path: string): Promise<FolderListing> {
  const folders: string[] = [];
  const files: string[] = [];
  let at = path;
  try {
    for await (const entry of Deno.readDir(path)) {
      if (entry.name.startsWith(".")) continue;
      at = `${path}/${entry.name}`;
      const isFolder = entry.isSymlink ? (await Deno.stat(at)).isDirectory : entry.isDirectory;
      (isFolder ? folders : files).push(entry.name);
    }
  } catch (error) {
    throw unreadable(at, error);
  }
  return { folders: folders.sort(), files: files.sort() };
}

/**
 * MD5 of a file in hex, read in pieces.
 *
 * @throws {DataError} if it cannot be read
 */
export async function fileMd5(path: string): Promise<string> {
  const hash = createHash("md5");
  try {
    using file = await Deno.open(path);
    const chunk = new Uint8Array(1 << 20);
    for (let n = await file.read(chunk); n !== null; n = await file.read(chunk)) {
      hash.update(chunk.subarray(0, n));
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return hash.digest("hex");
}
