/**
 * Pictures on the disk.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { fileProblem, writeDurable } from "../../lib/files/durable.ts";
import type { Reporter } from "./progress.ts";

/** A picture on the disk. */
export interface Picture {
  readonly path: string;
  readonly what: string;
}

/**
 * Writes a picture, and the folder for it where that is missing. A crash or a full disk leaves what was there before.
 * @throws {CheckpointError} naming the file, the reason and what to do
 */
export function writePicture(path: string, bytes: Uint8Array): Promise<void> {
  return writeDurable(path, bytes);
}

/**
 * Checks that a file can be written, before work is done for it; leaves no trace.
 *
 * @param flag what named the file, for messages
 * @param directory whether it is a directory that is to be written into
 * @throws {ConfigError} if something else is there
 * @throws {CheckpointError} if the place cannot be written to
 */
export async function checkWritable(flag: string, path: string, directory = false): Promise<void> {
  const [present, isDirectory] = await nearest(resolve(path)).catch((error) => {
    throw new CheckpointError(`cannot write ${path}: ${fileProblem(error)}`);
  });
  if (present === resolve(path) && isDirectory !== directory) {
    const expected = directory ? "a directory, not a file" : "a file, not a directory";
    throw new ConfigError(flag, path, expected);
  }
  if (present !== resolve(path) && !isDirectory) {
    throw new ConfigError(flag, path, `a path below directories; ${present} is a file`);
  }
  const place = isDirectory ? present : dirname(present);
  try {
    await Deno.remove(await Deno.makeTempFile({ dir: place }));
  } catch (error) {
    throw new CheckpointError(`cannot write ${path}: ${fileProblem(error)}`);
  }
}

/** A path, or what is nearest above it and is there; and whether that is a directory. */
async function nearest(path: string): Promise<[string, boolean]> {
  try {
    return [path, (await Deno.stat(path)).isDirectory];
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    if (!missing) throw error;
    return await nearest(dirname(path));
  }
}

/** Whether a file is there, and was written after another one: a picture that need not be drawn again. */
export async function isNewer(path: string, than: string): Promise<boolean> {
  try {
    const [picture, source] = [await Deno.stat(path), await Deno.stat(than)];
    return picture.isFile && picture.mtime !== null && source.mtime !== null && picture.mtime > source.mtime;
  } catch {
    return false; // Not there, or it cannot be told.
  }
}

/**
 * Draws pictures of a run. That one fails is a warning: what was trained is on the disk, and a machine without the
 * chart's libraries still has metrics.jsonl.
 */
export async function drawOrWarn(
  report: Reporter,
  what: string,
  draw: () => Promise<Picture[]>,
): Promise<Picture[]> {
  try {
    return await draw();
  } catch (error) {
    warn(report, `${what}: not drawn (${(error as Error).message})`);
    return [];
  }
}

/** Tells people and programs of something that does not stop a run. */
export function warn(report: Reporter, message: string): void {
  report.event({ type: "warning", message });
  report.line(`warning: ${message}`);
}
