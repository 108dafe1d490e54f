/**
 * File access for data sets; failures are `DataError`s that name the path and the reason.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { DataError } from "../errors.ts";
import { hasImageExtension } from "./decode/content.ts";

/** First line of an error's message; the rest is a stack or a hint for developers. */
export function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\n.*/s, "");
}

/** A {@link DataError} for a file system error; its message begins with the path. */
export function unreadable(path: string, error: unknown): DataError {
  const what = error instanceof Deno.errors.NotFound
    ? "no such file or folder"
    : `cannot read: ${reason(error)}`;
  return new DataError(`${path}: ${what}`, { cause: error });
}

/** Largest file that is read whole; official files and photographs have less than half of this. */
export const MAX_FILE_BYTES: number = 2 ** 29;

/**
 * Reads a whole file.
 *
 * @throws {DataError} if it cannot be read or has more than {@link MAX_FILE_BYTES}
 */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  let size: number;
  try {
    size = (await Deno.stat(path)).size;
    if (size <= MAX_FILE_BYTES) return await Deno.readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  throw new DataError(`${path}: ${size} bytes, expected at most ${MAX_FILE_BYTES}`);
}

/**
 * Reads the first bytes of a file.
 *
 * @param most number of bytes; a shorter file gives fewer
 * @throws {DataError} if it cannot be read
 */
export async function readHead(path: string, most: number): Promise<Uint8Array> {
  const head = new Uint8Array(most);
  let filled = 0;
  try {
    using file = await Deno.open(path);
    while (filled < most) {
      const n = await file.read(head.subarray(filled));
      if (n === null) break;
      filled += n;
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return head.subarray(0, filled);
}

/** Files whose state is asked for at a time. */
const STAMPED_AT_ONCE = 64;

/**
 * Digest of the state of files: names, sizes and times of change.
 *
 * @param folder their folder
 * @param files paths in it, of which one may lead nowhere, or an empty one for the folder's path itself
 * @throws {DataError} naming the file whose state cannot be read
 */
export async function stampOf(folder: string, files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (let first = 0; first < files.length; first += STAMPED_AT_ONCE) {
    const states = await Promise.all(
      files.slice(first, first + STAMPED_AT_ONCE).map(async (file) => {
        const path = file === "" ? folder : `${folder}/${file}`;
        try {
          const { size, mtime } = await Deno.stat(path);
          return [file, size, mtime?.getTime() ?? null];
        } catch (error) {
          if (file !== "" && error instanceof Deno.errors.NotFound) return [file, null, null];
          throw unreadable(path, error);
        }
      }),
    );
    hash.update(JSON.stringify(states));
  }
  return hash.digest("hex");
}

/**
 * What a link leads to. One that leads nowhere and has the name of an image is a file that cannot be read, as others may be.
 *
 * @throws {Deno.errors} the system's error for another link to nowhere, which may be that of a folder
 */
export async function targetOf(path: string): Promise<Pick<Deno.FileInfo, "isDirectory" | "isFile">> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (!hasImageExtension(path)) throw error;
    return { isDirectory: false, isFile: true };
  }
}

/** A folder's entries by kind, names in code unit order, links followed. */
export interface FolderListing {
  /** Names of the subfolders. */
  readonly folders: string[];
  /** Names of the files. */
  readonly files: string[];
  /** Names of entries that are never data; see {@link listFolder}. */
  readonly ignored: string[];
}

/** Metadata folders of archivers (macOS) and network drives (Synology). */
const SYSTEM_FOLDERS: ReadonlySet<string> = new Set(["__MACOSX", "@eaDir"]);

/**
 * Lists a folder. Ignored entries are names that start with a dot (`.DS_Store`, `.git`), metadata folders of archivers
 * (`__MACOSX`), and anything that is neither file nor folder.
 *
 * @throws {DataError} if it cannot be read
 */
export async function listFolder(path: string): Promise<FolderListing> {
  const listing: FolderListing = { folders: [], files: [], ignored: [] };
  let at = path;
  try {
    for await (const entry of Deno.readDir(path)) {
      const { name } = entry;
      at = `${path}/${name}`;
      if (name.startsWith(".") || SYSTEM_FOLDERS.has(name)) listing.ignored.push(name);
      else {
        const { isDirectory, isFile } = entry.isSymlink ? await targetOf(at) : entry;
        listing[isDirectory ? "folders" : isFile ? "files" : "ignored"].push(name);
      }
    }
  } catch (error) {
    throw unreadable(at, error);
  }
  for (const names of [listing.folders, listing.files, listing.ignored]) names.sort();
  return listing;
}

/**
 * MD5 of a file in hex, read in chunks.
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
