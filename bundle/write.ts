/**
 * Writing a bundle: all parts, the manifest and the start script, under a temporary name until everything is there.
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
  /** Whether compressing it is in vain, as with images. */
  readonly dense?: boolean;
}

/** What the start script must know of a bundle; the values have no line breaks. */
export interface Facts {
  /** Version of the project. */
  readonly project: string;
  /** Version of Deno. */
  readonly deno: string;
  /** What `uname -m` must say. */
  readonly machine: string;
  /** Where the data set is in the unpacked bundle, `npm` where no path need be given, or `none`. */
  readonly data: string;
}

/** Options of {@linkcode writeBundle}. */
export interface WriteOptions extends PackOptions {
  /** Told after each part. */
  readonly onPart?: (part: Part, packed: PackedPart) => void;
}

/** Name of the manifest in a bundle. */
export const BUNDLE_MANIFEST = "manifest.txt";
/** Name of the script that unpacks a bundle and starts tasks. */
export const START = "start.sh";

/** Its first line, which the start script checks. */
const FORMAT = "denoise-bundle 1";

/**
 * Writes a bundle into a new folder, which is there either whole or not at all.
 *
 * @param out the folder
 * @param parts what it carries; those without files are left out
 * @returns bytes of all that was written
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
    await Deno.chmod(folder, 0o755); // a temporary folder is for its maker alone
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
 * Fails if a bundle could not take a folder's name.
 *
 * @throws {ConfigError} if there is something that is not an empty folder
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
