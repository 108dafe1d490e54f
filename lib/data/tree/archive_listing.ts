/**
 * Names of an archive's entries as paths of a file tree.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import { type FileTree, isIgnoredName, sortedPaths } from "./file_tree.ts";

/** Limit on entries, against damaged or malicious archives. */
const MAX_ENTRIES = 2 ** 24;

/** Collects the entries of an archive. No name in an archive becomes a path of the file system. */
export class ArchiveListing {
  readonly #path: string;
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();
  readonly #ignored = new Set<string>();

  /** @param path the archive, for messages */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Adds an entry.
   *
   * @param name as the archive has it
   * @returns its path in the archive; undefined if it is ignored
   * @throws {DataError} if the name leads out of the archive or is there twice, or there are too many entries
   */
  add(name: string, kind: "file" | "folder" | "other"): string | undefined {
    const file = memberPath(name);
    const parts = file === "" ? [] : file.split("/");
    const refuse = (why: string): never => {
      throw new DataError(`${this.#path}: member ${JSON.stringify(name)}: ${why}`);
    };
    if (parts.includes("..") || /^(?:[/\\]|[a-z]:)/i.test(name)) refuse("expected a path inside the archive");
    if (parts.length === 0) return undefined;
    if (this.#files.size + this.#folders.size + this.#ignored.size === MAX_ENTRIES) {
      throw new DataError(`${this.#path}: more than ${MAX_ENTRIES} members`);
    }
    if (kind === "other" || parts.some(isIgnoredName)) {
      const hidden = parts.findIndex(isIgnoredName);
      this.#ignored.add(hidden < 0 ? file : parts.slice(0, hidden + 1).join("/"));
      return undefined;
    }
    if (kind === "folder") {
      this.#folders.add(file);
      return file;
    }
    if (this.#files.has(file)) refuse("there twice");
    this.#files.add(file);
    return file;
  }

  /**
   * Ends the collection. A single folder that holds all, and folders itself or the archive's name, is left out of the paths, as
   * archives of a folder have one.
   */
  finish(): ArchivePaths {
    const files = sortedPaths(this.#files);
    const [first = ""] = files;
    const top = first.slice(0, first.indexOf("/") + 1);
    const single = top !== "" && files.every((file) => file.startsWith(top));
    const isNested = files.some((file) => file.includes("/", top.length));
    const omitted = single && (isNested || top === `${stemOf(this.#path)}/`) ? top.length : 0;
    const within = (file: string) => file.slice(omitted);
    const full = new Set(
      [...files, ...this.#folders].flatMap((path) => path.slice(0, path.lastIndexOf("/"))),
    );
    return {
      files: files.map(within),
      emptyFolders: sortedPaths(this.#folders).filter((folder) => !full.has(folder)).map(within),
      ignored: sortedPaths([...this.#ignored].map((path) => path.startsWith(top) ? within(path) : path)),
      within,
    };
  }
}

/** A member's name as a path: `/` between names, none at its ends. */
export function memberPath(name: string): string {
  return name.split(/[/\\]/).filter((part) => part !== "" && part !== ".").join("/");
}

/** Paths of an archive. */
export interface ArchivePaths extends Pick<FileTree, "files" | "emptyFolders" | "ignored"> {
  /** Path in the tree of what {@linkcode ArchiveListing.add} returned. */
  within(file: string): string;
}

/** Name of an archive without its extensions. */
function stemOf(path: string): string {
  return path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1)
    .replace(/(?:\.tar)?\.[^.]*$/, "");
}
