/**
 * Writer of bundles: parts, manifest and start script, atomically renamed from a temporary folder.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { fileProblem } from "../lib/files/durable.ts";
import { type ArchivePiece, type Entry, type PackedPart, type PackOptions, packPart } from "./archive.ts";

/** Files that are unpacked together. */
export interface Part {
  readonly name: string;
  readonly entries: readonly Entry[];
  /** Already compressed, such as images: stored as it is. */
  readonly dense?: boolean;
}

/** Facts for the start script; values have no line breaks. */
export interface Facts {
  /** Version of the project. */
  readonly project: string;
  /** Version of Deno. */
  readonly deno: string;
  /** Architecture, as `uname -m` prints it. */
  readonly machine: string;
  /** Path of the data set in the unpacked bundle; `npm` if it is a package, or `none`. */
  readonly data: string;
}

/** Options of {@linkcode writeBundle}. */
export interface WriteOptions extends PackOptions {
  /** Called after each part. */
  readonly onPart?: (part: Part, packed: PackedPart) => void;
}

/** Name of the manifest in a bundle. */
export const BUNDLE_MANIFEST = "manifest.txt";
/** Name of the script that unpacks a bundle and starts tasks. */
export const START = "start.sh";

/** First line of the manifest, checked by the start script. */
const FORMAT = "denoise-bundle 1";

/**
 * Writes a bundle into a new folder, completely or not at all.
 *
 * @param out the folder
 * @param parts parts to write; empty ones are left out
 * @returns total size of the parts, bytes
 * @throws {ConfigError} if the folder exists and is not empty
 * @throws {DenoiseError} if it cannot be written
 */
export async function writeBundle(
  out: string,
  parts: readonly Part[],
  facts: Facts,
  options: WriteOptions,
): Promise<number> {
  await checkOut(out);
  const parent = dirname(resolve(out));
  let folder: string | undefined;
  try {
    await Deno.mkdir(parent, { recursive: true });
    folder = await Deno.makeTempDir({ dir: parent, prefix: `.${basename(resolve(out))}-` });
    const lines = [FORMAT, ...Object.entries(facts).map(([key, value]) => `${key} ${value}`)];
    let bytes = 0;
    for (const part of parts.filter(({ entries }) => entries.length > 0)) {
      const compression = part.dense ? "none" : options.compression;
      const packed = await packPart(folder, part.name, part.entries, { ...options, compression });
      options.onPart?.(part, packed);
      lines.push(...packed.pieces.map((piece) => pieceLine(part, piece)));
      for (const piece of packed.pieces) bytes += piece.bytes;
    }
    await Deno.writeTextFile(join(folder, BUNDLE_MANIFEST), lines.map((line) => line + "\n").join(""));
    await Deno.copyFile(new URL(START, import.meta.url), join(folder, START));
    await Deno.chmod(join(folder, START), 0o755);
    await Deno.chmod(folder, 0o755); // temporary folders are created with mode 700
    options.signal?.throwIfAborted();
    await Deno.rename(folder, out);
    return bytes;
  } catch (error) {
    if (folder) await Deno.remove(folder, { recursive: true }).catch(() => {});
    const isSystems = typeof (error as { code?: unknown }).code === "string" &&
      !(error instanceof DenoiseError);
    throw isSystems
      ? new DenoiseError(`cannot write ${out}: ${fileProblem(error)}`, { cause: error })
      : error;
  }
}

/**
 * Checks that a bundle can be written to a path.
 *
 * @throws {ConfigError} if it exists and is not an empty folder
 */
export async function checkOut(out: string): Promise<void> {
  const allowed = "a folder that does not exist yet or is empty";
  try {
    for await (const { name } of Deno.readDir(out)) {
      throw new ConfigError("--out", out, `${allowed}; it holds ${name}`);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (error instanceof Deno.errors.NotADirectory) throw new ConfigError("--out", out, allowed);
    throw error;
  }
}

function pieceLine({ name }: Part, { file, bytes, sha256 }: ArchivePiece): string {
  return `piece ${name} ${file} ${bytes} ${sha256}`;
}
