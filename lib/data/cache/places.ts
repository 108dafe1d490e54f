/**
 * Places for decoded images on the disk, and their names.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import type { Framing } from "../decode/framing.ts";
import type { OnBadFile } from "../image_options.ts";
import type { Cifar10Split } from "../official.ts";

/** Folder beside the images. Its name begins with a dot, so that it is never taken for data. */
const BESIDE = ".denoise-cache";
/** Folder in the working directory, for images on a disk that cannot be written. */
const ELSEWHERE = join(".cache", "images");

/** Everything that determines the images made of a source, besides its files. */
export interface Request {
  readonly split: Cifar10Split;
  readonly framing: Framing;
  readonly labelColumn: string | undefined;
  readonly onBadFile: OnBadFile;
}

/**
 * Paths that decoded images may have, the best first: beside their source, and in the working directory; or in a directory of the
 * caller's choice.
 *
 * @param source path of the folder or archive
 * @param directory the caller's choice
 */
export function cachePaths(source: string, request: Request, directory?: string): string[] {
  const path = resolve(source);
  if (directory !== undefined) return [join(resolve(directory), fileName(path, path, request))];
  return [
    join(dirname(path), BESIDE, fileName(path, basename(path), request)), // which is found again when both are moved
    join(resolve(ELSEWHERE), fileName(path, path, request)),
  ];
}

/** Name of a file for a request, e.g. `birds-64x64-1f0c52d9.safetensors`. */
function fileName(path: string, source: string, { split, framing, labelColumn, onBadFile }: Request): string {
  const { height, width, channels, fit, background } = framing;
  const asked = [source, split, height, width, channels, fit, background, labelColumn ?? null, onBadFile];
  const key = createHash("sha256").update(JSON.stringify(asked)).digest("hex").slice(0, 8);
  const name = basename(path).replace(/[^\p{L}\p{N}._-]/gu, "_").slice(0, 60) || "images";
  return `${name}-${width}x${height}-${key}.safetensors`;
}

/** True if the program may access a path; never asks the user. */
export function mayAccess(name: "read" | "write", path: string): boolean {
  return Deno.permissions.querySync({ name, path }).state === "granted";
}
